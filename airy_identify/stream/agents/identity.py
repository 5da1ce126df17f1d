"""The agent of `identity-commands`: applies commands in log order to the table `contact-identity`.

One tenant is one partition, so one writer: two requests for one person are never decided side by side.
"""

from dataclasses import dataclass, field

from aiokafka.structs import ConsumerRecord

from airy_identify.core.answers import ConversationCommand, Decision, ForgetConversation, ResumeSlip
from airy_identify.core.commands import Command, Observation
from airy_identify.core.conversation import limit_stops
from airy_identify.core.decide import decide, observe
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import (
    AiryKey,
    AiryRow,
    AliasKey,
    Contact,
    ContactKey,
    ConversationId,
    ConversationOwnerKey,
    Forgotten,
    IdentifierKey,
    IdentityKey,
    IdentityRow,
    JournalKey,
    Merged,
    Owner,
)
from airy_identify.kafka import partition_for
from airy_identify.stream.agents import trail
from airy_identify.stream.agents.contacts_out import ContactsOut
from airy_identify.stream.agents.replies import send_answer, send_error
from airy_identify.stream.batch import Batch
from airy_identify.topics import TopicNames
from airy_identify.wire.answers import SchemaIds, answered_body
from airy_identify.wire.commands import decode_log_value
from airy_identify.wire.conversation_commands import encode_conversation_command
from airy_identify.wire.rows import decode_identity_row, encode_identity_key, encode_identity_row

STOPS_MAX = 8


class BatchIdentityTable:
    """The table `contact-identity` as the rules read it: through the batch's own writes."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def contact(self, key: ContactKey) -> Contact | Forgotten | None:
        """Return the contact with this id, not looking through aliases."""
        row = self._row(key)
        assert row is None or isinstance(row, Contact | Forgotten)  # noqa: S101 - the key says which row it is
        return row

    def owner(self, key: IdentifierKey | AliasKey | ConversationOwnerKey) -> Owner | Forgotten | None:
        """Return whose this identifier, alias or conversation is."""
        row = self._row(key)
        assert row is None or isinstance(row, Owner | Forgotten)  # noqa: S101 - the key says which row it is
        return row

    def journal(self, key: JournalKey) -> Merged | None:
        """Return a merge."""
        row = self._row(key)
        assert row is None or isinstance(row, Merged)  # noqa: S101 - the key says which kind of row it is
        return row

    def is_stored(self, key: ContactKey) -> bool:
        """Tell whether a contact has a row."""
        return self.contact(key) is not None

    def airy(self, key: AiryKey) -> AiryRow | None:
        """Return what is known from Airy."""
        row = self._row(key)
        assert row is None or isinstance(row, AiryRow)  # noqa: S101 - the key says which kind of row it is
        return row

    def _row(self, key: IdentityKey) -> IdentityRow | None:
        row = self._batch.get(encode_identity_key(key))
        return None if row is None else decode_identity_row(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityAgent:
    """Processes commands. `conversation_partitions` is the number of partitions of `conversation-commands`.

    `schema_ids` are the registry's ids of the records of answers. `contacts_out` is null unless Airy is told of contacts.
    """

    names: TopicNames
    conversation_partitions: int
    schema_ids: SchemaIds = field(default_factory=dict)
    contacts_out: ContactsOut | None = None

    def process(self, record: ConsumerRecord, batch: Batch) -> None:
        """Decide, write the rows that changed, and send the slip to its first stop, or the refusal to the caller."""
        command = decode_log_value(record.value)
        table = BatchIdentityTable(batch)
        if isinstance(command, Observation):
            self._write(command, observe(command, table, offset=record.offset), batch)
            return
        decided = decide(command, table, offset=record.offset)
        if isinstance(decided, Rejected):
            send_error(batch, command.reply_to, command.request_id, decided, self.schema_ids)
            return
        trail.passed(batch, command.request_id, "command applied")
        self._write(command, decided, batch)
        if isinstance(decided.slip, ResumeSlip):
            slip = limit_stops(decided.slip, self._partition_of, STOPS_MAX)
            self._send(batch, slip.pending[0].id if slip.pending else slip.request_id, slip)
        elif decided.slip is not None:
            self._send(batch, decided.slip.conversation_id, decided.slip)
        if decided.answer is not None:
            send_answer(batch, command.reply_to, command.request_id, answered_body(decided.answer), self.schema_ids)

    def _write(self, command: Command | Observation, decided: Decision, batch: Batch) -> None:
        table = BatchIdentityTable(batch)
        telling = None if self.contacts_out is None else self.contacts_out.before(command, decided.writes, table)
        for key, row in decided.writes:
            batch.put(encode_identity_key(key), None if row is None else encode_identity_row(row))
        for conversation_id in decided.forgotten:
            self._send(batch, conversation_id, ForgetConversation(conversation_id=conversation_id))
        if telling is not None:
            telling.send(batch, table)

    def _send(self, batch: Batch, key: str, command: ConversationCommand) -> None:
        batch.send(self.names.conversation_commands, key.encode(), encode_conversation_command(command))

    def _partition_of(self, conversation_id: ConversationId) -> int:
        return partition_for(conversation_id.encode(), self.conversation_partitions)
