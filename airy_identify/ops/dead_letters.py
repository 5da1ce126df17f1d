"""Reading the dead letters topic: records that could not be processed, and why."""

from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from airy_identify.ops.errors import OpsError
from airy_identify.ops.reading import Advance, existing_partitions, read_partition, reader
from airy_identify.settings import Settings
from airy_identify.wire.headers import (
    DEAD_LETTER_CODE,
    DEAD_LETTER_OFFSET,
    DEAD_LETTER_PARTITION,
    DEAD_LETTER_TEXT,
    DEAD_LETTER_TIME,
    DEAD_LETTER_TOPIC,
)

_OUR_HEADERS = frozenset(
    {
        DEAD_LETTER_CODE,
        DEAD_LETTER_OFFSET,
        DEAD_LETTER_PARTITION,
        DEAD_LETTER_TEXT,
        DEAD_LETTER_TIME,
        DEAD_LETTER_TOPIC,
    }
)
_READ_TIMEOUT_MS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A dead letter. `partition` and `offset` say where it lies; `source` where the record came from.

    `source`, `code`, `text` and `time` are as its headers have them, null when missing. `headers` are the record's own.
    """

    partition: int
    offset: int
    source: str | None
    code: str | None
    text: str | None
    time: str | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


async def list_dead_letters(settings: Settings, *, newest: int, advance: Advance) -> list[DeadLetter]:
    """Return the newest dead letters of each partition, at most so many, by time.

    Raises:
        KafkaUnreachableError: No broker answers.
        TopicsError: The topic is missing.
    """
    letters: list[DeadLetter] = []
    async with reader(settings.kafka_bootstrap_servers) as consumer:
        for partition in await existing_partitions(consumer, settings.topic_names.dead_letters):
            async for record in read_partition(consumer, partition, advance):
                letters.append(read_dead_letter(record))
                if len(letters) > 2 * newest:
                    letters = _newest(letters, newest)
    return _newest(letters, newest)


async def read_one(settings: Settings, *, partition: int, offset: int) -> DeadLetter:
    """Return the dead letter at this place of the dead letters topic.

    Raises:
        OpsError: There is none at this place (any more).
        KafkaUnreachableError: No broker answers.
        TopicsError: The topic is missing.
    """
    place = TopicPartition(settings.topic_names.dead_letters, partition)
    async with reader(settings.kafka_bootstrap_servers) as consumer:
        if place in await existing_partitions(consumer, place.topic):
            consumer.assign([place])
            begin, end = await consumer.beginning_offsets([place]), await consumer.end_offsets([place])
            if begin[place] <= offset < end[place]:
                consumer.seek(place, offset)
                records = (await consumer.getmany(timeout_ms=_READ_TIMEOUT_MS, max_records=1)).get(place, ())
                for record in records:
                    if record.offset == offset:
                        return read_dead_letter(record)
    raise OpsError(f"there is no dead letter at {partition}:{offset} (of {place.topic})")


def read_dead_letter(record: ConsumerRecord) -> DeadLetter:
    """Return what the record tells. Of doubled headers the last counts: ours come after the record's own."""
    ours = {
        name: value.decode(errors="replace")
        for name, value in record.headers
        if value is not None and name in _OUR_HEADERS
    }
    place = [ours.get(name, "?") for name in (DEAD_LETTER_TOPIC, DEAD_LETTER_PARTITION, DEAD_LETTER_OFFSET)]
    return DeadLetter(
        partition=record.partition,
        offset=record.offset,
        source=":".join(place) if DEAD_LETTER_TOPIC in ours else None,
        code=ours.get(DEAD_LETTER_CODE),
        text=ours.get(DEAD_LETTER_TEXT),
        time=ours.get(DEAD_LETTER_TIME),
        key=record.key,
        value=record.value,
        headers=tuple((name, value) for name, value in record.headers if name not in _OUR_HEADERS),
    )


def _newest(letters: Iterable[DeadLetter], count: int) -> list[DeadLetter]:
    return sorted(letters, key=lambda letter: (letter.time or "", letter.partition, letter.offset))[-count:]
