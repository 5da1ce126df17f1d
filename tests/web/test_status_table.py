"""Every status and code that a bridge can answer by itself, or passes on, and the shape of all of them."""

from typing import Any

import pytest

from airy_identify.core.commands import Forget, GiveResumeToken, Identify, Info, Merge, Release, Unmerge
from airy_identify.core.reasons import HTTP_STATUS, Reason
from airy_identify.intake.policy import IntakePolicy
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
    running_bridge,
)

JSON = {"Content-Type": "application/json"}
KEY = "Idempotency-Key"


def sent(**more: Any) -> dict[str, Any]:
    return {"method": "POST", "path": PATH, "headers": HEADERS | JSON, "data": b'{"channel_id":"c"}'} | more


def fields(**over: Any) -> dict[str, Any]:
    return {"method": "POST", "path": PATH, "headers": HEADERS, "json": BODY | over}


def command(path: str, **body: Any) -> dict[str, Any]:
    return {"method": "POST", "path": path, "headers": HEADERS, "json": body}


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
    ("invalid_field", 400, "attach", fields(attach=["token"])),
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
    ("invalid_field", 400, "command", fields(command="merge")),
    ("missing_field", 400, "destination_id", command("/identities.merge", source_id="a")),
    ("missing_field", 400, "contact_id", command("/identities.unmerge")),
    ("missing_field", 400, "value", command("/identities.release", contact_id="a", kind="email")),
    ("invalid_field", 400, "kind", command("/identities.release", contact_id="a", kind="E", value="x")),
    ("invalid_email", 400, "value", command("/identities.release", contact_id="a", kind="email", value="x")),
    ("invalid_field", 400, "contact_id", command("/identities.forget", contact_id=7)),
    ("invalid_field", 400, "command", command("/identities.forget", contact_id="a", command="info")),
    ("invalid_field", 400, "contact_id", command("/identities.info")),
    ("invalid_field", 400, "email", command("/identities.info", external_id="u1", email="a@b.cd")),
    ("blocked_identifier", 400, "external_id", command("/identities.info", external_id="null")),
    ("missing_field", 400, "conversation_id", command("/conversations.resumeToken", channel_id=CHANNEL_ID)),
    (
        "unknown_channel",
        404,
        "channel_id",
        command("/conversations.resumeToken", channel_id=DISCONNECTED_CHANNEL_ID, conversation_id="c"),
    ),
    (
        "unsupported_channel",
        400,
        "channel_id",
        command("/chatplugin.resumeToken", channel_id=FACEBOOK_CHANNEL_ID, conversation_id="c"),
    ),
    ("unauthorized", 401, None, command("/identities.forget", contact_id="a") | {"headers": {}}),
    ("method_not_allowed", 405, None, sent(method="GET", path="/identities.info", data=None)),
    ("not_found", 404, None, command("/identities.delete", contact_id="a")),
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


OF_WORKERS = {
    Reason.UNKNOWN_CONTACT: "/identities.info",
    Reason.UNKNOWN_CONVERSATION: "/conversations.resumeToken",
    Reason.IDENTIFIER_CONFLICT: PATH,
    Reason.NOT_LATEST_MERGE: "/identities.unmerge",
    Reason.TOO_LARGE_TO_MERGE: "/identities.merge",
}
"""What only the tables can tell; the workers' own tests bring these about."""
BODIES = {
    PATH: BODY,
    "/identities.info": {"external_id": "u1"},
    "/identities.merge": {"source_id": "a", "destination_id": "b"},
    "/identities.unmerge": {"contact_id": "a"},
    "/identities.release": {"contact_id": "a", "kind": "email", "value": "A@b.cd"},
    "/identities.forget": {"contact_id": "a"},
    "/conversations.resumeToken": {"channel_id": CHANNEL_ID, "conversation_id": "c"},
    "/chatplugin.resumeToken": {"channel_id": CHANNEL_ID, "conversation_id": "c"},
}


@pytest.mark.parametrize("reason", OF_WORKERS)
async def test_a_workers_error_is_passed_on_with_its_status(bridge: Bridge, reason: Reason) -> None:
    path = OF_WORKERS[reason]
    bridge.asker.answer = error_answer(reason, HTTP_STATUS[reason])
    status, answer = await bridge.post(BODIES[path], path=path)
    assert (status, answer["code"], answer["request_id"]) == (HTTP_STATUS[reason], reason, "r")


async def test_a_caller_outside_its_tenants_or_channels_is_forbidden() -> None:
    policy = IntakePolicy(allowed_tenants=frozenset({"default"}), allowed_channels=frozenset({"another"}))
    async with running_bridge(policy=policy) as bridge:
        for path, body, field in (
            (PATH, BODY | {"tenant": "acme"}, "tenant"),
            (PATH, BODY, "channel_id"),
            ("/identities.forget", {"contact_id": "a"}, "command"),
        ):
            status, answer = await bridge.post(body, path=path)
            assert (status, answer["code"], answer["field"]) == (403, "forbidden", field)
        assert bridge.asker.commands == []


def test_every_code_is_in_one_of_these_tables() -> None:
    elsewhere = {Reason.UNAVAILABLE, Reason.TIMEOUT, Reason.RATE_LIMITED, Reason.FORBIDDEN}  # each has its own test
    assert {Reason(code) for code, *_ in TABLE} | set(OF_WORKERS) | elsewhere == set(Reason)


@pytest.mark.parametrize(
    ("path", "command"),
    [
        (PATH, Identify),
        ("/identities.info", Info),
        ("/identities.merge", Merge),
        ("/identities.unmerge", Unmerge),
        ("/identities.release", Release),
        ("/identities.forget", Forget),
        ("/conversations.resumeToken", GiveResumeToken),
        ("/chatplugin.resumeToken", GiveResumeToken),
    ],
)
async def test_every_route_asks_its_command_with_the_callers_key(bridge: Bridge, path: str, command: type) -> None:
    status, answer = await bridge.post(BODIES[path], path=path, headers={KEY: "key-1"})
    assert (status, answer) == (200, {"request_id": "key-1"})
    (asked,) = bridge.asker.commands
    assert isinstance(asked, command)
    assert asked.reply_to == bridge.asker.reply_to()


async def test_only_commands_that_name_a_channel_wait_for_the_channels(bridge: Bridge) -> None:
    bridge.channels_ready = False
    got = {path: (await bridge.post(body, path=path))[0] for path, body in BODIES.items()}
    assert {path for path, status in got.items() if status == 503} == {
        PATH,
        "/conversations.resumeToken",
        "/chatplugin.resumeToken",
    }
    assert set(got.values()) == {200, 503}


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
