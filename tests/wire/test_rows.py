import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.core.values import (
    AiryClaimKey,
    AiryContactKey,
    AiryRecordKey,
    AliasKey,
    ContactId,
    ContactKey,
    ConversationId,
    ConversationOwnerKey,
    ConversationRow,
    GoneKey,
    GoneQueueKey,
    IdentifierKey,
    IdentityKey,
    IdentityRow,
    JournalKey,
    SeenConversationKey,
    TenantId,
)
from airy_identify.wire import rows
from airy_identify.wire.errors import UndecodableError
from tests import builders as make
from tests.wire.golden_records import CONTACT
from tests.wire.strategies import CONVERSATION_ROWS, IDENTITY_ROWS

PART = st.text(max_size=10).filter(lambda text: "\x1f" not in text)
KEYS = (
    st.builds(ContactKey, tenant=PART, contact_id=PART)
    | st.builds(IdentifierKey, tenant=PART, kind=PART, value=PART)
    | st.builds(AliasKey, tenant=PART, contact_id=PART)
    | st.builds(ConversationOwnerKey, tenant=PART, conversation_id=PART)
    | st.builds(JournalKey, tenant=PART, contact_id=PART, number=st.integers(min_value=0, max_value=10**6))
    | st.builds(AiryContactKey, tenant=PART, contact_id=PART)
    | st.builds(AiryRecordKey, tenant=PART, record_key=PART)
    | st.builds(AiryClaimKey, tenant=PART, kind=PART, value=PART)
    | st.builds(SeenConversationKey, tenant=PART, conversation_id=PART)
    | st.builds(GoneKey, tenant=PART, contact_id=PART)
    | st.builds(GoneQueueKey, tenant=PART)
)
TENANT = TenantId("t")


@pytest.mark.parametrize(
    ("key", "data"),
    [
        (ContactKey(tenant=TENANT, contact_id=ContactId("k")), b"t\x1fcontact\x1fk"),
        (IdentifierKey(tenant=TENANT, kind="email", value="ü@x.de"), b"t\x1fidentifier\x1femail\x1f\xc3\xbc@x.de"),
        (AliasKey(tenant=TENANT, contact_id=ContactId("k")), b"t\x1falias\x1fk"),
        (ConversationOwnerKey(tenant=TENANT, conversation_id=ConversationId("c")), b"t\x1fconversation\x1fc"),
        (JournalKey(tenant=TENANT, contact_id=ContactId("k"), number=10), b"t\x1fmerge\x1fk\x1f10"),
        (AiryContactKey(tenant=TENANT, contact_id=ContactId("k")), b"t\x1fairy_contact\x1fk"),
        (AiryRecordKey(tenant=TENANT, record_key="r"), b"t\x1fairy_record\x1fr"),
        (AiryClaimKey(tenant=TENANT, kind="email", value="a@b.cd"), b"t\x1fairy_claim\x1femail\x1fa@b.cd"),
        (SeenConversationKey(tenant=TENANT, conversation_id=ConversationId("c")), b"t\x1fseen\x1fc"),
        (GoneKey(tenant=TENANT, contact_id=ContactId("k")), b"t\x1fgone\x1fk"),
        (GoneQueueKey(tenant=TENANT), b"t\x1fgone_queue"),
    ],
)
def test_row_keys_are_the_documented_ones(key: IdentityKey, data: bytes) -> None:
    assert rows.encode_identity_key(key) == data


@given(KEYS)
def test_row_keys_come_back_as_they_were(key: IdentityKey) -> None:
    assert rows.decode_identity_key(rows.encode_identity_key(key)) == key


@given(KEYS, KEYS)
def test_different_keys_never_share_a_row(one: IdentityKey, other: IdentityKey) -> None:
    assert (rows.encode_identity_key(one) == rows.encode_identity_key(other)) == (one == other)


@pytest.mark.parametrize("part", ["\x1f", "a\x1fb", "contact\x1fk"])
def test_a_part_that_holds_the_separator_is_refused(part: str) -> None:
    with pytest.raises(ValueError, match="U\\+001F"):
        rows.encode_identity_key(IdentifierKey(tenant=TENANT, kind="email", value=part))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        rows.PROGRESS_KEY,
        b"t\x1fcontact",
        b"t\x1fcontact\x1fa\x1fb",
        b"t\x1fmerge\x1fk\x1fone",
        b"\xff\x1falias\x1fk",
    ],
)
def test_other_keys_are_undecodable(data: bytes) -> None:
    with pytest.raises(UndecodableError):
        rows.decode_identity_key(data)


@given(IDENTITY_ROWS)
def test_identity_rows_come_back_as_they_were(row: IdentityRow) -> None:
    assert rows.decode_identity_row(rows.encode_identity_row(row)) == row


@given(CONVERSATION_ROWS)
def test_conversation_rows_come_back_as_they_were(row: ConversationRow) -> None:
    assert rows.decode_conversation_row(rows.encode_conversation_row(row)) == row


@given(IDENTITY_ROWS)
def test_bytes_are_a_function_of_the_value(row: IdentityRow) -> None:
    data = rows.encode_identity_row(row)
    assert rows.encode_identity_row(copy.deepcopy(row)) == data
    assert rows.encode_identity_row(rows.decode_identity_row(data)) == data


@given(st.permutations(["a", "b", "c", "ä"]))
def test_bytes_do_not_depend_on_the_order_of_metadata(order: list[str]) -> None:
    as_given = make.make_contact(metadata={name: dict.fromkeys(order, 1) for name in order})
    in_order = make.make_contact(metadata={name: dict.fromkeys(sorted(order), 1) for name in sorted(order)})
    assert rows.encode_identity_row(as_given) == rows.encode_identity_row(in_order)


def test_a_conversation_key_is_its_id() -> None:
    assert rows.encode_conversation_key(ConversationId("c-1")) == b"c-1"


def test_rows_of_another_table_are_undecodable() -> None:
    conversation = rows.encode_conversation_row(make.make_conversation())
    with pytest.raises(UndecodableError, match="where"):
        rows.decode_identity_row(conversation)
    with pytest.raises(UndecodableError, match="where"):
        rows.decode_conversation_row(rows.encode_identity_row(CONTACT))
    with pytest.raises(UndecodableError, match="where"):
        rows.decode_progress(conversation)


@given(st.integers(min_value=-(2**63), max_value=2**63 - 1), st.binary(max_size=32), st.none() | st.binary())
def test_progress_comes_back_as_it_was(offset: int, fingerprint: bytes, digest: bytes | None) -> None:
    progress = rows.Progress(offset=offset, fingerprint=fingerprint, digest=digest)
    assert rows.decode_progress(rows.encode_progress(progress)) == progress
