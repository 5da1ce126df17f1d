"""A caller over Kafka that keeps its connections: asks with any headers, and reads what comes to any reply topic."""

import json
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord

from airy_identify.kafka import KafkaClients, close_client, partitions_of
from airy_identify.settings import Settings
from airy_identify.wire.answers import ANSWER_SCHEMA_HEADER
from airy_identify.wire.headers import CORRELATION_ID
from airy_identify.wire.schemas import SINGLE_OBJECT_MARKER
from tests.avro_form import read_by_apache

DEADLINE_S = 60.0
Headers = Iterable[tuple[str, bytes | None]]


class KafkaCaller:
    """Made by `calling`. What it reads is committed, and read once: from where the topics ended when it began."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> None:
        self.settings = settings
        self._producer = producer
        self._consumer = consumer
        self.read: list[ConsumerRecord] = []

    async def send(
        self,
        value: bytes | None,
        headers: Headers = (),
        *,
        key: bytes | None = b"key",
        partition: int | None = None,
    ) -> str:
        """Put a record on `identify-requests`; return `<topic>-<partition>-<offset>` of it."""
        topic = self.settings.topic_names.requests
        sent = await self._producer.send_and_wait(
            topic, key=key, value=value, headers=list(headers), partition=partition
        )
        return f"{topic}-{sent.partition}-{sent.offset}"

    async def ask(self, value: bytes, headers: Headers = (), **where: Any) -> ConsumerRecord:
        """Send with a random correlation id; return the answer."""
        correlation_id = uuid.uuid4().bytes
        await self.send(value, (*headers, (CORRELATION_ID, correlation_id)), **where)
        return await self.answer(correlation_id)

    async def answer(self, correlation_id: bytes) -> ConsumerRecord:
        """Return the answer with this correlation id."""
        return await self.until(lambda record: (CORRELATION_ID, correlation_id) in record.headers)

    async def until(self, wanted: Any) -> ConsumerRecord:
        """Return the first record read that is wanted; the test fails when that takes too long."""
        deadline, seen = time.monotonic() + DEADLINE_S, 0
        while True:
            for record in self.read[seen:]:
                if wanted(record):
                    return record
            seen = len(self.read)
            assert time.monotonic() < deadline, "it did not come"
            for records in (await self._consumer.getmany(timeout_ms=100)).values():
                self.read += records


@asynccontextmanager
async def calling(settings: Settings, *topics: str) -> AsyncIterator[KafkaCaller]:
    """Connect a caller that reads these topics, `identify-responses` when none is named."""
    clients = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers)
    producer = clients.idempotent_producer(request_timeout_ms=20_000)
    consumer = clients.consumer()
    await producer.start()
    await consumer.start()
    try:
        wanted = topics or (settings.topic_names.responses,)
        partitions = [place for topic in wanted for place in await partitions_of(consumer, topic)]
        consumer.assign(partitions)
        for place, end in (await consumer.end_offsets(partitions)).items():
            consumer.seek(place, end)
        yield KafkaCaller(settings, producer, consumer)
    finally:
        await close_client(producer)
        await close_client(consumer)


def plain_answer(record: ConsumerRecord) -> dict[str, Any]:
    """Return what an answer says, whichever format it has."""
    answer: dict[str, Any]
    if record.value.startswith(SINGLE_OBJECT_MARKER):
        answer = read_by_apache(dict(record.headers)[ANSWER_SCHEMA_HEADER].decode(), record.value)
    else:
        answer = json.loads(record.value)
    return answer
