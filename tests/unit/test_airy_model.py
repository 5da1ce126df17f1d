"""The model of Airy does what was seen of Airy itself (airyhq/airy at efa19b2b)."""

import pytest

from airy_identify.core.ids import from_name
from tests.airy_contacts import AiryContacts, AiryCrashedError, AiryRefusedError, Row, Sent

CHAT = "98ce13ef-5469-4db3-af62-579be61cfaa4"
OTHER_CHAT = "11111111-5469-4db3-af62-579be61cfaa4"
ADA = "22222222-5469-4db3-af62-579be61cfaa4"
BOB = "33333333-5469-4db3-af62-579be61cfaa4"


def row(contact_id: str, key: str, value: str = "x", timestamp: int = 1) -> Row:
    return Row(f"contact:{contact_id}", key, value, timestamp)


def put(airy: AiryContacts, *rows: Row) -> None:
    read(airy, [(each.record_key, each) for each in rows])


def read(airy: AiryContacts, sent: list[Sent]) -> None:
    """Let Airy read records, each from a partition of its own, and settle."""
    for record_key, value in sent:
        airy.read(sum(record_key.encode()) % 7, record_key, value)
    airy.settle()


def ada(*more: Row) -> AiryContacts:
    airy = AiryContacts()
    put(airy, row(ADA, "displayName", "Ada"), row(ADA, "created_at"), row(ADA, f"conversations.{CHAT}"), *more)
    return airy


def test_the_first_message_of_a_conversation_without_contact_makes_one() -> None:
    airy = AiryContacts()
    read(airy, airy.message(CHAT))
    contact = airy.info(conversation_id=CHAT)
    assert contact is not None
    assert contact.id == from_name(CHAT)
    assert contact.attributes == {"displayName": "Chatplugin cfaa4"}
    assert contact.conversations == {CHAT: "chatplugin"}
    assert airy.message(CHAT) == []


def test_a_conversation_with_a_contact_gets_no_other() -> None:
    airy = ada()
    assert airy.message(CHAT) == []
    assert list(airy.contacts) == [ADA]


def test_rows_count_for_messages_only_when_they_have_come_through_all_stages() -> None:
    airy = AiryContacts()
    new = row(ADA, f"conversations.{CHAT}")
    airy.read(0, new.record_key, new)
    for _ in range(3):
        assert airy.message(CHAT)[0][1] is not None
        airy.steps()[0]()
    assert airy.steps() == []
    assert [sent for _, sent in airy.message(CHAT)] != []  # the contact has no name yet
    assert {sent.contact_id for _, sent in airy.message(CHAT) if sent is not None} == {ADA}


def test_the_last_one_told_has_a_conversation_and_keeps_it_although_it_is_deleted() -> None:
    airy = ada()
    put(airy, row(BOB, f"conversations.{CHAT}"))
    assert airy.map[CHAT][f"conversations.{CHAT}"].contact_id == BOB
    read(airy, airy.delete(BOB))
    assert airy.info(contact_id=BOB) is None
    assert airy.map[CHAT][f"conversations.{CHAT}"].contact_id == BOB


def test_only_bytes_that_differ_move_a_conversation_back() -> None:
    airy = ada()
    put(airy, row(BOB, f"conversations.{CHAT}"))
    put(airy, row(ADA, f"conversations.{CHAT}"))
    assert airy.map[CHAT][f"conversations.{CHAT}"].contact_id == BOB
    put(airy, row(ADA, f"conversations.{CHAT}", timestamp=2))
    assert airy.map[CHAT][f"conversations.{CHAT}"].contact_id == ADA


def test_a_row_said_again_before_the_other_contact_is_gone_may_be_in_vain() -> None:
    """So tombstones are waited for (`airy_identify.stream.airy_pace`): here Airy applies the first of them last."""
    airy = ada()
    put(airy, row(BOB, "displayName", "Bob"), row(BOB, f"conversations.{CHAT}"))
    name, chat = row(BOB, "displayName").record_key, row(BOB, f"conversations.{CHAT}").record_key
    again = row(ADA, f"conversations.{CHAT}", timestamp=2)
    airy.read(0, again.record_key, again)
    airy.settle()
    airy.read(sum(name.encode()) % 7, name, None)
    airy.settle()
    airy.read(sum(chat.encode()) % 7, chat, None)
    airy.settle()
    assert airy.contacts.keys() == {ADA}
    assert airy.map[CHAT][f"conversations.{CHAT}"].contact_id == BOB
    put(airy, row(ADA, f"conversations.{CHAT}", timestamp=3))
    assert airy.info(conversation_id=CHAT) == airy.info(contact_id=ADA)


def test_a_name_deleted_first_comes_back_with_the_next_message() -> None:
    airy = ada()
    name = row(ADA, "displayName").record_key
    chat = row(ADA, f"conversations.{CHAT}").record_key
    read(airy, [(name, None)])
    read(airy, [(chat, None), (row(ADA, "created_at").record_key, None)])
    assert airy.contacts == {}
    read(airy, airy.message(CHAT))
    assert list(airy.contacts) == [ADA]
    assert list(airy.contacts[ADA]) == ["displayName"]


def test_a_row_under_a_key_that_airy_does_not_know_outlives_its_contact() -> None:
    airy = ada(row(ADA, "nickname"))
    read(airy, airy.delete(ADA))
    assert list(airy.contacts[ADA]) == ["nickname"]


def test_a_row_of_several_segments_outlives_its_contact_too() -> None:
    airy = ada(row(ADA, "via.crm.number"))
    read(airy, airy.delete(ADA))
    assert list(airy.contacts[ADA]) == ["via.crm.number"]


@pytest.mark.parametrize("keys", [["conversations.x"], ["via.a", "via.b.a"], ["conversations"]])
def test_rows_that_airy_cannot_take_stop_it(keys: list[str]) -> None:
    with pytest.raises(AiryCrashedError):
        put(AiryContacts(), *(row(ADA, key) for key in keys))


def test_a_merge_writes_the_destination_and_deletes_the_source() -> None:
    airy = ada(row(ADA, "via.email", "ada@example.org"))
    put(airy, row(BOB, f"conversations.{OTHER_CHAT}"), row(BOB, "via.phone", "+491"), row(BOB, "created_at"))
    read(airy, airy.merge(source_id=BOB, destination_id=ADA))
    merged = airy.info(contact_id=ADA)
    assert merged is not None
    assert merged.via == {"email": "ada@example.org"}
    assert set(merged.conversations) == {CHAT, OTHER_CHAT}
    assert BOB in (merged.merge_history or "")
    assert list(airy.contacts) == [ADA]


def test_contacts_that_share_a_conversation_cannot_be_merged() -> None:
    airy = ada()
    put(airy, row(BOB, f"conversations.{CHAT}"))
    with pytest.raises(AiryRefusedError):
        airy.merge(source_id=BOB, destination_id=ADA)
