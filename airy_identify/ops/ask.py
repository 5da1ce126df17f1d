"""A caller over Kafka: sends a request to `identify-requests` and waits for its answer on `identify-responses`."""

import asyncio
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from airy_identify.core.values import JsonValue
from airy_identify.kafka import KafkaClients, close_client
from airy_identify.ops.errors import KafkaUnreachableError, OpsError
from airy_identify.ops.reading import existing_partitions, reader
from airy_identify.settings import Settings
from airy_identify.wire.answers import ANSWER_SCHEMA_HEADER, ERROR_RESPONSE
from airy_identify.wire.headers import CORRELATION_ID

_POLL_MS = 200
_CORRELATION_ID_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaAnswer:
    """An answer record's JSON, and whether it is a refusal."""

    answer: dict[str, Any]
    refused: bool


async def ask(settings: Settings, request: Mapping[str, JsonValue], *, timeout_s: float) -> KafkaAnswer:
    """Send the request and return its answer, told from others' by a random correlation id.

    Raises:
        OpsError: No answer in time; the request may still be applied.
        KafkaUnreachableError: No broker answers.
        TopicsError: A topic is missing.
    """
    names = settings.topic_names
    correlation_id = os.urandom(_CORRELATION_ID_BYTES)
    async with reader(settings.kafka_bootstrap_servers) as consumer:
        await existing_partitions(consumer, names.requests)
        await _go_to_end(consumer, names.responses)
        body = json.dumps(request, ensure_ascii=False).encode()
        await send(settings, names.requests, None, body, ((CORRELATION_ID, correlation_id),))
        record = await _wait(consumer, correlation_id, time.monotonic() + timeout_s)
    if record is None:
        raise OpsError(f"no answer within {timeout_s:g} s: does a worker run? The request may still be applied")
    refused = (ANSWER_SCHEMA_HEADER, ERROR_RESPONSE.encode()) in record.headers
    return KafkaAnswer(answer=json.loads(record.value), refused=refused)


async def send(
    settings: Settings, topic: str, key: bytes | None, value: bytes, headers: tuple[tuple[str, bytes], ...] = ()
) -> None:
    """Append one record and wait until the brokers have it.

    Raises:
        KafkaUnreachableError: They do not answer.
    """
    servers = settings.kafka_bootstrap_servers
    producer = KafkaClients(bootstrap_servers=servers).idempotent_producer(request_timeout_ms=10_000)
    try:
        await producer.start()
        await producer.send_and_wait(topic, key=key, value=value, headers=list(headers))
    except (KafkaError, OSError) as error:
        raise KafkaUnreachableError(f"Kafka at {servers} does not take the record ({type(error).__name__})") from error
    finally:
        await close_client(producer)


async def _go_to_end(consumer: AIOKafkaConsumer, topic: str) -> None:
    partitions = await existing_partitions(consumer, topic)
    consumer.assign(partitions)
    for partition, end in (await consumer.end_offsets(partitions)).items():
        consumer.seek(partition, end)


async def _wait(consumer: AIOKafkaConsumer, correlation_id: bytes, deadline: float) -> ConsumerRecord | None:
    while time.monotonic() < deadline:
        for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
            for record in records:
                if (CORRELATION_ID, correlation_id) in record.headers:
                    return record
        await asyncio.sleep(0)
    return None
