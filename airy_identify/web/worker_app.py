"""The worker's own small application: health, readiness and metrics, from its first second on."""

import logging
import uuid
from collections.abc import Callable, Sequence

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import RequestId
from airy_identify.web.errors import RefusedError, internal_response, refused_response
from airy_identify.web.health import HealthDoor
from airy_identify.web.request_ids import REQUEST_ID

logger = logging.getLogger(__name__)


def make_health_app(*, problems: Callable[[], Sequence[str]], registry: CollectorRegistry) -> web.Application:
    """Return the application. `problems` says why the worker is not ready; `registry` is what `/metrics` shows."""
    health = HealthDoor(problems=problems, registry=registry)
    app = web.Application(middlewares=[_answer])
    app.router.add_get("/healthz", health.alive)
    app.router.add_get("/readyz", health.ready)
    app.router.add_get("/metrics", health.metrics)
    return app


@web.middleware
async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, and errors the same shape as those of the bridge."""
    request_id = request[REQUEST_ID] = RequestId(str(uuid.uuid4()))
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        rejected = Rejected(reason=Reason.METHOD_NOT_ALLOWED, message=f"Only {allowed} is allowed here.")
        return refused_response(RefusedError(rejected, headers={"Allow": allowed}), request_id)
    except web.HTTPNotFound:
        rejected = Rejected(reason=Reason.NOT_FOUND, message="There is nothing at this path.")
        return refused_response(RefusedError(rejected), request_id)
    except Exception:
        logger.exception("a defect ended request %s", request_id)
        return internal_response(request_id)
