import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.core.commands import Command, Identify, OnConflict
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import JsonValue, RequestId
from airy_identify.intake.accept import accept
from airy_identify.intake.channels import Channels
from airy_identify.intake.policy import IntakePolicy, Request, Stamp
from airy_identify.intake.requests import parse_json
from airy_identify.wire.commands import decode_command, encode_command
from tests import builders as make

STAMP = Stamp(accepted_at_ms=make.ACCEPTED_AT_MS, new_id=make.NEW_ID)
CHANNELS = make.make_channels(
    make.make_channel(),
    make.make_channel(id="disconnected", connected=False),
    make.make_channel(id="facebook", source="facebook"),
    make.make_channel(id="disconnected-facebook", source="facebook", connected=False),
    make.make_channel(id="acme-channel"),
)
POLICY = IntakePolicy(channel_tenants={"acme-channel": "acme"})


def decide(
    fields: dict[str, JsonValue], *, policy: IntakePolicy = POLICY, channels: Channels = CHANNELS
) -> Command | Rejected:
    asked = Request(
        fields=fields,
        request_id=RequestId("r-1"),
        stamp=STAMP,
        reply_to=make.make_reply_to(),
        channels=channels,
        policy=policy,
    )
    return accept(asked)


def request(**fields: Any) -> dict[str, JsonValue]:
    return {"channel_id": make.CHANNEL_ID, "external_id": "u-1"} | fields


def accepted(fields: dict[str, JsonValue], **over: Any) -> Identify:
    command = decide(fields, **over)
    assert isinstance(command, Identify), command
    return command


def refused(fields: dict[str, JsonValue], **over: Any) -> tuple[str, str | None]:
    rejected = decide(fields, **over)
    assert isinstance(rejected, Rejected), rejected
    assert rejected.message.endswith(".")
    return rejected.reason.value, rejected.field


def test_a_full_request_becomes_a_full_command() -> None:
    fields = request(
        external_id=" u-1 ",
        email="Anna@Example.ORG",
        phone_number="+52 1 55 1234 5678",
        identifiers={"device_id": "d-1", "cookie": ["c-1", "c-2"]},
        metadata={"plan": "pro", "old": None},
        unverified=["phone_number"],
        on_conflict="reject",
        dry_run=True,
        explain=True,
        tenant="acme",
        channel_id="acme-channel",
        later="ignored",
    )
    assert accepted(fields) == make.make_identify_command(
        request_id="r-1",
        tenant="acme",
        channel_id="acme-channel",
        external_id="u-1",
        email=make.make_email("anna@example.org"),
        phone_number=make.make_phone_number("+5215512345678", key="+525512345678", verified=False),
        identifiers={"cookie": ["c-1", "c-2"], "device_id": "d-1"},
        metadata={"plan": "pro", "old": None},
        on_conflict=OnConflict.REJECT,
        dry_run=True,
        explain=True,
    )


def test_a_bare_request_becomes_a_bare_command() -> None:
    assert accepted(request()) == make.make_identify_command(request_id="r-1", external_id="u-1")


OPTIONAL = (
    "email",
    "phone_number",
    "identifiers",
    "metadata",
    "unverified",
    "on_conflict",
    "dry_run",
    "explain",
    "tenant",
    "command",
)


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.parametrize("value", [None, "", " \t\u3000\n"])
def test_null_and_blank_count_as_absent(name: str, value: str | None) -> None:
    assert accepted(request(**{name: value})) == accepted(request())


def test_empty_metadata_is_not_absent() -> None:
    assert accepted(request(metadata={})).metadata == {}


FAULTS: list[tuple[str, JsonValue, str]] = [
    ("channel_id", 1, "invalid_field"),
    ("channel_id", ["x"], "invalid_field"),
    ("channel_id", None, "missing_field"),
    ("channel_id", "  ", "missing_field"),
    ("external_id", 1, "invalid_field"),
    ("external_id", True, "invalid_field"),
    ("external_id", "x" * 256, "invalid_field"),
    ("external_id", "a\u0000b", "invalid_field"),
    ("external_id", "undefined", "blocked_identifier"),
    ("email", 1, "invalid_field"),
    ("email", {"a": 1}, "invalid_field"),
    ("email", "anna", "invalid_email"),
    ("phone_number", 491701234567, "invalid_field"),
    ("phone_number", "12", "invalid_phone_number"),
    ("identifiers", "d-1", "invalid_field"),
    ("identifiers", ["d-1"], "invalid_field"),
    ("metadata", "text", "invalid_metadata"),
    ("metadata", [], "invalid_metadata"),
    ("metadata", 0, "invalid_metadata"),
    ("metadata", {"a": "x" * 16_384}, "invalid_metadata"),
    ("unverified", "email", "invalid_field"),
    ("unverified", True, "invalid_field"),
    ("unverified", ["external_id"], "invalid_field"),
    ("unverified", ["email", None], "invalid_field"),
    ("unverified", [["email"]], "invalid_field"),
    ("unverified", {"email": True}, "invalid_field"),
    ("on_conflict", "ignore", "invalid_field"),
    ("on_conflict", "WARN", "invalid_field"),
    ("on_conflict", True, "invalid_field"),
    ("dry_run", 1, "invalid_field"),
    ("dry_run", 0, "invalid_field"),
    ("dry_run", "true", "invalid_field"),
    ("explain", 0.0, "invalid_field"),
    ("explain", [], "invalid_field"),
    ("tenant", "Acme", "invalid_field"),
    ("tenant", "a b", "invalid_field"),
    ("tenant", "x" * 65, "invalid_field"),
    ("tenant", "tenant\nx", "invalid_field"),
    ("tenant", 7, "invalid_field"),
    ("command", "identity", "invalid_field"),
    ("command", 1, "invalid_field"),
]


