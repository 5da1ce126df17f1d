"""The agent of `conversation-commands`: keeps each conversation's last message, and answers at a slip's last stop."""

from dataclasses import dataclass

from aiokafka.structs import ConsumerRecord

from airy_identify.core.commands import ResumeSlip
from airy_identify.core.conversation import apply_message, finish, open_conversation, visit
from airy_identify.core.values import Conversation, ConversationId, Message
from airy_identify.kafka import partition_for
from airy_identify.stream.agents.replies import send_answer
from airy_identify.stream.batch import Batch
from airy_identify.topics import TopicNames
from airy_identify.wire.answers import IDENTIFY_RESPONSE, encode_identified
from airy_identify.wire.conversation_commands import decode_conversation_command, encode_conversation_command
from airy_identify.wire.resume_token import ResumeTokenSigner
from airy_identify.wire.rows import decode_conversation_row, encode_conversation_key, encode_conversation_row


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationAgent:
    """Processes messages and slips. `partitions` is the number of partitions of `conversation-commands`."""

    names: TopicNames
    partitions: int
    signer: ResumeTokenSigner

    def process(self, record: ConsumerRecord, batch: Batch) -> None:
        """Apply the message, or let the slip visit this partition and go on."""
        command = decode_conversation_command(record.value)
        if isinstance(command, Message):
            self._write(batch, apply_message(self._read(batch, command.conversation_id), command))
        else:
            self._visit(command, batch)

    def _visit(self, slip: ResumeSlip, batch: Batch) -> None:
        def held(conversation_id: ConversationId) -> bool:
            return partition_for(conversation_id.encode(), self.partitions) == batch.partition

        for conversation in slip.pending:
            if conversation.id == slip.minted and held(conversation.id):
                self._write(batch, open_conversation(self._read(batch, conversation.id), conversation))
        visited = visit(slip, held, lambda conversation_id: self._read(batch, conversation_id))
        if visited.pending:
            key = visited.pending[0].id.encode()
            batch.send(self.names.conversation_commands, key, encode_conversation_command(visited))
            return
        body = encode_identified(finish(visited), self.signer.sign)
        send_answer(batch, slip.reply_to, slip.request_id, body, IDENTIFY_RESPONSE)

    def _read(self, batch: Batch, conversation_id: ConversationId) -> Conversation | None:
        row = batch.get(encode_conversation_key(conversation_id))
        return None if row is None else decode_conversation_row(row)

    def _write(self, batch: Batch, row: Conversation | None) -> None:
        """Write a row that changed; null means that it did not."""
        if row is not None:
            batch.put(encode_conversation_key(row.id), encode_conversation_row(row))
