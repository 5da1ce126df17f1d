"""The interface, told by the bridge itself: for programs at `/openapi.json`, for people at `/docs`."""

import functools
import json

from aiohttp import web

from airy_identify.web.errors import json_response
from airy_identify.web.openapi.document import openapi
from airy_identify.web.openapi.page import CONTENT_SECURITY_POLICY, page


class DocumentationDoor:
    """Makes each once, when it is first asked for."""

    @functools.cached_property
    def _json(self) -> bytes:
        return json.dumps(openapi(), ensure_ascii=False).encode()

    @functools.cached_property
    def _page(self) -> str:
        return page(openapi())

    async def openapi(self, _request: web.Request) -> web.Response:
        """Answer with the OpenAPI document."""
        return json_response(self._json, 200)

    async def page(self, _request: web.Request) -> web.Response:
        """Answer with a page that loads nothing."""
        headers = {
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        return web.Response(text=self._page, content_type="text/html", charset="utf-8", headers=headers)
