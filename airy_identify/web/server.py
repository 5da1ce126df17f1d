"""Serving the application: where it listens, how slow callers may be, how it ends."""

import logging
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

logger = logging.getLogger(__name__)

_IDLE_S = 75.0
"""How long a connection may stand open without a complete request head."""
LINGER_S = 2.0
"""How long the rest of a refused body is read away, so that the caller sees the answer and not a reset."""
_HEAD_LINE_BYTES = 32 * 1024
"""The longest request line or header. Larger than usual, so that overlong keys, tokens and paths still get an error in
our shape: what the parser refuses (longer lines, or no HTTP at all) is answered 400 by aiohttp as plain text."""


class _ProtocolLogger(logging.LoggerAdapter[logging.Logger]):
    """Says that a request was no HTTP without quoting it: what would be quoted could be a token."""

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        error = kwargs.get("exc_info")
        if isinstance(error, HttpProcessingError):
            kwargs["exc_info"] = None
            return f"{msg}: {type(error).__name__}", kwargs
        return msg, kwargs


@asynccontextmanager
async def serving(
    app: web.Application, *, host: str, port: int, grace_s: float, linger_s: float = LINGER_S
) -> AsyncIterator[tuple[str, int]]:
    """Serve within the block; yields the address, which tells the port when `port` is 0.

    At its end no new connection is accepted, requests that were begun are answered, for `grace_s` at most, and then
    all connections are closed. A caller that hangs up cancels the handling of its request.

    Raises:
        OSError: The address cannot be listened on.
    """
    runner = web.AppRunner(
        app,
        access_log=None,  # the application logs by itself, without paths and addresses
        handler_cancellation=True,
        keepalive_timeout=_IDLE_S,
        lingering_time=linger_s,
        max_line_size=_HEAD_LINE_BYTES,
        max_field_size=_HEAD_LINE_BYTES,
        shutdown_timeout=grace_s,
        logger=_ProtocolLogger(logger, {}),
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        address = runner.addresses[0]
        yield address[0], address[1]
    finally:
        await runner.cleanup()
