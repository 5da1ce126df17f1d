"""A load balancer on a bad day, in front of a bridge: it drops, refuses and gives up on requests before one gets through."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import ClientSession, web

FAILURES = ("dropped", "503", "504")
"""What happens to the first requests, in this order."""


@dataclass
class FlakyFront:
    """What came in: the idempotency key and the body of each request."""

    bridge_url: str
    asked: list[tuple[str | None, bytes]] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.append((request.headers.get("Idempotency-Key"), body))
        failure = FAILURES[len(self.asked) - 1] if len(self.asked) <= len(FAILURES) else None
        if failure == "dropped":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if failure is not None:
            # No JSON: what stands in front of a bridge has pages of its own.
            return web.Response(status=int(failure), text="<h1>Sorry</h1>", headers={"Retry-After": "1"})
        names = ("Authorization", "Content-Type", "Idempotency-Key")
        headers = {name: request.headers[name] for name in names if name in request.headers}
        async with (
            ClientSession() as session,
            session.post(self.bridge_url + request.path, data=body, headers=headers) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")


@asynccontextmanager
async def flaky_front(bridge_url: str) -> AsyncIterator[FlakyFront]:
    front = FlakyFront(bridge_url)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", front.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    front.url = f"http://{host}:{port}"
    try:
        yield front
    finally:
        await runner.cleanup()
