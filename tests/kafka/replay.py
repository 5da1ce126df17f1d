"""The oracle: what the logs say must be there, recomputed from them with an empty table and compared byte for byte."""

import collections
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aiokafka.structs import ConsumerRecord

from airy_identify.core.values import Message
from airy_identify.kafka import KafkaClients, close_client, partitions_of, read_to_end
from airy_identify.settings import Settings
from airy_identify.stream.agents.conversation import ConversationAgent
from airy_identify.stream.agents.identity import IdentityAgent
from airy_identify.stream.batch import Batch, Output
from airy_identify.topics import CONVERSATION, IDENTITY, INTAKE, MESSAGES
from airy_identify.wire.conversation_commands import decode_conversation_command
from airy_identify.wire.resume_token import ResumeTokenSigner
from airy_identify.wire.rows import PROGRESS_KEY, decode_progress

Rows = dict[bytes, bytes]


class DictTable:
    """A table in memory."""

    def __init__(self) -> None:
        self.rows: Rows = {}

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def apply(self, batch: Batch) -> None:
        for key, row in batch.rows.items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row


@dataclass
class Replayed:
    """The rows of each partition, and everything that was sent, by topic."""

    rows: dict[int, Rows] = field(default_factory=dict)
    sent: dict[str, list[Output]] = field(default_factory=lambda: collections.defaultdict(list))


async def read(settings: Settings, topic: str, *, read_committed: bool = True) -> list[ConsumerRecord]:
    """Return all records of a topic, in order within each partition."""
    clients = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers)
    consumer = clients.consumer(read_committed=read_committed)
    await consumer.start()
    try:
        partitions = await partitions_of(consumer, topic)
        return [record async for records in read_to_end(consumer, partitions) for record in records]
    finally:
        await close_client(consumer)


async def everything_is_applied(settings: Settings) -> bool:
    """Whether all agents stand at the end of their logs, in the order of the flow: an answer may overtake a message."""
    names = settings.topic_names
    logs = {
        INTAKE: names.requests,
        MESSAGES: names.airy_messages,
        IDENTITY: names.identity_commands,
        CONVERSATION: names.conversation_commands,
    }
    # The conversations tell the log of those that began in Airy, which leads to nothing more.
    for table, log in (*logs.items(), (IDENTITY, logs[IDENTITY])):
        ends = {record.partition: record.offset for record in await read(settings, log)}
        progress = {
            record.partition: decode_progress(record.value).offset
            for record in await read(settings, names.changelog(table))
            if record.key == PROGRESS_KEY
        }
        if progress != ends:
            return False
    return True


def replay(
    records: Iterable[ConsumerRecord], process: Callable[[ConsumerRecord, Batch], None], counts: dict[str, int]
) -> Replayed:
    """Apply a log to an empty table, one record at a time, with the agent's own function."""
    replayed = Replayed()
    tables: dict[int, DictTable] = collections.defaultdict(DictTable)
    for record in records:
        batch = Batch([record], tables[record.partition], counts)
        for each in batch:
            process(each, batch)
        tables[record.partition].apply(batch)
        for partition, outputs in batch.outputs.items():
            replayed.sent[partition.topic] += outputs
        for listed in batch.answers.values():
            for answer in listed:
                replayed.sent[answer.topic].append(answer.output)
    replayed.rows = {partition: table.rows for partition, table in tables.items()}
    return replayed


def fold(changelog: Iterable[ConsumerRecord]) -> dict[int, Rows]:
    """Return the table that a changelog describes, by partition, without progress rows."""
    tables: dict[int, Rows] = collections.defaultdict(dict)
    for record in changelog:
        if record.value is None:
            tables[record.partition].pop(record.key, None)
        elif record.key != PROGRESS_KEY:
            tables[record.partition][record.key] = record.value
    return {partition: rows for partition, rows in tables.items() if rows}


@dataclass(frozen=True)
class Oracle:
    """Recomputes an installation from its logs. To be asked when nothing is under way any more."""

    settings: Settings
    counts: dict[str, int]

    async def identity(self) -> Replayed:
        agent = IdentityAgent(names=self.settings.topic_names, conversation_partitions=self.settings.partitions)
        return replay(
            await read(self.settings, self.settings.topic_names.identity_commands), agent.process, self.counts
        )

    async def conversation(self) -> Replayed:
        agent = ConversationAgent(
            names=self.settings.topic_names,
            partitions=self.settings.partitions,
            signer=ResumeTokenSigner(self.settings.jwt_secret_bytes),
        )
        log = await read(self.settings, self.settings.topic_names.conversation_commands)
        return replay(log, agent.process, self.counts)

    async def assert_tables_and_outputs_are_what_the_logs_say(self) -> list[ConsumerRecord]:
        """Compare tables, slips and answers with the replay; return the answers that intake gave by itself."""
        names = self.settings.topic_names
        identity, conversation = await self.identity(), await self.conversation()
        assert fold(await read(self.settings, names.changelog(IDENTITY))) == nonempty(identity.rows)
        assert fold(await read(self.settings, names.changelog(CONVERSATION))) == nonempty(conversation.rows)
        slips = [record.value for record in await read(self.settings, names.conversation_commands)]
        slips = [value for value in slips if not isinstance(decode_conversation_command(value), Message)]
        expected = identity.sent[names.conversation_commands] + conversation.sent[names.conversation_commands]
        assert collections.Counter(slips) == collections.Counter(value for _, value, _ in expected)
        answers = await read(self.settings, names.responses)
        expected = identity.sent[names.responses] + conversation.sent[names.responses]
        wanted = collections.Counter((key, value, tuple(headers)) for key, value, headers in expected)
        by_intake = []
        for record in answers:
            identity_of_record = (record.key, record.value, tuple(record.headers))
            if wanted[identity_of_record]:
                wanted[identity_of_record] -= 1
            else:
                by_intake.append(record)
        assert not +wanted, "answers are missing"
        return by_intake


def nonempty(tables: dict[int, Rows]) -> dict[int, Rows]:
    return {partition: rows for partition, rows in tables.items() if rows}
