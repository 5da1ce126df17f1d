"""The worker's own small application: health, readiness and metrics, from its first second on."""

import uuid
from collections.abc import Callable, Sequence

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry

from airy_identify.core.values import RequestId
from airy_identify.web.health import HealthDoor
from airy_identify.web.request_ids import REQUEST_ID


def make_health_app(*, problems: Callable[[], Sequence[str]], registry: CollectorRegistry) -> web.Application:
    """Return the application. `problems` says why the worker is not ready; `registry` is what `/metrics` shows."""
    health = HealthDoor(problems=problems, registry=registry)
    app = web.Application(middlewares=[_with_request_id])
    app.router.add_get("/healthz", health.alive)
    app.router.add_get("/readyz", health.ready)
    app.router.add_get("/metrics", health.metrics)
    return app


@web.middleware
async def _with_request_id(request: web.Request, handler: Handler) -> web.StreamResponse:
    request[REQUEST_ID] = RequestId(str(uuid.uuid4()))
    return await handler(request)
