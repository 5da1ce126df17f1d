"""Requests about contacts and conversations that are there already."""

from typing import Any

import pytest

from airy_identify.core.commands import Command, Forget, GiveResumeToken, Identify, Info, Merge, Release, Unmerge
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import JsonValue, RequestId
from airy_identify.intake.accept import COMMANDS, accept
from airy_identify.intake.policy import IntakePolicy, Request, Stamp
from tests import builders as make

STAMP = Stamp(accepted_at_ms=make.ACCEPTED_AT_MS, new_id=make.NEW_ID)
CHANNELS = make.make_channels(
    make.make_channel(), make.make_channel(id="acme-channel"), make.make_channel(id="off", connected=False)
)
POLICY = IntakePolicy(channel_tenants={"acme-channel": "acme"})
REPLY_TO = make.make_reply_to()
GOOD: dict[str, dict[str, Any]] = {
    "identify": {"channel_id": make.CHANNEL_ID, "external_id": "u1"},
    "merge": {"source_id": "a", "destination_id": "b"},
    "unmerge": {"contact_id": "a"},
    "release": {"contact_id": "a", "kind": "email", "value": "a@b.cd"},
    "forget": {"contact_id": "a"},
    "info": {"contact_id": "a"},
    "resume_token": {"channel_id": make.CHANNEL_ID, "conversation_id": "c"},
}


def ask(fields: dict[str, JsonValue], command: str | None = None, policy: IntakePolicy = POLICY) -> Command | Rejected:
    request = Request(
        fields=fields,
        request_id=RequestId("r-1"),
        stamp=STAMP,
        reply_to=REPLY_TO,
        channels=CHANNELS,
        policy=policy,
    )
    return accept(request, command)


def refused(fields: dict[str, JsonValue], command: str | None = None, **over: Any) -> tuple[str, str | None]:
    rejected = ask(fields, command, **over)
    assert isinstance(rejected, Rejected), rejected
    assert rejected.message.endswith(".")
    return rejected.reason.value, rejected.field


def asked(**members: Any) -> dict[str, Any]:
    return {"request_id": "r-1", "reply_to": REPLY_TO, **members}


def test_every_command_has_a_good_request() -> None:
    assert set(GOOD) == set(COMMANDS)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("merge", make.make_merge("a", "b", **asked())),
        ("unmerge", make.make_unmerge("a", **asked())),
        ("release", make.make_release("a", "email", "a@b.cd", **asked())),
        ("forget", make.make_forget("a", **asked())),
        ("info", make.make_info("a", **asked())),
        ("resume_token", make.make_give_token(conversation_id="c", **asked())),
    ],
)
def test_the_field_or_the_door_names_the_command(name: str, command: Command) -> None:
    assert ask(GOOD[name] | {"command": name}) == command
    assert ask(GOOD[name], name) == command
    assert ask(GOOD[name] | {"command": f" {name} "}, name) == command


def test_without_a_name_it_is_identify() -> None:
    assert isinstance(ask(GOOD["identify"]), Identify)
    assert isinstance(ask(GOOD["identify"] | {"command": None}), Identify)
    assert isinstance(ask(GOOD["identify"] | {"command": "identify"}), Identify)


def test_an_unknown_or_another_command_is_refused() -> None:
    values: tuple[JsonValue, ...] = ("delete", "Merge", 1, ["merge"])
    for value in values:
        assert refused(GOOD["merge"] | {"command": value}) == ("invalid_field", "command")
    assert refused(GOOD["merge"] | {"command": "merge"}, "forget") == ("invalid_field", "command")


@pytest.mark.parametrize(
    ("name", "field"),
    [(name, field) for name, fields in GOOD.items() if name not in {"identify", "info"} for field in fields],
)
def test_what_is_missing_is_named(name: str, field: str) -> None:
    fields = {other: value for other, value in GOOD[name].items() if other != field}
    absent: tuple[dict[str, JsonValue], ...] = ({}, {field: None}, {field: "  "})
    for nothing in absent:
        assert refused(fields | nothing, name) == ("missing_field", field)
    assert refused(GOOD[name] | {field: 5}, name) == ("invalid_field", field)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("merge", "source_id"),
        ("merge", "destination_id"),
        ("unmerge", "contact_id"),
        ("release", "contact_id"),
        ("forget", "contact_id"),
        ("info", "contact_id"),
        ("resume_token", "conversation_id"),
    ],
)
def test_ids_are_short_text_without_control_characters(name: str, field: str) -> None:
    assert not isinstance(ask(GOOD[name] | {field: "x" * 255}, name), Rejected)
    for value in ("x" * 256, "a\x1fb", "a\x00", "\ud800"):
        assert refused(GOOD[name] | {field: value}, name) == ("invalid_field", field)


def test_the_first_fault_in_the_order_of_the_fields_is_answered() -> None:
    assert refused({"tenant": "NO", "destination_id": 5}, "merge") == ("missing_field", "source_id")
    assert refused({"contact_id": "a", "kind": "?", "value": 1, "tenant": "NO"}, "release") == ("invalid_field", "kind")
    assert refused({"channel_id": "off"}, "resume_token") == ("missing_field", "conversation_id")


