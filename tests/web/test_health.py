import asyncio
import json
import logging

import pytest

from tests.web.bridge import BODY, HEADERS, PATH, TOKEN, Bridge
from tests.web.documented import assert_documented


async def test_alive_even_when_nothing_works(bridge: Bridge) -> None:
    bridge.problems[:] = ["Kafka is gone"]
    bridge.channels_ready = False
    assert (await bridge.send("GET", "/healthz"))[0] == 200


async def test_not_ready_says_why(bridge: Bridge) -> None:
    bridge.problems[:] = ["answer reader: no answer from Kafka in 3 s", "the channels have not been read yet"]
    status, answer, headers = await bridge.send("GET", "/readyz")
    assert (status, answer["code"], headers["Retry-After"]) == (503, "unavailable", "1")
    assert answer["reasons"] == ["answer reader: no answer from Kafka in 3 s", "the channels have not been read yet"]
    assert all(reason in answer["message"] for reason in answer["reasons"])
    assert answer["request_id"]


async def test_ready_when_there_is_nothing_to_say(bridge: Bridge) -> None:
    assert (await bridge.send("GET", "/readyz"))[:2] == (200, {"status": "ready"})


async def test_before_the_channels_are_read_only_what_depends_on_them_is_unavailable(bridge: Bridge) -> None:
    bridge.channels_ready = False
    for body, status in ((BODY, 503), (BODY | {"channel_id": "not read yet"}, 503), (BODY | {"email": "x"}, 400)):
        assert (await bridge.post(body))[0] == status
    assert bridge.asker.commands == []
    bridge.channels_ready = True
    assert (await bridge.post())[0] == 200


async def test_metrics_count_by_route_and_never_by_the_path_as_given(bridge: Bridge) -> None:
    await bridge.post()
    await bridge.send("POST", "/jane@example.com")
    status, text, headers = await bridge.send("GET", "/metrics")
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "text/plain")
    assert f'airy_identify_http_requests_total{{route="{PATH}",status="200"}} 1.0' in text
    assert 'airy_identify_http_requests_total{route="unknown",status="404"} 1.0' in text
    assert "jane" not in text


async def test_refusals_are_counted_by_their_code(bridge: Bridge) -> None:
    await bridge.post()
    await bridge.post({"email": "jane@@example"})
    await bridge.send("GET", "/readyz")
    _, text, _ = await bridge.send("GET", "/metrics")
    counted = [line for line in text.splitlines() if "http_refusals_total{" in line]
    assert counted == ['airy_identify_http_refusals_total{code="missing_field"} 1.0']


async def test_the_log_has_one_line_a_request_and_nobodys_data(
    bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "airy_identify")
    person = {"email": "jane@example.com", "phone_number": "+4915112345678", "metadata": {"plan": "gold-plan"}}
    await bridge.post(BODY | person, headers={"Idempotency-Key": "key-1"})
    await bridge.post({"email": "jane@@example"}, path="/contacts.identify?email=jane")
    await bridge.send("POST", "/jane@example.com", headers=HEADERS)
    for path in ("/healthz", "/readyz", "/metrics"):
        await bridge.send("GET", path)
    lines = [vars(record) for record in caplog.records]
    assert [(line["route"], line["status"], line["method"]) for line in lines] == [
        (PATH, 200, "POST"),
        (PATH, 400, "POST"),
        ("unknown", 404, "POST"),
    ]
    assert lines[0]["request_id"] == "key-1"
    assert lines[0]["duration_ms"] >= 0
    for secret in (TOKEN, "jane", "4915112345678", "gold-plan"):
        assert secret not in str([{**line, "args": None} for line in lines])


@pytest.mark.parametrize("where", ["header", "path"])
async def test_a_line_that_is_too_long_is_answered_in_the_same_shape(bridge: Bridge, where: str) -> None:
    endless = "x" * 40_000
    sent = {"path": f"/{endless}"} if where == "path" else {"headers": HEADERS | {"X-Endless": endless}}
    status, answer, headers = await bridge.send("POST", **sent)
    assert (status, answer["code"]) == (400, "malformed_http")
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert (await bridge.post())[0] == 200


async def test_what_is_no_http_is_logged_without_quoting_it(bridge: Bridge, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = await asyncio.open_connection(bridge.host, bridge.port)
    writer.write(f"GET / HTTP/1.1\r\nAuthorization {TOKEN}\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 400 ")
    assert_documented(PATH, "POST", 400, json.loads(body))
    assert (json.loads(body)["code"], json.loads(body)["field"]) == ("malformed_http", None)
    assert json.loads(body)["request_id"]
    assert TOKEN.encode() not in body
    writer.close()
    assert caplog.records
    assert TOKEN not in caplog.text
