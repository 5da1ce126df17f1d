"""The agent of Airy's topic `messages`: re-keys each message by its conversation. It must not look into state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiokafka.structs import ConsumerRecord

from airy_identify.core.reasons import Rejected
from airy_identify.intake.messages import accept_message
from airy_identify.stream.agents.replies import DeadLetters
from airy_identify.stream.batch import Batch
from airy_identify.topics import TopicNames
from airy_identify.wire.confluent import WriterSchemas
from airy_identify.wire.conversation_commands import encode_conversation_command


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesAgent:
    """Processes Airy's messages. `writers` are the schemas that the registry has, null when there is no registry.

    `channel_tenants` maps channel ids to their tenants; the others belong to `default`.
    """

    names: TopicNames
    dead_letters: DeadLetters
    now_ms: Callable[[], int]
    writers: WriterSchemas | None = None
    channel_tenants: Mapping[str, str] = field(default_factory=dict)

    def process(self, record: ConsumerRecord, batch: Batch) -> None:
        """Send the message to its conversation; a tombstone names none and is passed over."""
        if record.value is None:
            return
        message = accept_message(record.value, self.writers, self.channel_tenants)
        if isinstance(message, Rejected):
            self.dead_letters.send(batch, record, message, self.now_ms())
            return
        batch.send(
            self.names.conversation_commands, message.conversation_id.encode(), encode_conversation_command(message)
        )
