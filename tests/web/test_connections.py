"""Many callers at once, callers that hang up, and the end of the server."""

import asyncio
import json
import random

import aiohttp
import pytest

from airy_identify.web.app import HUNG_UP
from airy_identify.web.asking import Answer
from tests.web.bridge import BODY, HEADERS, PATH, TOKEN, Bridge, running_bridge
from tests.web.waiting import until

KEY = "Idempotency-Key"


def answer_to(request_id: str) -> Answer:
    return Answer(status=200, body=json.dumps({"request_id": request_id, "for": request_id[::-1]}).encode())


async def test_of_64_callers_at_once_each_gets_its_own_answer(bridge: Bridge) -> None:
    held = bridge.asker.hold()
    keys = [f"key-{number}" for number in range(64)]
    calls = [asyncio.create_task(bridge.post(headers={KEY: key})) for key in keys]
    arrived = [(await bridge.asker.arrivals.get()).request_id for _ in keys]
    random.Random(1).shuffle(arrived)
    for request_id in arrived:
        held[request_id].set_result(answer_to(request_id))
    answers = await asyncio.gather(*calls)
    assert answers == [(200, {"request_id": key, "for": key[::-1]}) for key in keys]


def raw_request(*, content_length: int | None = None) -> bytes:
    body = json.dumps(BODY).encode()
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: bridge\r\nAuthorization: {TOKEN}\r\n{KEY}: raw\r\n"
        f"Content-Type: application/json\r\nContent-Length: {content_length or len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def test_a_caller_that_hangs_up_gives_its_place_back(bridge: Bridge) -> None:
    bridge.asker.hold()
    _, writer = await asyncio.open_connection(bridge.host, bridge.port)
    writer.write(raw_request())
    await bridge.asker.arrivals.get()
    writer.close()
    assert (await bridge.asker.given_up.get()).request_id == "raw"
    bridge.asker.held = None
    assert (await bridge.post())[0] == 200
    assert bridge.count(route=PATH, status=HUNG_UP) == 1


async def test_a_caller_that_hangs_up_in_its_body_leaves_nothing(
    bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection(bridge.host, bridge.port)
    writer.write(raw_request(content_length=5000))
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await until(lambda: bridge.count(route=PATH, status=HUNG_UP) == 1)
    assert bridge.asker.commands == []
    assert "Traceback" not in caplog.text


async def test_requests_on_one_connection_are_answered_in_turn(bridge: Bridge) -> None:
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        for number in range(3):
            url = f"http://{bridge.host}:{bridge.port}{PATH}"
            async with session.post(url, json=BODY, headers=HEADERS | {KEY: str(number)}) as response:
                assert (await response.json())["request_id"] == str(number)
    assert len(bridge.asker.commands) == 3


async def test_the_end_of_the_server_waits_for_answers_that_are_on_their_way() -> None:
    async with running_bridge() as bridge:
        held = bridge.asker.hold()
        call = asyncio.create_task(bridge.post(headers={KEY: "last"}))
        await bridge.asker.arrivals.get()
        ending = asyncio.get_running_loop().create_future()

        async def refused_then_answer() -> None:
            while True:  # until nothing listens there any more
                try:
                    _, writer = await asyncio.open_connection(bridge.host, bridge.port)
                except ConnectionRefusedError:
                    break
                writer.close()
                await asyncio.sleep(0)
            held["last"].set_result(answer_to("last"))
            ending.set_result(await call)

        watcher = asyncio.create_task(refused_then_answer())
        await bridge.stop()
        await watcher
        assert ending.result()[0] == 200


async def test_the_end_of_the_server_does_not_wait_for_ever() -> None:
    async with running_bridge(grace_s=0.05) as bridge:
        bridge.asker.hold()
        call = asyncio.create_task(bridge.post())
        command = await bridge.asker.arrivals.get()
        await bridge.stop()
        assert await bridge.asker.given_up.get() == command
        with pytest.raises(aiohttp.ClientError):
            await call


async def test_a_request_without_a_path_is_not_found_in_the_same_shape(bridge: Bridge) -> None:
    reader, writer = await asyncio.open_connection(bridge.host, bridge.port)
    writer.write(b"OPTIONS * HTTP/1.1\r\nHost: bridge\r\nConnection: close\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 404 ")
    assert json.loads(body)["code"] == "not_found"
