"""A bridge with more callers than it may hold, and as many that send half a request: it refuses at once, lives, and recovers."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from airy_identify.bootstrap.process import raise_open_files_limit
from airy_identify.settings import Settings
from tests.kafka.conftest import SYSTEM_TOKEN
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.service import poll, put_channels
from tests.web.documented import assert_documented

PATH = "/contacts.identify"
PENDING_MAX = 20
CALLERS = 400
HALF_OPEN = 1500


async def pending(bridge: ServiceProcess) -> float:
    _, text = await bridge.status("/metrics")
    (family,) = (each for each in text_string_to_metric_families(text) if each.name == "airy_identify_http_pending")
    return float(family.samples[0].value)


async def test_a_full_bridge_refuses_at_once_and_goes_on(
    make_installation: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    """Without a worker nothing is answered, so the first requests wait; the worker comes when the others were refused."""
    raise_open_files_limit()  # for the callers, which are in this process
    settings = await make_installation(pending_requests_max=PENDING_MAX, request_timeout_ms=120_000)
    channel = str(uuid.uuid4())
    await put_channels(settings, [channel])
    bridge, worker = (ServiceProcess(command, settings, tmp_path) for command in ("web", "worker"))
    refused: list[dict[str, Any]] = []

    async def call(session: aiohttp.ClientSession, number: int) -> int:
        body = {"channel_id": channel, "external_id": f"person-{number}"}
        async with session.post(PATH, json=body) as response:
            answer = await response.json()
            assert_documented(PATH, "POST", response.status, answer)
            if response.status == 503:
                assert (answer["code"], response.headers["Retry-After"]) == ("unavailable", "1")
                refused.append(answer)
            else:
                assert answer["contact"]["external_id"] == body["external_id"]
            return response.status

    async with (
        ended_afterwards(bridge, worker),
        aiohttp.ClientSession(
            bridge.url,
            headers={"Authorization": f"Bearer {SYSTEM_TOKEN}"},
            connector=aiohttp.TCPConnector(limit=0),
        ) as session,
    ):
        await bridge.start().until_ready()
        half_open = await open_half(bridge)
        calls = [asyncio.create_task(call(session, number)) for number in range(CALLERS)]

        async def all_others_are_refused() -> bool:
            return len(refused) == CALLERS - PENDING_MAX

        await poll(all_others_are_refused, "not all that are too many were refused at once")
        assert await pending(bridge) == PENDING_MAX
        assert (await bridge.status())[0] == 200
        await worker.start().until_ready()
        assert sorted(await asyncio.gather(*calls)) == [200] * PENDING_MAX + [503] * (CALLERS - PENDING_MAX)
        assert await pending(bridge) == 0
        assert await call(session, CALLERS) == 200
        for writer in half_open:
            writer.transport.abort()
        assert "Traceback" not in bridge.log_file.read_text(encoding="utf-8")
        assert await bridge.terminate() == 0


async def open_half(bridge: ServiceProcess) -> list[asyncio.StreamWriter]:
    """Open connections that send half a request and then nothing."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {SYSTEM_TOKEN}\r\nContent-Type: application/json\r\n"
    writers = []
    for number in range(HALF_OPEN):
        _, writer = await asyncio.open_connection("127.0.0.1", bridge.port)
        writer.write(head.encode() + (b"Content-Length: 60000\r\n\r\n{" if number % 2 else b""))
        writers.append(writer)
    return writers
