"""The agent of `conversation-commands`: keeps each conversation's last message, and answers at a slip's last stop."""

from dataclasses import dataclass, field
from typing import Protocol

from aiokafka.structs import ConsumerRecord

from airy_identify.core.answers import ForgetConversation, Identified, ResumeSlip, TokenSlip
from airy_identify.core.commands import RULES_VERSION, ConversationSeen
from airy_identify.core.conversation import (
    apply_message,
    conversation_seen,
    finish,
    give_token,
    open_conversation,
    visit,
)
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import ChannelId, ConversationId, ConversationRow, Forgotten, Message
from airy_identify.kafka import partition_for
from airy_identify.stream.agents import trail
from airy_identify.stream.agents.replies import send_answer, send_error
from airy_identify.stream.batch import Batch
from airy_identify.topics import TopicNames
from airy_identify.wire.answers import SchemaIds, identified_body, info_body, token_body
from airy_identify.wire.commands import encode_command
from airy_identify.wire.conversation_commands import decode_conversation_command, encode_conversation_command
from airy_identify.wire.rows import decode_conversation_row, encode_conversation_key, encode_conversation_row


class Signer(Protocol):
    """Mints resume tokens: `wire.resume_token.ResumeTokenSigner`."""

    def sign(self, conversation_id: ConversationId, channel_id: ChannelId, issued_at_s: int) -> str:
        """Return the token."""


class NoSigner:
    """Mints nothing: for making the table again, where no answer leaves. Tokens are no part of the table."""

    def sign(self, conversation_id: ConversationId, channel_id: ChannelId, issued_at_s: int) -> str:  # noqa: ARG002
        """Return an empty text."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationAgent:
    """Processes messages and slips. `partitions` is the number of partitions of `conversation-commands`.

    `schema_ids` are the registry's ids of the records of answers.
    """

    names: TopicNames
    partitions: int
    signer: Signer
    schema_ids: SchemaIds = field(default_factory=dict)

    def process(self, record: ConsumerRecord, batch: Batch) -> None:
        """Apply the message, let the slip visit this partition and go on, or erase the conversation."""
        command = decode_conversation_command(record.value)
        match command:
            case Message():
                self._receive(command, batch)
            case ResumeSlip():
                self._visit(command, batch)
            case TokenSlip():
                self._give_token(command, batch)
            case ForgetConversation():
                self._write(batch, command.conversation_id, Forgotten())

    def _receive(self, message: Message, batch: Batch) -> None:
        before = self._read(batch, message.conversation_id)
        after = apply_message(before, message)
        self._write(batch, message.conversation_id, after)
        seen = conversation_seen(before, after)
        if seen is not None and message.tenant is not None:
            told = ConversationSeen(
                tenant=message.tenant,
                rules_version=RULES_VERSION,
                conversation_id=message.conversation_id,
                channel_id=seen.channel_id,
                source=seen.source,
                created_at_ms=seen.created_at_ms,
            )
            batch.send(self.names.identity_commands, message.tenant.encode(), encode_command(told))

    def _visit(self, slip: ResumeSlip, batch: Batch) -> None:
        def held(conversation_id: ConversationId) -> bool:
            return partition_for(conversation_id.encode(), self.partitions) == batch.partition

        for conversation in slip.pending:
            if conversation.id == slip.minted and held(conversation.id):
                self._write(batch, conversation.id, open_conversation(self._read(batch, conversation.id), conversation))
        visited = visit(slip, held, lambda conversation_id: self._read(batch, conversation_id))
        if visited.pending:
            trail.passed(batch, slip.request_id, "slip sent on")
            key = visited.pending[0].id.encode()
            batch.send(self.names.conversation_commands, key, encode_conversation_command(visited))
            return
        answer = finish(visited)
        body = identified_body(answer, self.signer.sign) if isinstance(answer, Identified) else info_body(answer)
        send_answer(batch, slip.reply_to, slip.request_id, body, self.schema_ids)

    def _give_token(self, slip: TokenSlip, batch: Batch) -> None:
        given = give_token(slip, self._read(batch, slip.conversation_id))
        if isinstance(given, Rejected):
            send_error(batch, slip.reply_to, slip.request_id, given, self.schema_ids)
        else:
            body = token_body(given, self.signer.sign)
            send_answer(batch, slip.reply_to, slip.request_id, body, self.schema_ids)

    def _read(self, batch: Batch, conversation_id: ConversationId) -> ConversationRow | None:
        row = batch.get(encode_conversation_key(conversation_id))
        return None if row is None else decode_conversation_row(row)

    def _write(self, batch: Batch, conversation_id: ConversationId, row: ConversationRow | None) -> None:
        """Write a row that changed; null means that it did not."""
        if row is not None:
            batch.put(encode_conversation_key(conversation_id), encode_conversation_row(row))
