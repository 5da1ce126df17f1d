"""Sending dead letters again: requests and answers as they were, Airy's messages through our own code.

A letter and the note that it was sent again are one transaction: it is sent and noted, or neither. Whoever comes second
at the same time cuts the first off, so that nothing is sent twice by accident.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from typing import Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from airy_identify.core.reasons import Rejected
from airy_identify.header_names import batch_with
from airy_identify.intake.messages import accept_message
from airy_identify.kafka import BATCH_BYTES, KafkaClients, close_client, partition_for, partitions_of
from airy_identify.ops.dead_letters import DeadLetter, Found, Place, read_dead_letters
from airy_identify.ops.reading import Advance, reader
from airy_identify.registry import RegistryClient, RegistryUnavailableError
from airy_identify.settings import Settings
from airy_identify.topics import TopicNames
from airy_identify.wire.confluent import WriterSchemas, schema_id_of
from airy_identify.wire.conversation_commands import encode_conversation_command
from airy_identify.wire.headers import DEAD_LETTER_RETRIED, DEAD_LETTER_TIME, REQUEST_ID

_NOTE_KEY = b"retried"
_TIMEOUT_S = 15.0
_REQUEST_TIMEOUT_MS = 10_000

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resend:
    """What is sent for a dead letter. `partition` is null when the key decides."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What became of a dead letter: `sent_to` is `topic:partition:offset`, or null and `problem` says why."""

    place: Place
    source: str | None
    code: str | None
    sent_to: str | None
    problem: str | None


async def retry_dead_letters(
    settings: Settings, found: Iterable[Found], *, time: str, advance: Advance
) -> AsyncIterator[Retried]:
    """Send these dead letters again, one transaction each, and yield what became of each. `time` is for the notes.

    Raises:
        KafkaUnreachableError: No broker answers.
        TopicsError: The topic is missing.
    """
    async with reader(settings.kafka_bootstrap_servers) as consumer, _Writers(settings) as writers:
        sender = _Sender(settings, consumer, time)
        try:
            async for letter in read_dead_letters(settings, found, advance=advance):
                known = await writers.learn(letter.value)
                resend = (
                    known
                    if isinstance(known, str)
                    else resend_of(letter, settings.topic_names, settings.allowed_reply_topics, known)
                )
                sent_to, problem = (None, resend) if isinstance(resend, str) else await sender.send(letter, resend)
                yield Retried(
                    place=letter.place, source=letter.source, code=letter.code, sent_to=sent_to, problem=problem
                )
        finally:
            await sender.close()


def resend_of(
    letter: DeadLetter, names: TopicNames, reply_topics: Iterable[str], writers: WriterSchemas | None = None
) -> Resend | str:
    """Return what has to be sent for a dead letter, or why nothing can be.

    `writers` are the schemas that the registry has, null when there is no registry. A request keeps its id: one without the field had its place as its id, and takes it along in a header.
    """
    if letter.bytes_lost is not None:
        return f"its {letter.bytes_lost} bytes were too many to be kept"
    if letter.reply_topic is not None:
        if letter.reply_topic not in {*reply_topics, names.bridge_responses}:
            return f"{letter.reply_topic} is not among the reply topics of AIRY_IDENTIFY_REPLY_TOPICS (any more)"
        return Resend(
            topic=letter.reply_topic,
            partition=letter.reply_partition,
            key=letter.key,
            value=letter.value,
            headers=letter.headers,
        )
    if letter.source_topic == names.requests:
        headers = letter.headers
        if REQUEST_ID not in dict(headers):
            place = f"{letter.source_topic}-{letter.source_partition}-{letter.source_offset}"
            headers = (*headers, (REQUEST_ID, place.encode()))
        return Resend(
            topic=names.requests,
            partition=letter.source_partition,
            key=letter.key,
            value=letter.value,
            headers=headers,
        )
    if letter.source_topic == names.airy_messages and letter.value is not None:
        return _message(letter.value, names, writers)
    return _why_not(letter, names)


def _why_not(letter: DeadLetter, names: TopicNames) -> str:
    if letter.source_topic == names.airy_contacts:
        return "a newer row of its key may have come since; contacts.update in Airy writes all rows of a contact again"
    return f"nothing here processes records of {letter.source_topic or 'an unknown topic'}"


