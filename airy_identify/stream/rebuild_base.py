"""What the table `conversation` had from records that its log no longer holds, made of what other topics still have.

Airy's topic `messages` has every message that Airy has, and which of them is the last does not depend on their order. The
table `contact-identity` has the conversations of its contacts, with the time at which they began, and the markers of
those that were forgotten. So, before what is left of the log: the markers, then Airy's messages, then the conversations.
The agent's own function applies all but the last, as if they came from the log.

What is not the same as before: a message that Airy's topic has lost is nobody's last one, and a conversation that began
in Airy and became somebody's here has the time of that too.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.core.answers import ForgetConversation
from airy_identify.core.conversation import open_conversation
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import (
    Contact,
    ContactConversation,
    ContactKey,
    ConversationId,
    ConversationOwnerKey,
    Forgotten,
    Owner,
)
from airy_identify.intake.messages import accept_message
from airy_identify.kafka import KafkaClients, close_client, partition_for, partitions_of, read_to_end
from airy_identify.stream.app import Process
from airy_identify.stream.batch import Batch
from airy_identify.stream.errors import RebuildError
from airy_identify.topics import TopicNames
from airy_identify.wire.confluent import WriterSchemas
from airy_identify.wire.conversation_commands import encode_conversation_command
from airy_identify.wire.rows import (
    PROGRESS_KEY,
    decode_conversation_row,
    decode_identity_key,
    decode_identity_row,
    encode_conversation_key,
    encode_conversation_row,
)

Part = tuple[list[ConsumerRecord], Process]
"""Records, and what applies them."""

Base = Callable[[int], AsyncIterator[Part]]
"""Yields what a partition had before its log begins. Raises `KafkaError`."""


class Learn(Protocol):
    """Learns the schemas of records before they are read."""

    async def __call__(self, records: Iterable[ConsumerRecord], /) -> None:
        """Ask the registry, if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How Airy's messages are read. `writers` is null when there is no schema registry."""

    writers: WriterSchemas | None
    learn: Learn


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationBase:
    """Makes the base of partitions of the table `conversation`.

    `process` is the agent's, `partitions` how many the table has, `identity_changelogs` the current changelog of each
    partition of `contact-identity`, `reading` opens what reads Airy's records.
    """

    clients: KafkaClients
    names: TopicNames
    process: Process
    partitions: int
    identity_changelogs: Mapping[int, str]
    reading: Callable[[], AbstractAsyncContextManager[Reading]]

    async def parts(self, partition: int) -> AsyncIterator[Part]:
        """Yield what the partition had. Raises `KafkaError`, `RebuildError`."""
        consumer = self.clients.consumer(fetch_max_wait_ms=20)
        await consumer.start()
        try:
            # Asked first: a consumer that has been given partitions knows of no other topic any more.
            messages = await partitions_of(consumer, self.names.airy_messages)
            if not messages:
                raise RebuildError(f"{self.names.airy_messages}: is missing, or an ACL hides it; it is Airy's")
            forgotten, open_ones = await self._conversations(consumer, partition)
            yield [self._record(partition, each, _forget(each)) for each in forgotten], self.process
            async with self.reading() as reading:
                async for records in read_to_end(consumer, messages):
                    await reading.learn(records)
                    yield self._messages(records, partition, reading.writers), self.process
            yield [self._record(partition, each, b"") for each in open_ones], _opener(open_ones)
        finally:
            await close_client(consumer)

    def _messages(
        self, records: list[ConsumerRecord], partition: int, writers: WriterSchemas | None
    ) -> list[ConsumerRecord]:
        """Return Airy's messages of this partition as the log would have them; what cannot be read is no message."""
        found = []
        for record in records:
            message = None if record.value is None else accept_message(record.value, writers)
            if (
                message is None
                or isinstance(message, Rejected)
                or not self._is_here(message.conversation_id, partition)
            ):
                continue
            found.append(self._record(partition, message.conversation_id, encode_conversation_command(message)))
        return found

    async def _conversations(
        self, consumer: AIOKafkaConsumer, partition: int
    ) -> tuple[list[ConversationId], dict[ConversationId, ContactConversation]]:
        """Return the forgotten conversations of a partition, and those that somebody has."""
        owned: dict[ConversationId, bool] = {}
        known: dict[ConversationId, ContactConversation] = {}
        changelogs = [TopicPartition(topic, number) for number, topic in self.identity_changelogs.items()]
        async for records in read_to_end(consumer, changelogs):
            for record in records:
                if record.key is None or record.value is None or record.key == PROGRESS_KEY:
                    continue
                key = decode_identity_key(record.key)
                if isinstance(key, ConversationOwnerKey) and self._is_here(key.conversation_id, partition):
                    row = decode_identity_row(record.value)
                    if isinstance(row, Owner | Forgotten):
                        owned[key.conversation_id] = isinstance(row, Owner)
                elif isinstance(key, ContactKey):
                    contact = decode_identity_row(record.value)
                    if isinstance(contact, Contact):
                        known |= {each.id: each for each in contact.conversations if self._is_here(each.id, partition)}
        forgotten = sorted(each for each, is_owned in owned.items() if not is_owned)
        return forgotten, {each: known[each] for each in sorted(known) if owned.get(each, False)}

    def _is_here(self, conversation_id: ConversationId, partition: int) -> bool:
        return partition_for(conversation_id.encode(), self.partitions) == partition

    def _record(self, partition: int, conversation_id: ConversationId, value: bytes) -> ConsumerRecord:
        """Return a record as the log might have had it; its offset is nobody's."""
        return ConsumerRecord(
            topic=self.names.conversation_commands,
            partition=partition,
            offset=-1,
            timestamp=0,
            timestamp_type=0,
            key=conversation_id.encode(),
            value=value,
            checksum=None,
            serialized_key_size=-1,
            serialized_value_size=-1,
            headers=(),
        )


def _forget(conversation_id: ConversationId) -> bytes:
    return encode_conversation_command(ForgetConversation(conversation_id=conversation_id))


def _opener(conversations: Mapping[ConversationId, ContactConversation]) -> Process:
    """Return what opens these conversations, as the slip did that minted them."""

    def process(record: ConsumerRecord, batch: Batch) -> None:
        conversation = conversations[ConversationId(record.key.decode())]
        key = encode_conversation_key(conversation.id)
        row = batch.get(key)
        opened = open_conversation(None if row is None else decode_conversation_row(row), conversation)
        if opened is not None:
            batch.put(key, encode_conversation_row(opened))

    return process