@pytest.mark.parametrize(("name", "value", "code"), FAULTS)
def test_a_fault_names_its_field(name: str, value: JsonValue, code: str) -> None:
    assert refused(request(**{name: value})) == (code, name)


ORDER = (
    "command",
    "channel_id",
    "external_id",
    "email",
    "phone_number",
    "identifiers",
    "metadata",
    "unverified",
    "on_conflict",
    "dry_run",
    "explain",
    "tenant",
)


@pytest.mark.parametrize("first", range(len(ORDER)))
def test_of_several_faults_the_first_in_order_is_answered(first: int) -> None:
    faulty = request(**dict.fromkeys(reversed(ORDER[first:]), 0.5))
    assert refused(faulty)[1] == ORDER[first]


def test_faults_come_before_missing_identifier_and_that_before_the_channel() -> None:
    fields: dict[str, JsonValue] = {"channel_id": "unknown", "tenant": "NO"}
    assert refused(fields) == ("invalid_field", "tenant")
    assert refused({"channel_id": "unknown"}) == ("missing_identifier", None)
    assert refused({"channel_id": "unknown", "external_id": "u-1"}) == ("unknown_channel", "channel_id")
    assert refused({"external_id": "u-1"}) == ("missing_field", "channel_id")
    assert refused({}) == ("missing_field", "channel_id")


@pytest.mark.parametrize(
    "fields",
    [
        {"external_id": None},
        {"external_id": " "},
        {"external_id": None, "identifiers": {}},
        {"external_id": None, "identifiers": {"device_id": [None, ""]}},
        {"external_id": None, "email": "a@example.org", "unverified": ["email"]},
        {"external_id": None, "phone_number": "+491701234567", "unverified": ["phone_number", "email"]},
    ],
)
def test_an_identifier_that_the_caller_vouches_for_is_needed(fields: dict[str, JsonValue]) -> None:
    assert refused(request(**fields)) == ("missing_identifier", None)


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "a@example.org"},
        {"phone_number": "+491701234567"},
        {"identifiers": {"device_id": "d-1"}},
        {"email": "a@example.org", "phone_number": "+491701234567", "unverified": ["email"]},
    ],
)
def test_any_verified_identifier_will_do(fields: dict[str, JsonValue]) -> None:
    accepted(request(external_id=None, **fields))


@pytest.mark.parametrize(
    ("unverified", "email", "phone_number"),
    [
        ([], True, True),
        (["email"], False, True),
        (["phone_number"], True, False),
        (["phone_number", "email", "email"], False, False),
    ],
)
def test_unverified_values_are_marked(unverified: list[str], *, email: bool, phone_number: bool) -> None:
    command = accepted(request(email="a@example.org", phone_number="+491701234567", unverified=unverified))
    assert command.email is not None
    assert command.phone_number is not None
    assert (command.email.verified, command.phone_number.verified) == (email, phone_number)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"channel_id": "nowhere"}, "unknown_channel"),
        ({"channel_id": "disconnected"}, "unknown_channel"),
        ({"channel_id": "disconnected-facebook"}, "unknown_channel"),
        ({"channel_id": "acme-channel"}, "unknown_channel"),
        ({"tenant": "acme"}, "unknown_channel"),
        ({"channel_id": "facebook"}, "unsupported_channel"),
        ({"channel_id": "facebook", "tenant": "acme"}, "unknown_channel"),
    ],
)
def test_a_channel_must_be_a_connected_chat_plugin_of_the_tenant(fields: dict[str, JsonValue], code: str) -> None:
    assert refused(request(**fields)) == (code, "channel_id")


def test_a_channel_belongs_to_one_tenant() -> None:
    assert accepted(request(channel_id="acme-channel", tenant="acme")).tenant == "acme"
    assert accepted(request(tenant="default")).tenant == "default"