@pytest.mark.parametrize("name", sorted(GOOD))
def test_tenants_bind_every_command(name: str) -> None:
    fields = GOOD[name] | ({"channel_id": "acme-channel"} if "channel_id" in GOOD[name] else {}) | {"tenant": "acme"}
    command = ask(fields, name)
    assert not isinstance(command, Rejected)
    assert command.tenant == "acme"
    assert refused(fields | {"tenant": "No tenant"}, name) == ("invalid_field", "tenant")
    policy = IntakePolicy(allowed_tenants=frozenset({"default"}))
    assert refused(fields, name, policy=policy) == ("forbidden", "tenant")


@pytest.mark.parametrize("name", sorted(set(GOOD) - {"identify", "resume_token"}))
def test_who_may_use_some_channels_only_may_not_act_on_contacts(name: str) -> None:
    policy = IntakePolicy(allowed_channels=frozenset({make.CHANNEL_ID}))
    assert refused(GOOD[name], name, policy=policy) == ("forbidden", "command")


def test_tokens_are_for_channels_that_the_caller_may_use_and_that_are_there() -> None:
    fields = GOOD["resume_token"]
    elsewhere = IntakePolicy(allowed_channels=frozenset({"acme-channel"}))
    assert refused(fields, "resume_token", policy=elsewhere) == ("forbidden", "channel_id")
    for channel_id in ("off", "nowhere", "acme-channel"):
        assert refused(fields | {"channel_id": channel_id}, "resume_token") == ("unknown_channel", "channel_id")
    here = IntakePolicy(allowed_channels=frozenset({make.CHANNEL_ID}))
    assert isinstance(ask(fields, "resume_token", here), GiveResumeToken)


@pytest.mark.parametrize(
    ("kind", "value", "canonical"),
    [
        ("external_id", " U1 ", "U1"),
        ("email", "Anna@Example.ORG", "anna@example.org"),
        ("phone_number", "+52 1 55 1234 5678", "+525512345678"),
        ("device_id", "D-1", "D-1"),
    ],
)
def test_a_value_to_release_is_normalised_by_its_kind(kind: str, value: str, canonical: str) -> None:
    command = ask({"contact_id": "a", "kind": kind, "value": value}, "release")
    assert isinstance(command, Release)
    assert command.identifier == make.make_identifier(kind, canonical)


@pytest.mark.parametrize(
    ("kind", "value", "code", "field"),
    [
        ("email", "anna", "invalid_email", "value"),
        ("phone_number", "12", "invalid_phone_number", "value"),
        ("external_id", "undefined", "blocked_identifier", "value"),
        ("device_id", "x" * 256, "invalid_field", "value"),
        ("Device", "d", "invalid_field", "kind"),
        ("a@b.cd", "d", "invalid_field", "kind"),
    ],
)
def test_a_fault_in_what_is_to_be_released_names_its_field(kind: str, value: str, code: str, field: str) -> None:
    assert refused({"contact_id": "a", "kind": kind, "value": value}, "release") == (code, field)


def test_numbers_without_plus_are_of_the_default_region() -> None:
    policy = IntakePolicy(default_region="DE")
    release = ask({"contact_id": "a", "kind": "phone_number", "value": "0170 1234567"}, "release", policy)
    assert isinstance(release, Release)
    assert release.identifier.value == "+491701234567"
    info = ask({"phone_number": "0170 1234567"}, "info", policy)
    assert isinstance(info, Info)
    assert info.identifier == make.make_identifier("phone_number", "+491701234567")


@pytest.mark.parametrize(
    ("fields", "kind", "value"),
    [
        ({"external_id": "u1"}, "external_id", "u1"),
        ({"email": "A@B.cd"}, "email", "a@b.cd"),
        ({"phone_number": "+5215512345678", "email": " "}, "phone_number", "+525512345678"),
        ({"identifiers": {"device": "d", "cookie": []}, "contact_id": None}, "device", "d"),
    ],
)
def test_info_takes_one_identifier(fields: dict[str, JsonValue], kind: str, value: str) -> None:
    command = ask(fields, "info")
    assert isinstance(command, Info)
    assert (command.contact_id, command.identifier) == (None, make.make_identifier(kind, value))


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({}, "invalid_field", "contact_id"),
        ({"identifiers": {}}, "invalid_field", "contact_id"),
        ({"contact_id": "a", "external_id": "u1"}, "invalid_field", "external_id"),
        ({"external_id": "u1", "email": "a@b.cd", "phone_number": "+491701234567"}, "invalid_field", "email"),
        ({"identifiers": {"device": ["a", "b"]}}, "invalid_field", "identifiers"),
        ({"identifiers": {"device": "a", "cookie": "b"}}, "invalid_field", "identifiers"),
        ({"email": "a@b.cd", "identifiers": {"device": "a"}}, "invalid_field", "identifiers"),
        ({"email": "anna", "external_id": "u1"}, "invalid_email", "email"),
        ({"identifiers": {"Device": "a"}}, "invalid_field", "identifiers.Device"),
    ],
)
def test_info_takes_exactly_one_selector(fields: dict[str, JsonValue], code: str, field: str) -> None:
    assert refused(fields, "info") == (code, field)


def test_commands_hold_the_stamp() -> None:
    for name, kind in (("merge", Merge), ("unmerge", Unmerge), ("forget", Forget)):
        command = ask(GOOD[name], name)
        assert isinstance(command, kind)
        assert (command.accepted_at_ms, command.request_id, command.reply_to) == (
            make.ACCEPTED_AT_MS,
            "r-1",
            REPLY_TO,
        )