def _message(value: bytes, names: TopicNames, writers: WriterSchemas | None) -> Resend | str:
    """Airy's topic is Airy's: the message goes on to where the agent `messages` would have sent it."""
    message = accept_message(value, writers)
    if isinstance(message, Rejected):
        return message.message
    message = replace(message, tenant=None)  # that of its channel is not known here; the next message says it
    return Resend(
        topic=names.conversation_commands,
        partition=None,
        key=message.conversation_id.encode(),
        value=encode_conversation_command(message),
        headers=(),
    )


class _Writers:
    """The schemas of the letters' writers: from the registry, where there is one."""

    def __init__(self, settings: Settings) -> None:
        url = settings.schema_registry_url
        self._client = None if url is None else RegistryClient(url)
        self._schemas = WriterSchemas()

    async def __aenter__(self) -> Self:
        if self._client is not None:
            await self._client.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._client is not None:
            await self._client.close()

    async def learn(self, value: bytes | None) -> WriterSchemas | str | None:
        """Return the schemas, that of this value among them if the registry knows it, or why it cannot be asked."""
        if self._client is None:
            return None
        schema_id = schema_id_of(value)
        if schema_id is not None and schema_id not in self._schemas:
            try:
                await self._client.add_to(self._schemas, schema_id)
            except RegistryUnavailableError as error:
                return str(error)
        return self._schemas


class _Sender:
    """Sends letters with a transactional producer, which is made anew after a failure."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer, time: str) -> None:
        self._clients = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers)
        self._transactional_id = f"{settings.topic_names.app_id}-dead-letters"
        self._letters = settings.topic_names.dead_letters
        self._consumer = consumer
        self._time = time
        self._producer: AIOKafkaProducer | None = None
        self._counts: dict[str, int] = {}

    async def send(self, letter: DeadLetter, resend: Resend) -> tuple[str | None, str | None]:
        """Return where it went, or why it did not go."""
        count = await self._partitions(resend.topic)
        partition = resend.partition
        if partition is None:
            partition = partition_for(resend.key or b"", count) if count else 0
        if partition >= count:
            return None, f"there is no partition {partition} of {resend.topic}" if count else f"no topic {resend.topic}"
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                offset = await self._commit(letter, resend, partition)
        except (KafkaError, TimeoutError, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and (task := asyncio.current_task()) and task.cancelling():
                raise
            await self.close()
            return None, f"Kafka does not take it ({type(error).__name__})"
        return f"{resend.topic}:{partition}:{offset}", None

    async def _commit(self, letter: DeadLetter, resend: Resend, partition: int) -> int:
        if self._producer is None:
            self._producer = self._clients.transactional_producer(
                self._transactional_id, request_timeout_ms=_REQUEST_TIMEOUT_MS
            )
            await self._producer.start()
        note = ((DEAD_LETTER_RETRIED, b"%d:%d" % letter.place), (DEAD_LETTER_TIME, self._time.encode()))
        await self._producer.begin_transaction()
        sent = await self._send(TopicPartition(resend.topic, partition), resend.key, resend.value, resend.headers)
        noted = await self._send(TopicPartition(self._letters, letter.partition), _NOTE_KEY, None, note)
        metadata = await asyncio.gather(sent, noted)
        await self._producer.commit_transaction()
        return int(metadata[0].offset)

    async def _send(
        self, place: TopicPartition, key: bytes | None, value: bytes | None, headers: Headers
    ) -> asyncio.Future[RecordMetadata]:
        """Send one record, which may have neither key nor value."""
        assert self._producer is not None  # noqa: S101 - made by _commit
        batch = batch_with(self._producer, BATCH_BYTES, key, value, headers)
        future: asyncio.Future[RecordMetadata] = await self._producer.send_batch(
            batch, place.topic, partition=place.partition
        )
        return future

    async def _partitions(self, topic: str) -> int:
        if topic not in self._counts:
            self._counts[topic] = len(await partitions_of(self._consumer, topic))
        return self._counts[topic]

    async def close(self) -> None:
        """Close the producer; the next letter gets a new one."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await close_client(producer)
