"""One address for several servers: a plain TCP proxy that gives each connection to the next server that takes it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

CHUNK_BYTES = 64 * 1024


@asynccontextmanager
async def round_robin(ports: Sequence[int]) -> AsyncIterator[str]:
    """Listen on a free port of this machine within the block, and yield the URL; `ports` are those of the servers."""
    turn = itertools.cycle(range(len(ports)))
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        task.add_done_callback(connections.discard)
        with suppress(ConnectionError, asyncio.CancelledError):
            first = next(turn)
            for port in (*ports[first:], *ports[:first]):
                with suppress(ConnectionRefusedError):
                    behind = await asyncio.open_connection("127.0.0.1", port)
                    await _join((reader, writer), behind)
                    break
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=1024)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in connections:
            task.cancel()
        if connections:
            await asyncio.wait(connections)


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _join(one: Connection, other: Connection) -> None:
    """Pass bytes on in both directions until either side closes, then close both."""
    pumps = [asyncio.create_task(_pump(one[0], other[1])), asyncio.create_task(_pump(other[0], one[1]))]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.wait(pumps)
        for _, writer in (one, other):
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
