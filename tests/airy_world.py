"""This service and the model of Airy around one contacts topic in memory: everything happens when it is told to.

The real agent applies the commands; rows go to the topic, and from there to Airy and, as commands, back. What the topic
holds is read by both, partition by partition, at any pace. A batch of the agent may be aborted: Airy has read its rows.
"""

import random
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.structs import ConsumerRecord

from airy_identify.core.airy_facts import CONVERSATIONS, CREATED_AT, DISPLAY_NAME, read_facts
from airy_identify.core.commands import Command, ContactRowReceived, ConversationSeen, Observation
from airy_identify.core.contacts import find_by_id
from airy_identify.core.contacts_out import facts_by_key, wanted
from airy_identify.core.values import (
    ChannelId,
    Contact,
    ContactId,
    ConversationId,
    Forgotten,
    RequestId,
)
from airy_identify.intake.contact_rows import ContactRows
from airy_identify.kafka import partition_for
from airy_identify.stream.agents.contacts_out import ContactsOut
from airy_identify.stream.agents.identity import BatchIdentityTable, IdentityAgent
from airy_identify.stream.batch import Batch, Headers
from airy_identify.topics import TopicNames
from airy_identify.wire import schemas
from airy_identify.wire.airy import METADATA
from airy_identify.wire.commands import encode_command
from airy_identify.wire.confluent import frame
from airy_identify.wire.headers import is_own_row
from airy_identify.wire.rows import decode_identity_row
from tests import builders as make
from tests.airy_contacts import AiryContacts, AiryRefusedError, Row, Sent
from tests.records import make_record

NAMES = TopicNames()
PARTITIONS = 3
COUNTS = dict.fromkeys((NAMES.conversation_commands, NAMES.responses, NAMES.airy_contacts), PARTITIONS)
SCHEMA_ID = 7
OUT = ContactsOut(topic=NAMES.airy_contacts, tenant=make.TENANT, schema_ids={METADATA: SCHEMA_ID})
ROWS = ContactRows(tenant=make.TENANT)
STEPS_MAX = 50_000


@dataclass(frozen=True)
class Written:
    """A record of the contacts topic. `number` counts all of them in the order in which they were written."""

    number: int
    key: bytes
    value: bytes | None
    headers: Headers