def test_callers_are_held_to_their_tenants_and_channels() -> None:
    policy = IntakePolicy(
        channel_tenants={"acme-channel": "acme"},
        allowed_tenants=frozenset({"acme"}),
        allowed_channels=frozenset({"acme-channel"}),
    )
    accepted(request(channel_id="acme-channel", tenant="acme"), policy=policy)
    assert refused(request(channel_id="acme-channel"), policy=policy) == ("forbidden", "tenant")
    assert refused(request(channel_id="nowhere", tenant="acme"), policy=policy) == ("forbidden", "channel_id")
    assert refused(request(tenant="acme", email="x"), policy=policy) == ("invalid_email", "email")
    nobody = IntakePolicy(allowed_tenants=frozenset(), allowed_channels=frozenset())
    assert refused(request(), policy=nobody) == ("forbidden", "tenant")


def test_the_default_region_is_for_numbers_without_plus() -> None:
    fields = request(phone_number="0170 1234567")
    assert refused(fields) == ("invalid_phone_number", "phone_number")
    command = accepted(fields, policy=IntakePolicy(default_region="DE"))
    assert command.phone_number == make.make_phone_number("+491701234567")


SECRET = "anna.secret"


@pytest.mark.parametrize(
    "fields",
    [
        {"email": f"{SECRET}@"},
        {"email": f"{SECRET}@x_y.org"},
        {"phone_number": SECRET},
        {"external_id": SECRET + "\x00"},
        {"identifiers": {f"{SECRET}@example.org": "x"}},
        {"identifiers": {"device_id": SECRET * 99}},
        {"on_conflict": SECRET},
        {"tenant": SECRET},
        {"unverified": [SECRET]},
        {"metadata": SECRET},
        {"channel_id": SECRET},
    ],
)
def test_refusals_quote_no_value(fields: dict[str, JsonValue]) -> None:
    rejected = decide(request(**fields))
    assert isinstance(rejected, Rejected)
    assert SECRET not in repr(rejected)


TEXT = st.text(max_size=12) | st.sampled_from(
    [make.CHANNEL_ID, "u-1", "A@Example.org", "+5491123456789", "email", "warn", "acme", "device_id", "\ud800", "null"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(TEXT, inner, max_size=10), max_leaves=8
)
ANY_FIELDS = st.fixed_dictionaries({}, optional=dict.fromkeys(ORDER, JSON)) | st.dictionaries(TEXT, JSON, max_size=5)
LIKELY_FIELDS = st.fixed_dictionaries(
    {"channel_id": st.just(str(make.CHANNEL_ID))},
    optional={
        "external_id": st.text(max_size=300),
        "email": st.emails() | st.text(max_size=10).map(lambda text: f"{text}@exämple.org") | st.text(max_size=20),
        "phone_number": st.from_regex(r"\+(52|54|55|49|1)[0-9]{8,11}", fullmatch=True) | st.text(max_size=15),
        "identifiers": st.dictionaries(
            st.from_regex("[a-z][a-z0-9_]{0,5}", fullmatch=True),
            st.text(max_size=5) | st.lists(st.text(max_size=5), max_size=6),
            max_size=9,
        ),
        "metadata": st.dictionaries(TEXT, JSON, max_size=3),
        "unverified": st.lists(st.sampled_from(["email", "phone_number"]), max_size=2),
        "dry_run": st.booleans(),
    },
)


@given(ANY_FIELDS)
def test_no_fields_whatever_make_intake_raise(fields: dict[str, JsonValue]) -> None:
    decide(fields)


@given(st.binary(max_size=30) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_whatever_make_intake_raise(value: bytes) -> None:
    fields = parse_json(value)
    if not isinstance(fields, Rejected):
        decide(fields)


@given(LIKELY_FIELDS)
def test_what_is_accepted_can_be_written_and_read(fields: dict[str, JsonValue]) -> None:
    command = decide(fields)
    if isinstance(command, Rejected):
        assert command.reason in Reason
    else:
        assert decode_command(encode_command(command)) == command


@given(LIKELY_FIELDS)
def test_the_canonical_form_is_its_own_canonical_form(fields: dict[str, JsonValue]) -> None:
    command = decide(fields)
    if not isinstance(command, Identify):
        return
    again = accepted(
        fields
        | {
            "external_id": command.external_id,
            "email": None if command.email is None else command.email.value,
            "phone_number": None if command.phone_number is None else command.phone_number.key,
            "identifiers": {custom.kind: list(custom.values) for custom in command.identifiers},
        }
    )
    if command.phone_number is not None:
        assert again.phone_number is not None
        assert again.phone_number.key == command.phone_number.key
    assert dataclasses.replace(again, phone_number=command.phone_number) == command
