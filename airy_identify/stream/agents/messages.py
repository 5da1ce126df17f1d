"""The agent of Airy's topic `messages`: re-keys each message by its conversation. It must not look into state."""

from collections.abc import Callable
from dataclasses import dataclass

from aiokafka.structs import ConsumerRecord

from airy_identify.core.conversation import shorten
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.stream.agents.replies import DeadLetters
from airy_identify.stream.batch import Batch
from airy_identify.topics import TopicNames
from airy_identify.wire.airy import decode_message
from airy_identify.wire.confluent import WriterSchemas
from airy_identify.wire.conversation_commands import encode_conversation_command
from airy_identify.wire.errors import UndecodableError


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesAgent:
    """Processes Airy's messages. `writers` are the schemas that the registry has, null when there is no registry."""

    names: TopicNames
    dead_letters: DeadLetters
    now_ms: Callable[[], int]
    writers: WriterSchemas | None = None

    def process(self, record: ConsumerRecord, batch: Batch) -> None:
        """Send the message to its conversation; a tombstone names none and is passed over.

        Content that no answer shows is dropped here already, so that no record of ours outgrows its topic.
        """
        if record.value is None:
            return
        try:
            message = shorten(decode_message(record.value, self.writers))
        except UndecodableError as error:
            rejected = Rejected(reason=Reason.INVALID_FIELD, message=f"not a message of Airy: {error}")
            self.dead_letters.send(batch, record, rejected, self.now_ms())
            return
        batch.send(
            self.names.conversation_commands, message.conversation_id.encode(), encode_conversation_command(message)
        )
