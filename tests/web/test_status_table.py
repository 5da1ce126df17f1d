"""Every status and code that `POST /contacts.identify` can answer, and the shape of all of them."""

from typing import Any

import pytest

from airy_identify.core.reasons import HTTP_STATUS, Reason
from airy_identify.web.asking import Answer
from tests.builders import CHANNEL_ID
from tests.web.bridge import (
    BODY,
    DISCONNECTED_CHANNEL_ID,
    FACEBOOK_CHANNEL_ID,
    HEADERS,
    PATH,
    Bridge,
    error_answer,
    rejected,
)

JSON = {"Content-Type": "application/json"}
KEY = "Idempotency-Key"


def sent(**more: Any) -> dict[str, Any]:
    return {"method": "POST", "path": PATH, "headers": HEADERS | JSON, "data": b'{"channel_id":"c"}'} | more


def fields(**over: Any) -> dict[str, Any]:
    return {"method": "POST", "path": PATH, "headers": HEADERS, "json": BODY | over}


TABLE = [
    ("malformed_json", 400, None, sent(data=b'{"channel_id":')),
    ("malformed_json", 400, None, sent(data=b"[]")),
    ("malformed_json", 400, None, sent(data=b"")),
    ("malformed_json", 400, None, sent(data=b'{"a":NaN}')),
    ("malformed_json", 400, None, sent(data=b'{"a":1e999}')),
    ("malformed_json", 400, None, sent(data=b'"\xff"')),
    ("malformed_json", 400, None, sent(data=b"[" * 60_000)),
    ("invalid_field", 400, "external_id", fields(external_id=7)),
    ("invalid_field", 400, "identifiers.device_id", fields(identifiers={"device_id": 7})),
    ("invalid_field", 400, "unverified", fields(unverified=["external_id"])),
    ("invalid_field", 400, "on_conflict", fields(on_conflict="shrug")),
    ("invalid_field", 400, "dry_run", fields(dry_run="yes")),
    ("invalid_field", 400, "tenant", fields(tenant="UPPER")),
    ("missing_field", 400, "channel_id", fields(channel_id=None)),
    ("missing_identifier", 400, None, fields(external_id="  ")),
    ("invalid_email", 400, "email", fields(email="nobody")),
    ("invalid_phone_number", 400, "phone_number", fields(phone_number="12")),
    ("blocked_identifier", 400, "external_id", fields(external_id="undefined")),
    ("invalid_metadata", 400, "metadata", fields(metadata=[1])),
    ("unsupported_channel", 400, "channel_id", fields(channel_id=FACEBOOK_CHANNEL_ID)),
    ("unauthorized", 401, None, fields() | {"headers": {}}),
    ("unauthorized", 401, None, fields() | {"headers": {"Authorization": "x" * 20_000}}),
    ("unknown_channel", 404, "channel_id", fields(channel_id="nobody-knows-it")),
    ("unknown_channel", 404, "channel_id", fields(channel_id=DISCONNECTED_CHANNEL_ID)),
    ("unknown_channel", 404, "channel_id", fields(tenant="another")),
    ("not_found", 404, None, sent(path="/contacts.identify/")),
    ("not_found", 404, None, sent(path="/", headers={})),
    ("not_found", 404, None, sent(path="/contacts.identify%0A")),
    ("not_found", 404, None, sent(path="/" + "x" * 20_000)),
    ("method_not_allowed", 405, None, sent(method="GET", data=None)),
    ("method_not_allowed", 405, None, sent(method="OPTIONS", data=None)),
    ("method_not_allowed", 405, None, sent(method="DELETE", path="/healthz", headers={}, data=None)),
    ("body_too_large", 413, None, sent(data=b" " * (64 * 1024 + 1))),
    ("unsupported_media_type", 415, None, sent(headers=HEADERS | {"Content-Type": "text/json"})),
    ("unsupported_media_type", 415, None, sent(headers=HEADERS | {"Content-Type": "application/json; charset=utf-16"})),
    ("unsupported_media_type", 415, None, sent(headers=HEADERS, data={"channel_id": CHANNEL_ID})),
    ("unsupported_media_type", 415, None, sent(headers=HEADERS, skip_auto_headers=["Content-Type"])),
    ("invalid_field", 400, KEY, fields() | {"headers": HEADERS | {KEY: ""}}),
    ("invalid_field", 400, KEY, fields() | {"headers": HEADERS | {KEY: "x" * 256}}),
    ("invalid_field", 400, KEY, fields() | {"headers": HEADERS | {KEY: "x" * 20_000}}),
    ("invalid_field", 400, KEY, fields() | {"headers": HEADERS | {KEY: "ä"}}),
    ("invalid_field", 400, KEY, fields() | {"headers": HEADERS | {KEY: "a\tb"}}),
]


@pytest.mark.parametrize(("code", "status", "field", "request_"), TABLE)
async def test_a_refusal_has_its_status_code_field_and_id(
    bridge: Bridge, code: str, status: int, field: str | None, request_: dict[str, Any]
) -> None:
    got, answer, headers = await bridge.send(**request_)
    assert (got, answer["code"], answer["field"]) == (status, code, field)
    assert set(answer) == {"message", "code", "field", "request_id"}
    assert answer["message"]
    assert answer["request_id"] == "uuid-1"
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert bridge.asker.commands == []


@pytest.mark.parametrize("reason", [Reason.UNAVAILABLE, Reason.TIMEOUT])
async def test_trouble_with_kafka_has_its_status(bridge: Bridge, reason: Reason) -> None:
    bridge.asker.answer = rejected(reason)
    status, answer, headers = await bridge.send(**fields())
    assert (status, answer["code"], answer["request_id"]) == (HTTP_STATUS[reason], reason, "uuid-1")
    assert headers.get("Retry-After") == ("1" if reason is Reason.UNAVAILABLE else None)


async def test_a_workers_error_is_passed_on_with_its_status(bridge: Bridge) -> None:
    bridge.asker.answer = error_answer(Reason.IDENTIFIER_CONFLICT, 409)
    status, answer = await bridge.post()
    assert (status, answer["code"], answer["request_id"]) == (409, "identifier_conflict", "r")


async def test_a_defect_is_answered_in_the_same_shape_and_tells_nothing(
    bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_command: object) -> Any:
        raise LookupError("secret detail")

    bridge.asker.answer = broken
    status, answer = await bridge.post()
    assert status == 500
    assert set(answer) == {"message", "code", "field", "request_id"}
    assert answer["code"] == "internal_error"
    assert "secret" not in str(answer)
    assert "secret detail" in caplog.text
    assert bridge.count(route=PATH, status=500) == 1


async def test_an_answer_is_passed_on_byte_for_byte(bridge: Bridge) -> None:
    body = b'{ "contact" : {"display_name": "J\xc3\xbcrgen"}, "contact":1 }'
    bridge.asker.answer = lambda _command: Answer(status=200, body=body)
    async with bridge.session.post(f"http://{bridge.host}:{bridge.port}{PATH}", json=BODY, headers=HEADERS) as response:
        assert await response.read() == body
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
