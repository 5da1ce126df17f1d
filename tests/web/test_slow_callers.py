"""Callers that are slow, stop half-way or never read: what they cost ends with them."""

import asyncio
import gc
import json
import resource
import socket
from collections.abc import Iterator

import pytest

from airy_identify.web.asking import Answer
from airy_identify.web.bodies import BodyLimits
from airy_identify.web.server import Patience, _Connection
from tests.web.bridge import PATH, TOKEN, Bridge, running_bridge
from tests.web.waiting import until

HALF_OPEN = 2000
MANY_BYTES = 32 * 1024 * 1024
"""More than the system keeps for a connection, whatever it grows to."""
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(autouse=True)
def _enough_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def head(content_length: int) -> bytes:
    return (
        f"POST {PATH} HTTP/1.1\r\nHost: bridge\r\nAuthorization: {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {content_length}\r\n\r\n"
    ).encode()


def served() -> int:
    """Return how many connections a server of this process still has in memory."""
    gc.collect()
    return sum(isinstance(thing, _Connection) for thing in gc.get_objects())


async def connect(bridge: Bridge, sent: bytes) -> Connection:
    reader, writer = await asyncio.open_connection(bridge.host, bridge.port)
    writer.write(sent)
    await writer.drain()
    return reader, writer


async def test_thousands_of_half_sent_requests_leave_nothing_behind() -> None:
    """A third sends half a body, a third half a head, a third nothing; half of all hang up, the others just wait."""
    before = served()
    sent = (head(60_000) + b"x" * 30_000, head(60_000)[:50], b"")
    async with running_bridge(limits=BodyLimits(timeout_s=4.0), patience=Patience(idle_s=4.0)) as bridge:
        half_open = [await connect(bridge, sent[number % len(sent)]) for number in range(HALF_OPEN)]
        await until(lambda: served() >= before + HALF_OPEN // 4, poll_s=0.05)
        assert (await bridge.post())[0] == 200
        for _, writer in half_open[::2]:
            writer.transport.abort()
        for reader, _ in half_open[1::2]:  # the server ends them all
            async with asyncio.timeout(60):
                await reader.read()
        assert (await bridge.post())[0] == 200
        assert len(bridge.asker.commands) == 2
        for _, writer in half_open:
            writer.close()
        await bridge.session.close()
        await until(lambda: served() == before, poll_s=0.05)
    assert {task.get_name() for task in asyncio.all_tasks()} == {asyncio.current_task().get_name()}  # type: ignore[union-attr]


async def test_a_caller_that_never_reads_its_answer_loses_the_connection() -> None:
    before = served()
    async with running_bridge(patience=Patience(send_s=0.2)) as bridge:
        bridge.asker.answer = lambda _command: Answer(status=200, body=b"x" * MANY_BYTES)
        body = json.dumps({"channel_id": "7f1ad1c5-0f0c-4d1f-8f3c-1d5f8a8a6f10", "external_id": "u"}).encode()
        deaf = socket.create_connection((bridge.host, bridge.port))
        try:
            deaf.sendall(head(len(body)) + body)
            await until(lambda: len(bridge.asker.commands) == 1, poll_s=0.01)
            await until(lambda: served() == before, poll_s=0.05)
        finally:
            deaf.close()
        bridge.asker.answer = bridge.asker.echo
        assert (await bridge.post())[0] == 200


async def test_a_caller_that_reads_slowly_but_reads_gets_all_of_it() -> None:
    async with running_bridge() as bridge:
        bridge.asker.answer = lambda _command: Answer(status=200, body=b"x" * MANY_BYTES)
        body = json.dumps({"channel_id": "7f1ad1c5-0f0c-4d1f-8f3c-1d5f8a8a6f10", "external_id": "u"}).encode()
        reader, writer = await connect(bridge, head(len(body)) + body)
        await reader.readuntil(b"\r\n\r\n")
        left = MANY_BYTES
        while left:
            left -= len(await reader.read(64 * 1024))
            await asyncio.sleep(0)
        writer.close()


async def test_who_opens_a_connection_and_says_nothing_is_let_go() -> None:
    async with running_bridge(patience=Patience(idle_s=0.1)) as bridge:
        for sent in (b"", b"POST /contacts", head(10)[:-2]):
            reader, writer = await connect(bridge, sent)
            async with asyncio.timeout(60):
                assert await reader.read() == b""
            writer.close()
        assert (await bridge.post())[0] == 200
