"""The small application of a worker: the same shapes as the bridge's."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from airy_identify.web.server import serving
from airy_identify.web.worker_app import make_health_app


@asynccontextmanager
async def answering(problems: Sequence[str] | Exception) -> AsyncIterator[aiohttp.ClientSession]:
    def tell() -> Sequence[str]:
        if isinstance(problems, Exception):
            raise problems
        return problems

    app = make_health_app(problems=tell, registry=CollectorRegistry())
    async with (
        serving(app, host="127.0.0.1", port=0, grace_s=1.0) as (host, port),
        aiohttp.ClientSession(f"http://{host}:{port}") as session,
    ):
        yield session


async def ask(session: aiohttp.ClientSession, method: str, path: str) -> tuple[int, dict[str, Any], Any]:
    async with session.request(method, path) as response:
        return response.status, await response.json(), response.headers


async def test_it_says_every_reason_why_it_is_not_ready() -> None:
    async with answering(["requests:3 is opening: restoring its table from changelog:3", "joining"]) as session:
        status, answer, headers = await ask(session, "GET", "/readyz")
        assert (status, answer["code"], headers["Retry-After"]) == (503, "unavailable", "1")
        assert answer["reasons"] == ["requests:3 is opening: restoring its table from changelog:3", "joining"]
        assert (await ask(session, "GET", "/healthz"))[:2] == (200, {"status": "alive"})


async def test_it_is_ready_when_there_is_nothing_to_say() -> None:
    async with answering([]) as session:
        assert (await ask(session, "GET", "/readyz"))[:2] == (200, {"status": "ready"})


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/", 404, "not_found"), ("POST", "/readyz", 405, "method_not_allowed")],
)
async def test_what_it_does_not_have_is_refused_in_the_shape_of_every_error(
    method: str, path: str, status: int, code: str
) -> None:
    async with answering([]) as session:
        got, answer, headers = await ask(session, method, path)
        assert (got, answer["code"], answer["field"]) == (status, code, None)
        assert set(answer) == {"message", "code", "field", "request_id"}
        assert headers.get("Allow") == ("GET, HEAD" if status == 405 else None)


async def test_a_defect_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with answering(LookupError("secret detail")) as session:
        status, answer, _ = await ask(session, "GET", "/readyz")
        assert (status, answer["code"]) == (500, "internal_error")
        assert "secret" not in str(answer)
        assert "secret detail" in caplog.text
