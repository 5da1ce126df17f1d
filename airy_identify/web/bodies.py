"""Reading the body of a request: only JSON, never more than allowed, never longer than allowed."""

import asyncio
from dataclasses import dataclass

from aiohttp import HttpVersion11, web

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.web.errors import RefusedError

JSON_TYPE = "application/json"

_CHARSETS = ("", "utf-8", "utf8", "us-ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """How large a body may be, and how long a caller may take to send it."""

    bytes_max: int = 64 * 1024
    timeout_s: float = 10.0


async def expect_later(request: web.Request) -> None:
    """Do not ask for the body of a request with `Expect: 100-continue` yet: `read_body` does, when it wants it."""


def require_json(request: web.Request) -> None:
    """Check the header `Content-Type`: `application/json`, and UTF-8 if it names a charset.

    Raises:
        RefusedError: `unsupported_media_type`.
    """
    once = len(request.headers.getall("Content-Type", ())) == 1
    if once and request.content_type == JSON_TYPE and (request.charset or "").lower() in _CHARSETS:
        return
    message = f"Send the body as JSON in UTF-8, with the header `Content-Type: {JSON_TYPE}`."
    raise RefusedError(Rejected(reason=Reason.UNSUPPORTED_MEDIA_TYPE, message=message), headers={"Accept": JSON_TYPE})


async def read_body(request: web.Request, limits: BodyLimits) -> bytes:
    """Return the body. What is announced as too large is not read at all, and of the rest no more than allowed.

    Raises:
        RefusedError: `body_too_large`, or `malformed_json` when the body is broken off, damaged or too slow.
    """
    if (request.content_length or 0) > limits.bytes_max:
        raise _too_large(limits)
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun
    try:
        async with asyncio.timeout(limits.timeout_s):
            return await _read(request, limits)
    except TimeoutError:
        message = f"The body was not complete after {limits.timeout_s:g} s."
    except web.RequestPayloadError:
        message = "The body could not be read: it does not fit its headers."
    raise RefusedError(Rejected(reason=Reason.MALFORMED_JSON, message=message), close=True)


async def _read(request: web.Request, limits: BodyLimits) -> bytes:
    body = bytearray()
    while chunk := await request.content.readany():
        body += chunk
        if len(body) > limits.bytes_max:
            raise _too_large(limits)
    return bytes(body)


def _too_large(limits: BodyLimits) -> RefusedError:
    message = f"The body is larger than {limits.bytes_max} bytes."
    return RefusedError(Rejected(reason=Reason.BODY_TOO_LARGE, message=message), close=True)
