from typing import Any

from airy_identify.core.commands import ContactRowReceived
from airy_identify.core.contacts_out import AiryWrite
from airy_identify.core.contacts_out_repair import repair
from airy_identify.core.ids import from_name
from airy_identify.core.values import (
    AiryContact,
    AiryContactKey,
    AiryFact,
    AiryIdentifiers,
    AiryRecord,
    AliasKey,
    ContactId,
    ConversationId,
    Forgotten,
    RequestId,
)
from tests.builders import TENANT, make_contact, make_contact_conversation, make_email
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


def test_a_row_of_ours_that_was_overtaken_is_said_again() -> None:
    def answer(fact: AiryFact) -> tuple[AiryWrite, ...]:
        table = a_table(created_at_ms=7, metadata={"display_name": "Ada"})
        table.rows[AiryContactKey(tenant=TENANT, contact_id=ADA)] = AiryContact(id=ADA, facts=(fact,))
        return repair(received(ADA, fact, own=True), None, table)

    assert answer(AiryFact(key="displayName", text="Bob", own=True)) == (write(ADA, "displayName", "Ada"),)
    assert answer(AiryFact(key="displayName", text="Ada", own=True)) == ()
    (time,) = answer(AiryFact(key="created_at", at_ms=6, own=True))
    assert (time.key, time.value, time.timestamp_ms) == ("created_at", "7", 7)
    assert answer(AiryFact(key="created_at", at_ms=7, own=True)) == ()
    assert answer(AiryFact(key="avatarUrl", text="https://a", own=True)) == ()
    assert answer(AiryFact(key="title", text="Dr.", own=True)) == ()
    assert answer(AiryFact(key="displayName", own=True)) == ()


def test_a_name_that_airy_invented_is_written_over() -> None:
    def answer(fact: AiryFact, **metadata: str) -> tuple[AiryWrite, ...]:
        table = a_table(metadata=metadata)
        table.rows[AiryContactKey(tenant=TENANT, contact_id=ADA)] = AiryContact(id=ADA, facts=(fact,))
        return repair(received(ADA, fact), None, table)

    assert answer(NAME, display_name="Ada") == (write(ADA, "displayName", "Ada"),)
    assert answer(NAME) == ()
    assert answer(NAME, display_name="Chatplugin cfaa4") == ()
    assert answer(AiryFact(key="displayName", text="Dr. Ada"), display_name="Ada") == ()
    assert answer(AiryFact(key="title", text="Chatplugin cfaa4"), display_name="Ada") == ()


def test_the_conversation_of_a_deleted_row_is_said_again() -> None:
    record = AiryRecord(contact_id=SECOND, key=f"conversations.{CHAT}")
    assert repair(received(None, None, own=True), record, a_table()) == SAID_AGAIN


def test_so_it_is_when_airy_deleted_it() -> None:
    record = AiryRecord(contact_id=SECOND, key=f"conversations.{CHAT}")
    assert repair(received(None, None), record, a_table()) == SAID_AGAIN


def test_a_tombstone_of_an_unknown_row_leads_to_nothing() -> None:
    assert repair(received(None, None, own=True), None, a_table()) == ()


def test_the_last_row_of_a_second_contact_says_the_first_ones_again() -> None:
    record, table = AiryRecord(contact_id=SECOND, key="displayName"), a_table()
    assert repair(received(None, None, own=True), record, table) == SAID_AGAIN
    key = AiryContactKey(tenant=TENANT, contact_id=SECOND)
    table.rows[key] = AiryContact(id=SECOND, facts=(AiryFact(key="title"),))
    assert repair(received(None, None, own=True), record, table) == ()


def test_what_is_wanted_by_now_is_written_again() -> None:
    """All keys are ours where nothing of Airy's is left, so its name and time are missing too."""
    for own in (True, False):
        record = AiryRecord(contact_id=ADA, key=f"conversations.{CHAT}")
        rows = repair(received(None, None, own=own), record, a_table())
        assert {row.key for row in rows} == {f"conversations.{CHAT}", "displayName", "created_at"}
    table = a_table()
    known = (AiryFact(key="displayName", text="Dr. Ada"), AiryFact(key="created_at", at_ms=1))
    table.rows[AiryContactKey(tenant=TENANT, contact_id=ADA)] = AiryContact(id=ADA, facts=known)
    record = AiryRecord(contact_id=ADA, key="via.email")
    assert repair(received(None, None, own=True), record, table) == ()
    assert repair(received(None, None), AiryRecord(contact_id=ContactId("no uuid"), key="title"), table) == ()


def test_a_contact_that_airy_could_not_delete_is_not_written() -> None:
    table = make_table(make_contact(id="no uuid"))
    record = AiryRecord(contact_id=ContactId("no uuid"), key="displayName")
    assert repair(received(None, None, own=True), record, table) == ()
    assert repair(received("no uuid", NAME), None, table) == ()


def test_an_identifier_that_differs_is_said_again() -> None:
    table = a_table(email="a@b.cd")
    stale = AiryFact(key="via.email", identifiers=AiryIdentifiers(email=make_email("old@b.cd")))
    same = AiryFact(key="via.email", identifiers=AiryIdentifiers(email=make_email("a@b.cd")))
    assert repair(received(ADA, stale), None, table) == (write(ADA, "via.email", "a@b.cd"),)
    assert repair(received(ADA, same), None, table) == ()
    assert repair(received(ADA, AiryFact(key="via.phone")), None, table) == ()


def test_a_conversation_of_another_is_taken_off() -> None:
    chat = AiryFact(key=f"conversations.{CHAT}", text="chatplugin")
    for contact_id in ("51abb963-6078-5efb-b888-d8457a7c76f8", SECOND):
        assert repair(received(contact_id, chat), None, a_table()) == (
            write(ContactId(contact_id), f"conversations.{CHAT}", None),
        )
    assert repair(received(ADA, chat), None, a_table()) == ()


def test_nothing_is_said_again_of_what_nobody_has() -> None:
    for key in (f"conversations.{CHAT}", "displayName"):
        record = AiryRecord(contact_id=SECOND, key=key)
        assert repair(received(None, None, own=True), record, InMemoryIdentityTable()) == ()
    empty = a_table(conversations=())
    assert repair(received(None, None, own=True), AiryRecord(contact_id=SECOND, key="displayName"), empty) == ()
