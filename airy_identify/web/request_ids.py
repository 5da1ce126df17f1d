"""The id of a request: the caller's `Idempotency-Key`, else a new one."""

from collections.abc import Callable

from aiohttp import web

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import RequestId
from airy_identify.intake.requests import REQUEST_ID_CHARACTERS_MAX, is_request_id
from airy_identify.web.errors import RefusedError

HEADER = "Idempotency-Key"
REQUEST_ID = web.RequestKey("request_id", RequestId)
"""Where a request carries its id; every request has one before anything else happens."""


def request_id(request: web.Request, new_id: Callable[[], str]) -> RequestId:
    """Return the caller's key if it is one, else a new id: every answer has one, also a refusal of the key itself."""
    key = _key(request)
    return RequestId(new_id() if key is None else key)


def require_valid_key(request: web.Request) -> None:
    """Check the key where the order of the checks has it: after the body was read, before it is understood.

    Raises:
        RefusedError: `invalid_field`: it is there, but not once, or not of 1 to 255 printable ASCII characters.
    """
    if HEADER in request.headers and _key(request) is None:
        message = f"{HEADER} has to be one value of 1 to {REQUEST_ID_CHARACTERS_MAX} printable ASCII characters."
        raise RefusedError(Rejected(reason=Reason.INVALID_FIELD, message=message, field=HEADER))


def _key(request: web.Request) -> str | None:
    values = request.headers.getall(HEADER, ())
    return values[0] if len(values) == 1 and is_request_id(values[0]) else None
