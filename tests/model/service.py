"""The two stateful agents over rows in memory: commands go in as bytes, answers come out as the bytes that are sent."""

from airy_identify.core.answers import ConversationCommand
from airy_identify.core.commands import Command, Observation
from airy_identify.kafka import partition_for
from airy_identify.stream.agents.conversation import ConversationAgent
from airy_identify.stream.agents.identity import IdentityAgent
from airy_identify.stream.batch import Batch
from airy_identify.topics import TopicNames
from airy_identify.wire.commands import encode_command
from airy_identify.wire.conversation_commands import encode_conversation_command
from airy_identify.wire.resume_token import ResumeTokenSigner
from tests.records import make_record

NAMES = TopicNames()
PARTITIONS = 3
COUNTS = dict.fromkeys((NAMES.identity_commands, NAMES.conversation_commands, NAMES.responses), PARTITIONS)
IDENTITY = IdentityAgent(names=NAMES, conversation_partitions=PARTITIONS)
CONVERSATION = ConversationAgent(names=NAMES, partitions=PARTITIONS, signer=ResumeTokenSigner(b"s" * 32))


class InMemoryService:
    """`identity` are the rows of one table by key, `conversations` those of each partition of the other."""

    def __init__(self) -> None:
        self.identity: dict[bytes, bytes] = {}
        self.conversations: list[dict[bytes, bytes]] = [{} for _ in range(PARTITIONS)]
        self._answers: list[bytes] = []
        self._offset = 0

    def ask(self, command: Command) -> bytes:
        """Return the one answer to a command, after all that follows from it was done."""
        self._answers = []
        self._append(encode_command(command))
        (answer,) = self._answers
        return answer

    def observe(self, observed: Observation) -> None:
        """Put something that Airy tells on the log."""
        self._append(encode_command(observed))

    def tell(self, command: ConversationCommand, conversation_id: str) -> None:
        """Put something on `conversation-commands`."""
        self._deliver(conversation_id.encode(), encode_conversation_command(command))

    def _append(self, value: bytes) -> None:
        record = make_record(topic=NAMES.identity_commands, offset=self._offset, value=value)
        self._offset += 1
        self._process(IDENTITY, Batch([record], self.identity, COUNTS), self.identity)

    def _deliver(self, key: bytes, value: bytes) -> None:
        partition = partition_for(key, PARTITIONS)
        rows = self.conversations[partition]
        record = make_record(topic=NAMES.conversation_commands, partition=partition, key=key, value=value)
        self._process(CONVERSATION, Batch([record], rows, COUNTS), rows)

    def _process(self, agent: IdentityAgent | ConversationAgent, batch: Batch, rows: dict[bytes, bytes]) -> None:
        for record in batch:
            agent.process(record, batch)
        for key, row in batch.rows.items():
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        self._answers += [answer.value for answers in batch.answers.values() for answer in answers]
        for partition, outputs in batch.outputs.items():
            for sent_key, value, _ in outputs:
                assert sent_key is not None
                assert value is not None
                if partition.topic == NAMES.identity_commands:
                    self._append(value)
                else:
                    assert partition.topic == NAMES.conversation_commands
                    self._deliver(sent_key, value)
