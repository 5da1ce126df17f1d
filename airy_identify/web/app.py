"""The bridge as an aiohttp application: its routes, and what every request goes through, whatever its route.

In this order: the request gets an id; unknown paths are `not_found`; the token, or a client's; the rate limits; the
method; then the route's own checks. So nothing is told to strangers but which paths exist, and no byte of a body is read for them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.intake.clients import SYSTEM
from airy_identify.web.auth import SystemToken
from airy_identify.web.bodies import expect_later
from airy_identify.web.callers import Callers
from airy_identify.web.commands import CLIENT, ROUTES, CommandDoor
from airy_identify.web.documentation import DocumentationDoor
from airy_identify.web.errors import CODE, RefusedError, internal_response, refused_response
from airy_identify.web.health import HealthDoor
from airy_identify.web.rate_limit import RateLimit
from airy_identify.web.request_ids import REQUEST_ID, request_id

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

UNKNOWN_ROUTE = "unknown"
CALLER = web.RequestKey("caller", str)
"""Where a request carries the name of the client whose it is, or `system`."""
HUNG_UP = 499
"""The status under which a request is logged and counted whose caller went away before the answer. It is never sent."""


class RequestMetrics(Protocol):
    """Where the bridge counts its requests."""

    def observe(self, *, route: str, status: int, duration_s: float, client: str | None, code: str | None) -> None:
        """Count one request: its route as declared (never the path as given), its status and how long it took.

        `client` is whose it was, `system` for the holder of the system token, null for strangers; `code` that of the error
        that it was answered with.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A path with its methods. Those without `token` are open to everybody and not logged at INFO."""

    handle: Handler
    methods: tuple[str, ...]
    token: bool


def make_app(  # noqa: PLR0913 - all that a bridge is made of, by name
    *,
    commands: CommandDoor,
    system_token: SystemToken,
    rate_limit: RateLimit,
    problems: Callable[[], Sequence[str]],
    registry: CollectorRegistry,
    metrics: RequestMetrics,
    callers: Callers | None = None,
) -> web.Application:
    """Return the application. It starts and stops nothing itself.

    `callers` are null where there are no clients besides the holder of the system token. `problems` says why nothing can be asked now (none: all is well); `registry` is what `/metrics` shows.
    """
    documentation = DocumentationDoor()
    health = HealthDoor(problems=problems, registry=registry)
    get = ("GET", "HEAD")
    endpoints = {
        path: Endpoint(handle=commands.handler(command), methods=("POST",), token=True)
        for path, command in ROUTES.items()
    } | {
        "/healthz": Endpoint(handle=health.alive, methods=get, token=False),
        "/readyz": Endpoint(handle=health.ready, methods=get, token=False),
        "/metrics": Endpoint(handle=health.metrics, methods=get, token=False),
        "/openapi.json": Endpoint(handle=documentation.openapi, methods=get, token=False),
        "/docs": Endpoint(handle=documentation.page, methods=get, token=False),
    }
    doorkeeper = _Doorkeeper(system_token, rate_limit, callers)
    router = _Router(endpoints, doorkeeper, metrics, commands.new_uuid)
    app = web.Application(middlewares=[router.answer])
    # One route for all: the framework's own would answer 405 before anybody has shown a token.
    app.router.add_route("*", "/{path:.*}", router.dispatch, expect_handler=expect_later)
    return app


@dataclass(frozen=True, slots=True)
class _Doorkeeper:
    """Lets in whoever shows the system token or is a client, as often as the limits allow."""

    system_token: SystemToken
    rate_limit: RateLimit
    callers: Callers | None

    async def admit(self, request: web.Request) -> None:
        """Note whose request it is. Raises `RefusedError`, `unauthorized` or `rate_limited`."""
        shown = request.headers.getall("Authorization", ())
        if self.system_token.allows(shown):
            request[CALLER] = SYSTEM
        else:
            client = None if self.callers is None else await self.callers.client_of(shown)
            if self.callers is None or client is None:
                message = "Send the system token, or a client's, in the header Authorization, with or without the word Bearer."
                rejected = Rejected(reason=Reason.UNAUTHORIZED, message=message)
                raise RefusedError(rejected, headers={"WWW-Authenticate": "Bearer"})
            request[CALLER], request[CLIENT] = client.name, client
            self.callers.take_turn(client)
        self.rate_limit.take()


class _Router:
    def __init__(
        self,
        endpoints: dict[str, Endpoint],
        doorkeeper: _Doorkeeper,
        metrics: RequestMetrics,
        new_uuid: Callable[[], str],
    ) -> None:
        self._endpoints = endpoints
        self._doorkeeper = doorkeeper
        self._metrics = metrics
        self._new_uuid = new_uuid

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Hand a request that may be answered to its endpoint."""
        endpoint = self._endpoints.get(request.path)
        if endpoint is None:
            raise _not_found()
        if endpoint.token:
            await self._doorkeeper.admit(request)
        if request.method not in endpoint.methods:
            allowed = ", ".join(endpoint.methods)
            rejected = Rejected(reason=Reason.METHOD_NOT_ALLOWED, message=f"Only {allowed} is allowed here.")
            raise RefusedError(rejected, headers={"Allow": allowed})
        return await endpoint.handle(request)

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Give every request an id, its answer or its error, a line in the log and a place in the metrics."""
        request[REQUEST_ID] = request_id(request, self._new_uuid)
        clock = asyncio.get_running_loop().time
        started, status, code = clock(), HUNG_UP, None
        try:
            response = await self._respond(request, handler)
            status, code = response.status, response.get(CODE)
        finally:  # also when the caller hangs up, which cancels this
            self._note(request, status, code, clock() - started)
        return response

    async def _respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except RefusedError as error:
            return refused_response(error, request[REQUEST_ID])
        except web.HTTPNotFound:  # no path at all, as in `OPTIONS *`
            return refused_response(_not_found(), request[REQUEST_ID])
        except ConnectionError:  # the caller hung up while we read or wrote
            raise
        except Exception:
            logger.exception("a defect ended request %s", request[REQUEST_ID])
            return internal_response(request[REQUEST_ID])

    def _note(self, request: web.Request, status: int, code: str | None, duration_s: float) -> None:
        endpoint = self._endpoints.get(request.path)
        route = UNKNOWN_ROUTE if endpoint is None else request.path
        client = request.get(CALLER)
        self._metrics.observe(route=route, status=status, duration_s=duration_s, client=client, code=code)
        level = logging.INFO if endpoint is None or endpoint.token else logging.DEBUG
        told = {
            "method": request.method,
            "route": route,
            "status": status,
            **({} if code is None else {"code": code}),
            **({} if client is None else {"client": client}),
            "duration_ms": round(duration_s * 1000, 1),
            "request_id": request[REQUEST_ID],
        }
        logger.log(level, "request answered" if status != HUNG_UP else "caller hung up", extra=told)


def _not_found() -> RefusedError:
    return RefusedError(Rejected(reason=Reason.NOT_FOUND, message="There is nothing at this path."))
