import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.core.commands import ContactRowReceived
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import AiryFact, RequestId, TenantId
from airy_identify.intake.contact_rows import SOURCES_MAX, TEXT_CHARACTERS_MAX, ContactRows
from airy_identify.wire.airy import ContactRow, encode_contact_row
from airy_identify.wire.commands import decode_log_value, encode_command
from tests.builders import (
    ACCEPTED_AT_MS,
    make_airy_identifiers,
    make_airy_source,
    make_email,
    make_fact,
    make_phone_number,
    make_row_received,
)

CONTACT_ID = "51abb963-6078-5efb-b888-d8457a7c76f8"
SOURCE_ID = "e5fc97f1-2f2d-53c5-85c7-97a83b17e9ff"
CHAT = "98ce13ef-5469-4db3-af62-579be61cfaa4"
ROWS = ContactRows(tenant=TenantId("t"), default_region="DE")


def row(key: str, value: str, *, subject: str = f"contact:{CONTACT_ID}", timestamp_ms: int = 5) -> bytes:
    return encode_contact_row(ContactRow(subject=subject, key=key, value=value, timestamp_ms=timestamp_ms))


def accept(value: bytes | None, *, key: bytes | None = b"r", own: bool = False) -> ContactRowReceived | Rejected | None:
    return ROWS.accept(key, value, request_id=RequestId("x-0-1"), accepted_at_ms=ACCEPTED_AT_MS, own=own)


def fact(key: str, value: str, **over: Any) -> AiryFact:
    accepted = accept(row(key, value, **over))
    assert isinstance(accepted, ContactRowReceived)
    assert accepted.fact is not None
    assert decode_log_value(encode_command(accepted)) == accepted
    return accepted.fact


def test_a_row_becomes_a_command_of_the_tenant() -> None:
    expected = make_row_received(
        CONTACT_ID, make_fact("displayName", "Ada"), tenant="t", request_id="x-0-1", record_key="r", own=True
    )
    assert accept(row("displayName", "  Ada "), own=True) == expected


def test_a_tombstone_has_nothing_but_its_key() -> None:
    assert accept(None) == make_row_received(None, None, tenant="t", request_id="x-0-1", record_key="r")


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"a\x1fb", b"x" * 256])
def test_a_record_without_a_usable_key_is_refused(key: bytes | None) -> None:
    for value in (None, row("displayName", "Ada")):
        refused = accept(value, key=key)
        assert isinstance(refused, Rejected)
        assert refused.reason is Reason.INVALID_FIELD
        assert "its key is" in refused.message


@pytest.mark.parametrize(
    "subject", ["", "contact:", "contact:1", f"conversation:{CHAT}", CONTACT_ID, f"contact:{CONTACT_ID.upper()}"]
)
def test_a_row_about_anything_but_a_contact_is_refused(subject: str) -> None:
    refused = accept(row("displayName", "Ada", subject=subject))
    assert isinstance(refused, Rejected)
    assert refused.message == "not a row of Airy's contacts: its subject is not contact:<UUID>"


def test_bytes_that_are_no_row_are_refused() -> None:
    for value in (b"", b"garbage", b"\x00\x00\x00\x00\x01garbage", row("displayName", "Ada")[:-1]):
        assert isinstance(accept(value), Rejected)


def test_a_conversation_that_airy_cannot_read_is_refused_and_other_keys_are_passed_over() -> None:
    for key in ("conversations.1", "conversations", f"conversationsX.{CHAT}", "conversations."):
        refused = accept(row(key, "chatplugin"))
        assert isinstance(refused, Rejected)
        assert "conversations" in refused.message
    for key in ("id", "metadata", "language", "address.planet", "", "DisplayName", f"via.{'x' * 255}"):
        assert accept(row(key, "x")) is None


def test_texts_are_trimmed_and_those_that_are_empty_or_too_long_are_left_out() -> None:
    for key in ("displayName", "avatarUrl", "title", "gender", "timezone", "locale", "address.city", "via.twitter"):
        assert fact(key, "x") == make_fact(key, "x")
    longest = "x" * TEXT_CHARACTERS_MAX
    assert fact("displayName", longest).text == longest
    assert fact("displayName", longest + "x") == make_fact("displayName")
    assert fact("displayName", " ") == make_fact("displayName")


def test_a_conversation_is_written_as_messages_have_it() -> None:
    expected = make_fact(f"conversations.{CHAT}", "chatplugin")
    assert fact(f"conversations.{CHAT.upper()}", "chatplugin") == expected