class World:
    """The two programs and what is between them."""

    def __init__(self, agent: IdentityAgent | None = None) -> None:
        self.agent = agent or IdentityAgent(names=NAMES, conversation_partitions=PARTITIONS, contacts_out=OUT)
        self.rows: dict[bytes, bytes] = {}
        self.airy = AiryContacts()
        self.topic: list[list[Written]] = [[] for _ in range(PARTITIONS)]
        self.sends: deque[Sent] = deque()
        """What people asked of Airy's API and it has not sent yet."""
        self.log: list[ConsumerRecord] = []
        """All commands."""
        self.chats: list[str] = []
        """All conversations that there are, here or in Airy only."""
        self.written = 0
        self._airy_read = [0] * PARTITIONS
        self._we_read = [0] * PARTITIONS
        self._offset = 0
        self._now_ms = make.ACCEPTED_AT_MS

    # What callers ask

    def command(self, command: Command | Observation, *, aborts: int = 0) -> None:
        """Apply a command, after so many attempts that were aborted when their rows had been sent."""
        record = make_record(topic=NAMES.identity_commands, offset=self._offset, value=encode_command(command))
        self.log.append(record)
        batch = self._batch(record)
        for _ in range(aborts):
            self._publish(batch)
            again = self._batch(record)
            assert again.outputs == batch.outputs, "an aborted batch comes again otherwise"
        self._publish(batch)
        _apply(batch, self.rows)
        self._offset += 1

    def identify(self, *, aborts: int = 0, **fields: Any) -> str:
        """Identify somebody; return the conversation that would be minted."""
        chat = self._new_chat()
        new_id = ConversationId(chat)
        self.command(make.make_identify_command(new_id=new_id, **self._stamped(), **fields), aborts=aborts)
        if any(each.id == chat for contact in self.contacts for each in contact.conversations):
            self.chats.append(chat)
        return chat

    def merge(self, source: str, destination: str) -> None:
        self.command(make.make_merge(source, destination, **self._stamped()))

    def unmerge(self, contact_id: str) -> None:
        self.command(make.make_unmerge(contact_id, **self._stamped()))

    def release(self, contact_id: str, kind: str, value: str) -> None:
        self.command(make.make_release(contact_id, kind, value, **self._stamped()))

    def forget(self, contact_id: str) -> None:
        self.command(make.make_forget(contact_id, **self._stamped()))

    # What visitors and agents do in Airy

    def visit(self) -> str:
        """Let a visitor begin a conversation that this service did not mint."""
        chat = self._new_chat()
        self.chats.append(chat)
        self._seen(chat)
        self.message(chat)
        return chat

    def message(self, chat: str) -> None:
        """Let a visitor write in a conversation."""
        self._append(self.airy.message(chat))

    def ask_airy(self, what: str, *contacts: str, **fields: str) -> None:
        """Ask Airy's API for `delete`, `update` or `merge` (source, destination)."""
        try:
            if what == "delete":
                self.sends += self.airy.delete(contacts[0])
            elif what == "update":
                self.sends += self.airy.update(contacts[0], **fields)
            elif contacts[0] != contacts[1]:
                self.sends += self.airy.merge(source_id=contacts[0], destination_id=contacts[1])
        except AiryRefusedError:
            return

    # What goes on by itself

    def send_one(self) -> None:
        """Let Airy's API send the next record."""
        if self.sends:
            self._append([self.sends.popleft()])

    def airy_reads(self, partition: int) -> bool:
        """Let Airy read a record; return whether there was one."""
        position = self._airy_read[partition]
        if position == len(self.topic[partition]):
            return False
        self._airy_read[partition] += 1
        record = self.topic[partition][position]
        self.airy.read(partition, record.key.decode(), _row(record))
        return True

    def airy_goes_on(self, number: int) -> bool:
        """Let one of Airy's stages hand on what it has; return whether one had anything."""
        steps = self.airy.steps()
        if steps:
            steps[number % len(steps)]()
        return bool(steps)

    def we_read(self, partition: int) -> bool:
        """Take in a record of the contacts topic; return whether there was one.

        A tombstone waits until Airy has applied all that was written before it.
        """
        position = self._we_read[partition]
        if position == len(self.topic[partition]):
            return False
        record = self.topic[partition][position]
        if record.value is None:
            self._airy_catches_up(record.number)
        self._we_read[partition] += 1
        accepted = ROWS.accept(
            record.key,
            record.value,
            request_id=RequestId(f"contacts-{partition}-{position}"),
            accepted_at_ms=self._tick(),
            own=is_own_row(record.headers),
        )
        assert accepted is None or isinstance(accepted, ContactRowReceived), accepted
        if accepted is not None:
            self.command(accepted)
        return True

    def go_on(self, dice: random.Random, steps: int) -> None:
        """Let this many things happen that go on by themselves, in the order that the dice say."""
        for _ in range(steps):
            partition = dice.randrange(PARTITIONS)
            match dice.randrange(6):
                case 0:
                    self.send_one()
                case 1 | 2:
                    self.airy_reads(partition)
                case 3 | 4:
                    self.airy_goes_on(dice.randrange(100))
                case _:
                    self.we_read(partition)

    def settle(self, *, we_are_quicker: bool = False) -> None:
        """Let everything happen that has to. It has to end. One of the two reads what there is before the other goes on."""
        for _ in range(STEPS_MAX):
            if we_are_quicker and any([self.we_read(partition) for partition in range(PARTITIONS)]):  # noqa: C419 - all
                continue
            if self.sends:
                self.send_one()
                continue
            read = [self.airy_reads(partition) for partition in range(PARTITIONS)]
            if any(read) or self.airy_goes_on(0):
                continue
            read = [self.we_read(partition) for partition in range(PARTITIONS)]
            if not any(read):
                return
        raise AssertionError("it does not end")

    # What is there now

    def replayed(self) -> dict[bytes, bytes]:
        """Return the table as the same log makes it where Airy is told nothing."""
        rows: dict[bytes, bytes] = {}
        silent = IdentityAgent(names=NAMES, conversation_partitions=PARTITIONS)
        for record in self.log:
            batch = Batch([record], rows, COUNTS)
            for each in batch:
                silent.process(each, batch)
            _apply(batch, rows)
        return rows

    @property
    def table(self) -> BatchIdentityTable:
        return BatchIdentityTable(Batch([make_record()], self.rows, COUNTS))

    @property
    def contacts(self) -> list[Contact]:
        """The contacts of ours."""
        rows = (decode_identity_row(row) for key, row in self.rows.items() if b"\x1fcontact\x1f" in key)
        return [row for row in rows if isinstance(row, Contact)]

    def owner_of(self, chat: str) -> Contact | None:
        return next((one for one in self.contacts if any(each.id == chat for each in one.conversations)), None)

    def problems(self) -> list[str]:
        """Return what is not as it has to be when everything has settled."""
        lacking = [problem for contact in self.contacts for problem in self._lacking(contact)]
        owned = [(chat, owner) for chat in self.chats if (owner := self.owner_of(chat)) is not None]
        return self._left_over() + lacking + [problem for each in owned for problem in self._misplaced(*each)]

    def _left_over(self) -> list[str]:
        found = []
        for contact_id, rows in self.airy.contacts.items():
            here = find_by_id(self.table, make.TENANT, ContactId(contact_id))
            if isinstance(here, Forgotten) or (here is not None and here.id != contact_id):
                found.append(f"{contact_id} is left over in Airy: {sorted(rows)}")
        return found

    def _lacking(self, contact: Contact) -> list[str]:
        shown = self.airy.contacts.get(contact.id, {})
        facts = facts_by_key(read_facts(self.table, make.TENANT, contact.id))
        found = [
            f"{contact.id} lacks {key} in Airy"
            for key, value in {DISPLAY_NAME: None, CREATED_AT: None, **wanted(contact, facts)}.items()
            if key not in shown or (value is not None and shown[key].value != value)
        ]
        if set(shown) != set(facts):
            found.append(f"{contact.id}: Airy has {sorted(shown)}, we know of {sorted(facts)}")
        return found

    def _misplaced(self, chat: str, owner: Contact) -> list[str]:
        found = []
        having = [one for one, rows in self.airy.contacts.items() if f"{CONVERSATIONS}{chat}" in rows]
        if having != [owner.id]:
            found.append(f"{chat} of {owner.id} is with {having} in Airy")
        mapped = self.airy.info(conversation_id=chat)
        if mapped is None or mapped.id != owner.id:
            found.append(f"{chat} of {owner.id} is mapped to {mapped and mapped.id}")
        elif mapped != self.airy.info(contact_id=owner.id):
            found.append(f"{chat} is mapped to what {owner.id} was once")
        return found

    def _airy_catches_up(self, number: int) -> None:
        for partition in range(PARTITIONS):
            log = self.topic[partition]
            while self._airy_read[partition] < len(log) and log[self._airy_read[partition]].number <= number:
                self.airy_reads(partition)
        self.airy.settle()

    def _seen(self, chat: str) -> None:
        self.command(
            ConversationSeen(
                tenant=make.TENANT,
                rules_version=1,
                conversation_id=ConversationId(chat),
                channel_id=ChannelId(make.CHANNEL_ID),
                source="chatplugin",
                created_at_ms=self._tick(),
            )
        )

    def _batch(self, record: ConsumerRecord) -> Batch:
        batch = Batch([record], self.rows, COUNTS)
        for each in batch:
            self.agent.process(each, batch)
        return batch

    def _publish(self, batch: Batch) -> None:
        for place, outputs in batch.outputs.items():
            if place.topic == NAMES.airy_contacts:
                for key, value, headers in outputs:
                    assert key is not None
                    self._write(place.partition, key, value, headers)

    def _append(self, sent: Sequence[Sent]) -> None:
        for record_key, row in sent:
            key = record_key.encode()
            self._write(partition_for(key, PARTITIONS), key, None if row is None else _value(row), ())

    def _write(self, partition: int, key: bytes, value: bytes | None, headers: Headers) -> None:
        self.written += 1
        self.topic[partition].append(Written(self.written, key, value, headers))

    def _new_chat(self) -> str:
        return str(uuid.UUID(int=(self._tick() * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128, version=4))

    def _tick(self) -> int:
        self._now_ms += 1
        return self._now_ms

    def _stamped(self) -> dict[str, Any]:
        return {"accepted_at_ms": self._tick(), "request_id": RequestId(f"request-{self._offset}")}


def _apply(batch: Batch, rows: dict[bytes, bytes]) -> None:
    for key, row in batch.rows.items():
        if row is None:
            rows.pop(key, None)
        else:
            rows[key] = row


def _value(row: Row) -> bytes:
    datum = {
        "subject": row.subject,
        "key": row.key,
        "value": row.value,
        "valueType": "text",
        "timestamp": row.timestamp,
    }
    return frame(SCHEMA_ID, schemas.our_schemas().encode_body(METADATA, datum))


def _row(record: Written) -> Row | None:
    if record.value is None:
        return None
    datum = schemas.our_schemas().decode_body(METADATA, record.value, 5)
    return Row(datum["subject"], datum["key"], datum["value"], datum["timestamp"])
