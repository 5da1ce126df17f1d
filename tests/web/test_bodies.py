"""Bodies: what is too large, too slow, broken off or announced but not yet sent."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from airy_identify.web.bodies import BodyLimits
from tests.web.bridge import BODY, HEADERS, PATH, TOKEN, Bridge, running_bridge
from tests.web.waiting import DEADLINE_S

JSON = {"Content-Type": "application/json"}
MAX = 64 * 1024


def padded(size: int) -> bytes:
    return json.dumps(BODY).encode().ljust(size)


async def chunks(body: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def converse(bridge: Bridge, head: str, *parts: bytes) -> bytes:
    """Send the head and the parts, wait for the server to close or answer completely, and return all of it."""
    reader, writer = await asyncio.open_connection(bridge.host, bridge.port)
    writer.write(head.replace("\n", "\r\n").encode())
    for part in parts:
        writer.write(part)
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def head(*more: str, token: str = TOKEN) -> str:
    lines = [f"POST {PATH} HTTP/1.1", "Host: bridge", f"Authorization: {token}", *more]
    return "\n".join([*lines, "Content-Type: application/json", "", ""])


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "status"), [(MAX, 200), (MAX + 1, 413)])
async def test_64_kib_are_allowed_and_not_a_byte_more(bridge: Bridge, size: int, status: int, chunked: bool) -> None:  # noqa: FBT001
    body = padded(size)
    got, answer, _ = await bridge.send("POST", data=chunks(body) if chunked else body, headers=HEADERS | JSON)
    assert got == status
    assert answer.get("code", "body_too_large") == "body_too_large"


async def test_a_body_announced_as_too_large_is_refused_before_a_byte_of_it_is_sent(bridge: Bridge) -> None:
    answer = await converse(bridge, head(f"Content-Length: {MAX + 1}"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()


async def test_a_chunked_body_is_refused_as_soon_as_it_is_too_large(bridge: Bridge) -> None:
    chunk = b"%x\r\n%s\r\n" % (MAX + 1, padded(MAX + 1))
    answer = await converse(bridge, head("Transfer-Encoding: chunked"), chunk)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_compressed_body_counts_as_what_it_becomes(bridge: Bridge) -> None:
    status, _, _ = await bridge.send("POST", data=padded(MAX * 4), headers=HEADERS | JSON, compress="gzip")
    assert status == 413


async def test_a_damaged_compressed_body_is_malformed(bridge: Bridge) -> None:
    headers = HEADERS | JSON | {"Content-Encoding": "gzip"}
    status, answer, _ = await bridge.send("POST", data=b"no gzip at all", headers=headers)
    assert (status, answer["code"]) == (400, "malformed_json")


async def test_a_body_that_is_never_completed_is_given_up() -> None:
    async with running_bridge(limits=BodyLimits(timeout_s=0.05)) as bridge:
        answer = await converse(bridge, head("Content-Length: 100"), b'{"channel_id":')
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"malformed_json" in answer
        assert bridge.asker.commands == []
        assert (await bridge.post())[0] == 200


async def test_a_stranger_is_refused_before_the_body_is_read(bridge: Bridge) -> None:
    answer = await converse(bridge, head("Content-Length: 100", "Connection: close", token="wrong"))
    assert answer.startswith(b"HTTP/1.1 401 ")


def expecting(token: str, content_length: int) -> str:
    return head("Expect: 100-continue", f"Content-Length: {content_length}", "Connection: close", token=token)


async def test_who_asks_before_sending_is_told_to_go_on_only_when_the_body_is_wanted(bridge: Bridge) -> None:
    body = padded(200)
    accepted = await converse(bridge, expecting(TOKEN, len(body)), body)
    assert accepted.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert (await converse(bridge, expecting("wrong", 200))).startswith(b"HTTP/1.1 401 ")
    assert (await converse(bridge, expecting(TOKEN, MAX + 1))).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", ';charset="UTF-8"', "; charset=us-ascii"])
async def test_json_may_name_its_charset(bridge: Bridge, charset: str) -> None:
    headers = HEADERS | {"Content-Type": f"Application/JSON{charset}"}
    assert (await bridge.send("POST", data=padded(100), headers=headers))[0] == 200


@pytest.mark.parametrize(
    "media_type",
    ["application/x-www-form-urlencoded", "text/plain", "application/json-seq", "application/vnd.api+json"],
)
async def test_other_media_types_are_refused_with_the_header_to_send(bridge: Bridge, media_type: str) -> None:
    status, answer, headers = await bridge.send(
        "POST", data=padded(100), headers=HEADERS | {"Content-Type": media_type}
    )
    assert (status, answer["code"], headers["Accept"]) == (415, "unsupported_media_type", "application/json")
    assert "Content-Type: application/json" in answer["message"]
