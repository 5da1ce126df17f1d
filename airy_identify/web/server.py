"""Serving the application: where it listens, how slow callers may be, how it ends."""

import asyncio
import functools
import logging
import uuid
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from aiohttp import web
from aiohttp.http import HttpProcessingError

from airy_identify.core.values import RequestId
from airy_identify.web.errors import malformed_response

logger = logging.getLogger(__name__)

_BACKLOG = 1024
"""Connections that may wait to be accepted: a burst of callers is not turned away while the loop is busy."""
_HEAD_LINE_BYTES = 32 * 1024
"""The longest request line or header. Larger than usual, so that overlong keys, tokens and paths still get an error in
our shape that says what is wrong with them; longer ones are `malformed_http`, as is what is no HTTP at all."""


class _ProtocolLogger(logging.LoggerAdapter[logging.Logger]):
    """Says that a request was no HTTP without quoting it: what would be quoted could be a token."""

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[object, MutableMapping[str, Any]]:
        error = kwargs.get("exc_info")
        if isinstance(error, HttpProcessingError):
            kwargs["exc_info"] = None
            return f"{msg}: {type(error).__name__}", kwargs
        return msg, kwargs


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the server waits for callers, in seconds.

    Args:
        idle_s: How long a connection may stand open without a complete request head.
        linger_s: How long the rest of a refused body is read away, so that the caller sees the answer and not a reset.
        send_s: How long a caller may take to read its answer.
    """

    idle_s: float = 75.0
    linger_s: float = 2.0
    send_s: float = 30.0


class _Connection(web.RequestHandler):
    """A connection that answers what its parser refuses in the shape of every error, and waits for no slow reader."""

    __slots__ = ("_send_s",)

    def __init__(self, manager: web.Server, *, send_s: float, **more: Any) -> None:  # noqa: ANN401 - aiohttp's own
        super().__init__(manager, **more)
        self._send_s = send_s

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin. An answer counts as sent only when all of it has been handed to the system."""
        cast(asyncio.Transport, transport).set_write_buffer_limits(high=0)
        super().connection_made(transport)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer. A caller that does not read it loses the connection: closing it in good order would wait."""
        try:
            async with asyncio.timeout(self._send_s):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            logger.info("a caller did not read its answer in %g s", self._send_s)
            if self.transport is not None:
                self.transport.abort()
            raise ConnectionResetError("the caller did not read its answer") from None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Log it as aiohttp does; raises `ConnectionError` when the answer has begun."""
        super().handle_error(request, status, exc, message)
        return malformed_response(RequestId(str(uuid.uuid4())))


class _Runner(web.AppRunner):
    """A runner whose connections are ours: aiohttp has no setting for their class."""

    __slots__ = ("_send_s",)

    def __init__(self, app: web.Application, *, send_s: float, **more: Any) -> None:  # noqa: ANN401 - aiohttp's own
        super().__init__(app, **more)
        self._send_s = send_s

    @property
    def server(self) -> web.Server | None:
        """What makes the protocol of each connection. Used by sites only."""
        server = super().server
        if server is None:
            return None
        options = server._kwargs  # noqa: SLF001 - see the class
        make = functools.partial(_Connection, server, loop=server._loop, send_s=self._send_s, **options)  # noqa: SLF001
        return cast(web.Server, make)


@asynccontextmanager
async def serving(
    app: web.Application, *, host: str, port: int, grace_s: float, patience: Patience | None = None
) -> AsyncIterator[tuple[str, int]]:
    """Serve within the block; yields the address, which tells the port when `port` is 0.

    At its end no new connection is accepted, requests that were begun are answered, for `grace_s` at most, and then
    all connections are closed. A caller that hangs up cancels the handling of its request.

    Raises:
        OSError: The address cannot be listened on.
    """
    patience = patience or Patience()
    runner = _Runner(
        app,
        send_s=patience.send_s,
        access_log=None,  # the application logs by itself, without paths and addresses
        handler_cancellation=True,
        keepalive_timeout=patience.idle_s,
        lingering_time=patience.linger_s,
        max_line_size=_HEAD_LINE_BYTES,
        max_field_size=_HEAD_LINE_BYTES,
        shutdown_timeout=grace_s,
        logger=_ProtocolLogger(logger, {}),
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        address = runner.addresses[0]
        yield address[0], address[1]
    finally:
        await runner.cleanup()
