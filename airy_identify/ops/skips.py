"""Passing a record over, by an operator's decision: the decision is a record itself, which workers wait for."""

from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from airy_identify.ops.ask import send
from airy_identify.ops.errors import OpsError
from airy_identify.ops.generations import read_generations
from airy_identify.ops.reading import Advance, existing_partitions, read_partition, reader
from airy_identify.settings import Settings
from airy_identify.topics import CONTACTS, CONVERSATION, IDENTITY, INTAKE, MESSAGES
from airy_identify.wire.rows import PROGRESS_KEY, decode_progress
from airy_identify.wire.skips import Skip, decode_skip, encode_skip, encode_skip_key


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipState:
    """A skip, and whether a shard has passed the record."""

    skip: Skip
    passed: bool


def logs(settings: Settings) -> dict[str, str]:
    """Return the logs whose records can be skipped, each with the agent that reads it."""
    names = settings.topic_names
    return {
        names.requests: INTAKE,
        names.airy_messages: MESSAGES,
        names.airy_contacts: CONTACTS,
        names.identity_commands: IDENTITY,
        names.conversation_commands: CONVERSATION,
    }


async def ask_skip(settings: Settings, skip: Skip, advance: Advance) -> None:
    """Write the decision down. The worker that meets the record passes it, within seconds when it is paused there.

    Raises:
        OpsError: There is no such record, it was applied already, or the decision stands already.
        KafkaUnreachableError: No broker answers.
        TopicsError: A topic is missing.
    """
    names = settings.topic_names
    agent = logs(settings).get(skip.topic)
    if agent is None:
        raise OpsError(f"{skip.topic} is none of the logs that workers read: {', '.join(sorted(logs(settings)))}")
    book = await read_generations(settings)
    async with reader(settings.kafka_bootstrap_servers) as consumer:
        log = TopicPartition(skip.topic, skip.partition)
        if log not in await existing_partitions(consumer, skip.topic):
            raise OpsError(f"{skip.topic} has no partition {skip.partition}")
        generation = book.number(agent, skip.partition)
        changelog = TopicPartition(names.changelog(agent, generation), skip.partition)
        await existing_partitions(consumer, changelog.topic)
        skips = await existing_partitions(consumer, names.skips)
        begin, end = (await consumer.beginning_offsets([log]))[log], (await consumer.end_offsets([log]))[log]
        if not begin <= skip.offset < end:
            raise OpsError(f"{skip.place}: there is no such record; the partition holds offsets {begin} to {end - 1}")
        for known in (await _read(consumer, skips, advance)).values():
            if known.skip.place == skip.place:
                raise OpsError(f"{skip.place}: {known.skip.by} has decided that already: {known.skip.reason}")
        applied = await _applied(consumer, changelog, advance)
    if applied is not None and skip.offset <= applied:
        raise OpsError(f"{skip.place} was applied already: the table stands at offset {applied}. Nothing was written")
    await send(settings, names.skips, encode_skip_key(skip), encode_skip(skip))


async def list_skips(settings: Settings, advance: Advance) -> list[SkipState]:
    """Return all skips, the oldest first.

    Raises:
        KafkaUnreachableError: No broker answers.
        TopicsError: The topic is missing.
    """
    async with reader(settings.kafka_bootstrap_servers) as consumer:
        partitions = await existing_partitions(consumer, settings.topic_names.skips)
        found = await _read(consumer, partitions, advance)
    return sorted(found.values(), key=lambda state: state.skip.asked_at_ms)


async def _read(consumer: AIOKafkaConsumer, partitions: list[TopicPartition], advance: Advance) -> dict[str, SkipState]:
    found: dict[str, SkipState] = {}
    for partition in partitions:
        async for record in read_partition(consumer, partition, advance):
            if record.value is not None:
                skip = decode_skip(record.value)
                before = found.get(skip.place)
                passed = skip.passed or (before is not None and before.passed)
                found[skip.place] = SkipState(skip=skip if before is None else before.skip, passed=passed)
    return found


async def _applied(consumer: AIOKafkaConsumer, changelog: TopicPartition, advance: Advance) -> int | None:
    """Return the offset that the table applied last; null when it has applied nothing."""
    applied = None
    async for record in read_partition(consumer, changelog, advance):
        if record.key == PROGRESS_KEY and record.value is not None:
            applied = decode_progress(record.value).offset
    return applied
