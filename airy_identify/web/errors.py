"""The error answers of the bridge: every one has `message`, `code`, `field` and `request_id`."""

import json
from collections.abc import Mapping

from aiohttp import web

from airy_identify.core.reasons import HTTP_STATUS, Reason, Rejected
from airy_identify.core.values import RequestId
from airy_identify.wire.answers import encode_error

INTERNAL_STATUS = 500
INTERNAL_CODE = "internal_error"
"""A defect of the bridge itself. It is no reason to refuse a request, so it is not in the table of reasons."""

MALFORMED_STATUS = 400
MALFORMED_CODE = "malformed_http"
"""Not even a request: the parser of HTTP gave it up. No request of ours is refused with it, so it is no reason either."""

CODE = web.ResponseKey("code", str)
"""Where an error answer carries its code, for the log."""

_RETRY_AFTER_S = 1
_RETRIED_LATER = {HTTP_STATUS[Reason.UNAVAILABLE], HTTP_STATUS[Reason.RATE_LIMITED]}


class RefusedError(Exception):
    """Ends the handling of a request with an error answer. It stays within this package.

    `headers` go with the answer. With `close` the connection ends after it, because the body was not read.
    """

    retriable = False

    def __init__(self, rejected: Rejected, *, headers: Mapping[str, str] | None = None, close: bool = False) -> None:
        super().__init__(rejected.message)
        self.rejected = rejected
        self.headers = dict(headers or {})
        self.close = close


def json_response(body: bytes, status: int, *, code: str | None = None) -> web.Response:
    """Return an answer with this JSON, and the code if it is an error.

    One that is worth repeating says after how many seconds.
    """
    response = web.Response(body=body, status=status, content_type="application/json", charset="utf-8")
    if code is not None:
        response[CODE] = code
    if status in _RETRIED_LATER:  # a better estimate, where there is one, replaces it
        response.headers["Retry-After"] = str(_RETRY_AFTER_S)
    return response


def rejected_response(rejected: Rejected, request_id: RequestId) -> web.Response:
    """Return the answer to a refused request."""
    body = encode_error(rejected, request_id)
    return json_response(body, HTTP_STATUS[rejected.reason], code=rejected.reason.value)


def refused_response(error: RefusedError, request_id: RequestId) -> web.Response:
    """Return the answer to a request that was refused on the way to its handler."""
    response = rejected_response(error.rejected, request_id)
    response.headers.update(error.headers)
    if error.close:
        response.force_close()
    return response


def internal_response(request_id: RequestId) -> web.Response:
    """Return the answer to a request that met a defect; what it was is in the log only."""
    message = "Something went wrong here; it is not your request. The log has the details under this request_id."
    return _plain_error(message, INTERNAL_CODE, INTERNAL_STATUS, request_id)


def malformed_response(request_id: RequestId) -> web.Response:
    """Return the answer to bytes that are no HTTP, or have a line that is too long. It quotes nothing of them."""
    message = "This is no HTTP/1.1 that can be understood here, or a line of its head is longer than 32 KiB."
    response = _plain_error(message, MALFORMED_CODE, MALFORMED_STATUS, request_id)
    response.force_close()
    return response


def _plain_error(message: str, code: str, status: int, request_id: RequestId) -> web.Response:
    error = {"message": message, "code": code, "field": None, "request_id": request_id}
    return json_response(json.dumps(error, separators=(",", ":")).encode(), status, code=code)
