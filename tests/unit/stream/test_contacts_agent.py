"""What Airy tells, on its way through the agents that take it in."""

from airy_identify.core.commands import ContactRowReceived, ConversationSeen
from airy_identify.core.values import Message, TenantId
from airy_identify.intake.contact_rows import ContactRows
from airy_identify.stream.agents.contacts import ContactsAgent
from airy_identify.stream.agents.messages import MessagesAgent
from airy_identify.stream.batch import Batch
from airy_identify.wire.airy import ContactRow, encode_contact_row, encode_message
from airy_identify.wire.commands import decode_log_value, encode_command
from airy_identify.wire.conversation_commands import decode_conversation_command, encode_conversation_command
from airy_identify.wire.headers import OURS
from tests.builders import (
    ACCEPTED_AT_MS,
    make_conversation_seen,
    make_fact,
    make_message,
    make_row_received,
)
from tests.records import make_record
from tests.unit.stream.test_agents import CONVERSATION, DEAD_LETTERS, IDENTITY, NAMES, Rows, process, sent

CONTACT_ID = "51abb963-6078-5efb-b888-d8457a7c76f8"
CHAT = "98ce13ef-5469-4db3-af62-579be61cfaa4"
ROWS = ContactRows(tenant=TenantId("shop"))
CONTACTS = ContactsAgent(names=NAMES, rows=ROWS, dead_letters=DEAD_LETTERS, now_ms=lambda: ACCEPTED_AT_MS)


def row(key: str, value: str, *, subject: str = f"contact:{CONTACT_ID}") -> bytes:
    return encode_contact_row(ContactRow(subject=subject, key=key, value=value, timestamp_ms=1))


def told(batch: Batch) -> list[object]:
    return [decode_log_value(value or b"") for _, value, _ in sent(batch, NAMES.identity_commands)]


def test_a_row_goes_to_the_log_of_its_tenant() -> None:
    record = make_record(topic="contacts", partition=3, offset=7, key=b"r", value=row("displayName", "Ada"))
    batch = process(CONTACTS, record)
    ((key, _, _),) = sent(batch, NAMES.identity_commands)
    assert key == b"shop"
    assert told(batch) == [
        make_row_received(
            CONTACT_ID, make_fact("displayName", "Ada"), record_key="r", request_id="contacts-3-7", tenant="shop"
        )
    ]


def test_a_tombstone_goes_there_with_its_key_and_says_when_it_is_our_own() -> None:
    for headers, own in (((), False), (((OURS, b"1"),), True)):
        (received,) = told(process(CONTACTS, make_record(key=b"r", value=None, headers=headers)))
        assert isinstance(received, ContactRowReceived)
        assert (received.record_key, received.contact_id, received.fact, received.own) == ("r", None, None, own)


def test_a_row_that_says_nothing_that_counts_is_passed_over() -> None:
    assert process(CONTACTS, make_record(value=row("favouriteColour", "blue"))).outputs == {}


def test_what_is_no_row_is_kept() -> None:
    for value in (b"\xc3\x01nonsense", row("displayName", "Ada", subject="conversation:1")):
        assert len(sent(process(CONTACTS, make_record(value=value)), NAMES.dead_letters)) == 1
    assert len(sent(process(CONTACTS, make_record(key=None, value=None)), NAMES.dead_letters)) == 1


def test_messages_carry_the_tenant_of_their_channel() -> None:
    agent = MessagesAgent(names=NAMES, dead_letters=DEAD_LETTERS, now_ms=lambda: 0, channel_tenants={"ch": "shop"})
    batch = process(agent, make_record(value=encode_message(make_message(channel_id="ch"))))
    ((_, value, _),) = sent(batch, NAMES.conversation_commands)
    received = decode_conversation_command(value or b"")
    assert isinstance(received, Message)
    assert received.tenant == "shop"


def test_a_conversation_that_began_outside_is_told_once_and_when_its_start_moves() -> None:
    rows = Rows()
    for message, expected in (
        (make_message(id="m2", sent_at_ms=20), 20),
        (make_message(id="m3", sent_at_ms=30), None),
        (make_message(id="m1", sent_at_ms=10), 10),
    ):
        value = encode_conversation_command(make_message(**_members(message), tenant="shop"))
        batch = process(CONVERSATION, make_record(value=value), rows)
        rows.update({key: found for key, found in batch.rows.items() if found is not None})
        outputs = sent(batch, NAMES.identity_commands)
        assert [key for key, _, _ in outputs] == ([] if expected is None else [b"shop"])
        assert [seen.created_at_ms for seen in told(batch) if isinstance(seen, ConversationSeen)] == (
            [] if expected is None else [expected]
        )


def test_a_message_without_a_tenant_tells_nothing() -> None:
    batch = process(CONVERSATION, make_record(value=encode_conversation_command(make_message())))
    assert batch.outputs == {}


def test_what_was_told_is_kept_and_answers_nobody() -> None:
    for observed in (make_row_received(CONTACT_ID, make_fact("displayName", "Ada")), make_conversation_seen(CHAT)):
        batch = process(IDENTITY, make_record(value=encode_command(observed)))
        assert batch.rows
        assert (batch.outputs, batch.answers) == ({}, {})


def _members(message: Message) -> dict[str, object]:
    return {"id": message.id, "sent_at_ms": message.sent_at_ms}
