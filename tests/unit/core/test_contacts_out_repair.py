from typing import Any

from airy_identify.core.commands import ContactRowReceived
from airy_identify.core.contacts_out import AiryWrite
from airy_identify.core.contacts_out_repair import repair
from airy_identify.core.ids import from_name
from airy_identify.core.values import (
    AiryContact,
    AiryContactKey,
    AiryFact,
    AiryRecord,
    AliasKey,
    ContactId,
    ConversationId,
    Forgotten,
    RequestId,
)
from tests.builders import TENANT, make_contact, make_contact_conversation
from tests.tables import InMemoryIdentityTable, make_table

ADA = ContactId("e5fc97f1-2f2d-53c5-85c7-97a83b17e9ff")
CHAT = ConversationId("98ce13ef-5469-4db3-af62-579be61cfaa4")
SECOND = ContactId(from_name(CHAT))
AT_MS = 9


def a_table(**over: Any) -> InMemoryIdentityTable:
    """Return a table with Ada, whose conversation would give its contact the id `SECOND` in Airy."""
    chat = make_contact_conversation(id=CHAT)
    return make_table(make_contact(**{"id": ADA, "conversations": (chat,), "aliases": (SECOND,)} | over))


def received(contact_id: str | None, fact: AiryFact | None, **over: Any) -> ContactRowReceived:
    defaults: dict[str, Any] = {
        "request_id": RequestId("contacts-0-0"),
        "tenant": TENANT,
        "accepted_at_ms": AT_MS,
        "rules_version": 1,
        "record_key": "k",
        "contact_id": None if contact_id is None else ContactId(contact_id),
        "fact": fact,
    }
    return ContactRowReceived(**defaults | over)


def write(contact_id: ContactId, key: str, value: str | None) -> AiryWrite:
    return AiryWrite(contact_id=contact_id, key=key, value=value, timestamp_ms=AT_MS)


NAME = AiryFact(key="displayName", text="Chatplugin cfaa4")
SAID_AGAIN = (write(ADA, f"conversations.{CHAT}", "chatplugin"),)


def test_a_row_of_a_second_contact_is_deleted() -> None:
    assert repair(received(SECOND, NAME), None, a_table()) == (write(SECOND, "displayName", None),)


def test_a_row_of_somebody_forgotten_is_deleted() -> None:
    table = InMemoryIdentityTable()
    table.rows[AliasKey(tenant=TENANT, contact_id=SECOND)] = Forgotten()
    assert repair(received(SECOND, NAME), None, table) == (write(SECOND, "displayName", None),)


def test_rows_of_ours_and_of_contacts_that_only_airy_has_lead_to_nothing() -> None:
    assert repair(received(SECOND, NAME, own=True), None, a_table()) == ()
    assert repair(received("51abb963-6078-5efb-b888-d8457a7c76f8", NAME), None, a_table()) == ()
    assert repair(received(None, NAME), None, a_table()) == ()


def test_a_name_that_airy_invented_is_written_over() -> None:
    named = a_table(metadata={"display_name": "Ada"})
    assert repair(received(ADA, NAME), None, named) == (write(ADA, "displayName", "Ada"),)
    assert repair(received(ADA, AiryFact(key="displayName", text="Dr. Ada")), None, named) == ()
    assert repair(received(ADA, AiryFact(key="title", text="Chatplugin cfaa4")), None, named) == ()
    assert repair(received(ADA, NAME), None, a_table()) == ()
    assert repair(received(ADA, NAME), None, a_table(metadata={"display_name": "Chatplugin cfaa4"})) == ()


def test_the_conversation_of_a_deleted_row_is_said_again() -> None:
    record = AiryRecord(contact_id=SECOND, key=f"conversations.{CHAT}")
    assert repair(received(None, None, own=True), record, a_table()) == SAID_AGAIN


def test_a_tombstone_of_airys_or_of_an_unknown_row_leads_to_nothing() -> None:
    record = AiryRecord(contact_id=SECOND, key=f"conversations.{CHAT}")
    assert repair(received(None, None), record, a_table()) == ()
    assert repair(received(None, None, own=True), None, a_table()) == ()


def test_the_last_row_of_a_second_contact_says_the_first_ones_again() -> None:
    record, table = AiryRecord(contact_id=SECOND, key="displayName"), a_table()
    assert repair(received(None, None, own=True), record, table) == SAID_AGAIN
    key = AiryContactKey(tenant=TENANT, contact_id=SECOND)
    table.rows[key] = AiryContact(id=SECOND, facts=(AiryFact(key="title"),))
    assert repair(received(None, None, own=True), record, table) == ()


def test_what_a_contact_loses_itself_is_not_said_again() -> None:
    table = a_table()
    for key in (f"conversations.{CHAT}", "via.email"):
        record = AiryRecord(contact_id=ADA, key=key)
        assert repair(received(None, None, own=True), record, table) == ()


def test_nothing_is_said_again_of_what_nobody_has() -> None:
    for key in (f"conversations.{CHAT}", "displayName"):
        record = AiryRecord(contact_id=SECOND, key=key)
        assert repair(received(None, None, own=True), record, InMemoryIdentityTable()) == ()
    empty = a_table(conversations=())
    assert repair(received(None, None, own=True), AiryRecord(contact_id=SECOND, key="displayName"), empty) == ()