@pytest.mark.parametrize(
    ("value", "at_ms"),
    [
        ("1700000000000", 1_700_000_000_000),
        ("0", 0),
        ("9" * 15, 253_402_300_799_999),
        *((value, 5) for value in ("x", "-1", "", "\u0661", "1" * 16)),
    ],
)
def test_when_a_contact_was_created_is_the_value_else_the_time_of_the_row(value: str, at_ms: int) -> None:
    assert fact("created_at", value) == make_fact("created_at", at_ms=at_ms)


def test_a_time_that_cannot_be_is_as_near_as_it_may_be() -> None:
    assert fact("created_at", "x", timestamp_ms=-7).at_ms == 0
    assert fact("created_at", "x", timestamp_ms=2**62).at_ms == 253_402_300_799_999


def test_what_somebody_can_be_reached_by_is_normalised_as_in_requests() -> None:
    for key, value, identifiers in (
        ("via.email", " Ada@Example.ORG ", {"email": make_email("ada@example.org")}),
        ("via.phone", "+52 1 55 1234 5678", {"phone_number": make_phone_number("+5215512345678", key="+525512345678")}),
        ("via.phone", "0170 1234567", {"phone_number": make_phone_number("+491701234567")}),
        ("via.external_id", " u-1 ", {"external_id": "u-1"}),
    ):
        assert fact(key, value) == make_fact(key, identifiers=make_airy_identifiers(**identifiers))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("via.email", "nobody"),
        ("via.email", ""),
        ("via.phone", "12"),
        ("via.external_id", "undefined"),
        ("via.external_id", "x" * 256),
        ("via.external_id", "a\x00b"),
    ],
)
def test_what_no_request_could_name_claims_nothing_and_still_takes_the_place_of_the_row_before(
    key: str, value: str
) -> None:
    assert fact(key, value) == make_fact(key, identifiers=make_airy_identifiers())


def history(*contacts: Any) -> tuple[Any, ...]:
    return fact("mergeHistory", json.dumps(contacts)).merged


def test_a_merge_history_is_read_as_airy_writes_it() -> None:
    source = {
        "id": SOURCE_ID,
        "displayName": "Bea",
        "via": {"email": "B@b.cd", "phone": "+491701234567", "external_id": "u2", "twitter": "b"},
        "conversations": {CHAT: "chatplugin"},
        "createdAt": 77,
        "updatedAt": 78,
    }
    phone = make_phone_number("+491701234567")
    expected = make_airy_source(SOURCE_ID, created_at_ms=77, external_id="u2", email="b@b.cd", phone_number=phone)
    assert history(source) == (expected,)


def test_of_a_merge_history_only_what_can_be_used_counts() -> None:
    bare = make_airy_source(SOURCE_ID, created_at_ms=0)
    assert history({"id": SOURCE_ID}, {"id": SOURCE_ID, "via": "x", "createdAt": "y"}) == (bare, bare)
    assert history({"id": SOURCE_ID, "via": {"email": 7, "phone": None, "external_id": []}}) == (bare,)
    assert history(1, None, [], {}, {"id": 1}, {"id": "x"}, {"id": None}) == ()
    for value in ("", "null", "{}", "[", "7", "[" * 100_000):
        assert fact("mergeHistory", value).merged == ()


def test_of_a_long_merge_history_the_newest_are_kept() -> None:
    ids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(SOURCES_MAX + 3)]
    kept = history(*({"id": each, "metadata": "x" * 100} for each in ids))
    assert [source.id for source in kept] == ids[3:]


TEXTS = st.text(max_size=30)
KEYS = st.sampled_from(["displayName", "created_at", "via.email", "via.phone", "mergeHistory", f"conversations.{CHAT}"])


@given(key=st.binary(max_size=5) | st.none(), subject=TEXTS, named=TEXTS | KEYS, value=TEXTS, at_ms=st.integers(0, 9))
def test_whatever_a_row_says_it_is_taken_passed_over_or_refused(
    key: bytes | None, subject: str, named: str, value: str, at_ms: int
) -> None:
    for about in (subject, f"contact:{CONTACT_ID}"):
        accepted = accept(row(named, value, subject=about, timestamp_ms=at_ms), key=key)
        if isinstance(accepted, ContactRowReceived):
            assert decode_log_value(encode_command(accepted)) == accepted
