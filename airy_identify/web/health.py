"""What operators and their machines ask the bridge: is it alive, is it ready and if not why, its metrics."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from airy_identify.core.reasons import HTTP_STATUS, Reason
from airy_identify.web.errors import json_response
from airy_identify.web.request_ids import REQUEST_ID


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthDoor:
    """`problems` says why no request could be answered now, one line each; none when all is well."""

    problems: Callable[[], Sequence[str]]
    registry: CollectorRegistry

    async def alive(self, _request: web.Request) -> web.Response:
        """Answer 200 as long as the process answers at all."""
        return json_response(b'{"status":"alive"}', 200)

    async def ready(self, request: web.Request) -> web.Response:
        """Answer 200 when requests can be answered, else 503 with the reasons, in the shape of every error."""
        problems = list(self.problems())
        if not problems:
            return json_response(b'{"status":"ready"}', 200)
        error = {
            "message": "Not ready: " + "; ".join(problems),
            "code": Reason.UNAVAILABLE.value,
            "field": None,
            "request_id": request[REQUEST_ID],
            "status": "not ready",
            "reasons": problems,
        }
        return json_response(json.dumps(error).encode(), HTTP_STATUS[Reason.UNAVAILABLE])

    async def metrics(self, _request: web.Request) -> web.Response:
        """Answer with the metrics in Prometheus' text format."""
        return web.Response(body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
