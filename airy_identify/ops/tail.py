"""Following the answers as they are written: one line each, without identifiers, metadata or tokens."""

import json
from collections.abc import AsyncGenerator
from typing import Any

from aiokafka.structs import ConsumerRecord

from airy_identify.ops.reading import existing_partitions, reader
from airy_identify.settings import Settings

_POLL_MS = 200


async def follow_answers(settings: Settings) -> AsyncGenerator[str | None]:
    """Yield null once the reader is in place, then a line for each answer that is written from now on.

    Raises:
        KafkaUnreachableError: No broker answers.
        TopicsError: A topic is missing.
    """
    names = settings.topic_names
    async with reader(settings.kafka_bootstrap_servers) as consumer:
        partitions = [
            partition
            for topic in (names.responses, names.bridge_responses)
            for partition in await existing_partitions(consumer, topic)
        ]
        consumer.assign(partitions)
        for partition, end in (await consumer.end_offsets(partitions)).items():
            consumer.seek(partition, end)
        yield None
        while True:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    yield describe(record, door="HTTP" if record.topic == names.bridge_responses else "Kafka")


def describe(record: ConsumerRecord, *, door: str) -> str:
    """Return one line about an answer."""
    try:
        answer: dict[str, Any] = json.loads(record.value)
        head = f"{door:5}  request {answer['request_id']}"
        if "code" in answer:
            return f"{head}  refused: {answer['code']}" + (f" ({answer['field']})" if answer["field"] else "")
        created = "created" if answer["created"]["contact"] else "found"
        warnings = "".join(f"  warning: {warning['code']} ({warning['field']})" for warning in answer["warnings"])
        count = len(answer["conversations"])
        return f"{head}  contact {answer['contact']['id']} {created}  {count} conversations{warnings}"
    except (ValueError, KeyError, TypeError):
        return f"{door:5}  an answer that cannot be read, offset {record.offset} of {record.topic}-{record.partition}"
