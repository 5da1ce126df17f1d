"""Reading topics from their start to their end, as operators' commands do."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from airy_identify.kafka import KafkaClients, close_client, partitions_of, read_to_end
from airy_identify.ops.errors import KafkaUnreachableError, TopicsError

Advance = Callable[[int, int], None]
"""Told how many offsets have been passed, and of how many."""


@asynccontextmanager
async def reader(bootstrap_servers: str) -> AsyncIterator[AIOKafkaConsumer]:
    """Connect a read_committed consumer without a group.

    Raises:
        KafkaUnreachableError: No broker answers, or the connection was lost.
    """
    consumer = KafkaClients(bootstrap_servers=bootstrap_servers).consumer()
    try:
        await consumer.start()
        yield consumer
    except (KafkaError, OSError) as error:
        raise KafkaUnreachableError(f"Kafka at {bootstrap_servers} does not answer ({type(error).__name__})") from error
    finally:
        await close_client(consumer)


async def existing_partitions(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """Return the partitions of a topic; to be asked before any are assigned.

    Raises:
        TopicsError: There is no such topic.
    """
    partitions = await partitions_of(consumer, topic)
    if not partitions:
        raise TopicsError(f"{topic}: is missing; `airy-identify topics create` makes it")
    return partitions


async def read_partition(
    consumer: AIOKafkaConsumer, partition: TopicPartition, advance: Advance
) -> AsyncIterator[ConsumerRecord]:
    """Yield every committed record of a partition, from its start to what is its end now."""
    begin = (await consumer.beginning_offsets([partition]))[partition]
    end = (await consumer.end_offsets([partition]))[partition]
    advance(0, end - begin)
    async for records in read_to_end(consumer, [partition]):
        for record in records:
            yield record
        advance(min(records[-1].offset + 1, end) - begin, end - begin)
    advance(end - begin, end - begin)
