"""Reading the dead letters topic: records that could not be processed, why, and which of them were sent again.

Beside letters the topic holds notes: one for each letter that was sent again, written in the same transaction.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord

from airy_identify.kafka import read_to_end
from airy_identify.ops.errors import OpsError
from airy_identify.ops.reading import Advance, existing_partitions, reader
from airy_identify.settings import Settings
from airy_identify.wire.headers import (
    DEAD_LETTER_BYTES_LOST,
    DEAD_LETTER_CODE,
    DEAD_LETTER_OFFSET,
    DEAD_LETTER_PARTITION,
    DEAD_LETTER_REPLY_PARTITION,
    DEAD_LETTER_REPLY_TOPIC,
    DEAD_LETTER_RETRIED,
    DEAD_LETTER_TEXT,
    DEAD_LETTER_TIME,
    DEAD_LETTER_TOPIC,
)

_READ_TIMEOUT_MS = 10_000

Place = tuple[int, int]
"""Partition and offset of a dead letter in its topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A dead letter. `partition` and `offset` say where it lies, `written_at_ms` since when.

    `source` says where the record came from, `code`, `text` and `time` why and when it became a dead letter; all of
    them are as its headers have them, null when missing. Of an answer that could not be published, `reply_topic` is
    where it was meant to go, and `reply_partition` the partition when the caller had asked for one. `bytes_lost` is the
    size of a record that was too large to be kept. `headers` are the record's own. `retried_at` is when it was sent
    again, if that is known.
    """

    partition: int
    offset: int
    written_at_ms: int
    source_topic: str | None
    source_partition: int | None
    source_offset: int | None
    code: str | None
    text: str | None
    time: str | None
    reply_topic: str | None
    reply_partition: int | None
    bytes_lost: int | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    retried_at: str | None = None

    @property
    def place(self) -> Place:
        """Where it lies."""
        return self.partition, self.offset

    @property
    def source(self) -> str | None:
        """Where the record came from, `topic:partition:offset`; null when it does not say."""
        if self.source_topic is None:
            return None
        numbers = ("?" if number is None else number for number in (self.source_partition, self.source_offset))
        return ":".join((self.source_topic, *map(str, numbers)))


@dataclass(frozen=True, slots=True)
class Found:
    """A dead letter without its contents, so that very many can be counted."""

    place: Place
    code: str | None
    retried_at: str | None


@dataclass(frozen=True, slots=True)
class Notes:
    """Which dead letters were sent again, and when."""

    retried_at: dict[Place, str] = field(default_factory=dict)

    def take(self, record: ConsumerRecord) -> bool:
        """Remember a note; return whether the record is one. Notes lie in the partition of their letter."""
        said = _text(dict(record.headers).get(DEAD_LETTER_RETRIED))
        if said is None or record.value is not None or DEAD_LETTER_TOPIC in dict(record.headers):
            return False
        partition, _, offset = said.partition(":")
        if partition.isdecimal() and offset.isdecimal():
            time = _text(dict(record.headers).get(DEAD_LETTER_TIME)) or ""
            self.retried_at[int(partition), int(offset)] = time
        return True

    def on(self, letter: DeadLetter) -> DeadLetter:
        """Return the letter with what is noted about it."""
        return replace(letter, retried_at=self.retried_at.get(letter.place))


async def list_dead_letters(settings: Settings, *, newest: int, advance: Advance) -> list[DeadLetter]:
    """Return the newest dead letters of each partition, at most so many, by time.

    Raises:
        KafkaUnreachableError: No broker answers.
        TopicsError: The topic is missing.
    """
    letters: list[DeadLetter] = []
    notes = Notes()
    async for record in _records(settings, advance):
        if notes.take(record):
            continue
        letters.append(read_dead_letter(record))
        if len(letters) > 2 * newest:
            letters = _newest(letters, newest)
    return [notes.on(letter) for letter in _newest(letters, newest)]


async def find_dead_letters(
    settings: Settings, wanted: Callable[[DeadLetter], bool], *, advance: Advance
) -> list[Found]:
    """Return where the dead letters lie that are wanted, by place.

    Raises:
        KafkaUnreachableError: No broker answers.
        TopicsError: The topic is missing.
    """
    found: list[tuple[Place, str | None]] = []
    notes = Notes()
    async for record in _records(settings, advance):
        if not notes.take(record):
            letter = read_dead_letter(record)
            if wanted(letter):
                found.append((letter.place, letter.code))
    return [Found(place, code, notes.retried_at.get(place)) for place, code in sorted(found)]


async def read_dead_letters(
    settings: Settings, found: Iterable[Found], *, advance: Advance
) -> AsyncIterator[DeadLetter]:
    """Yield these dead letters whole, those of one partition in their order. One that is gone meanwhile is not among them.

    Raises:
        KafkaUnreachableError: No broker answers.
        TopicsError: The topic is missing.
    """
    noted = {letter.place: letter.retried_at for letter in found}
    if not noted:
        return
    async for record in _records(settings, advance):
        place = (record.partition, record.offset)
        if place in noted:
            yield replace(read_dead_letter(record), retried_at=noted[place])


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
                    if record.offset == offset and not Notes().take(record):
                        return read_dead_letter(record)
    raise missing_letter(settings, (partition, offset))


def missing_letter(settings: Settings, place: Place) -> OpsError:
    """Return the error that there is no dead letter at this place."""
    return OpsError(f"there is no dead letter at {place[0]}:{place[1]} (of {settings.topic_names.dead_letters})")


def read_dead_letter(record: ConsumerRecord) -> DeadLetter:
    """Return what the record tells. Our headers come after its own, which may have the same names."""
    names = [name for name, _ in record.headers]
    begin = len(names) - 1 - names[::-1].index(DEAD_LETTER_TOPIC) if DEAD_LETTER_TOPIC in names else len(names)
    ours = dict(record.headers[begin:])
    return DeadLetter(
        partition=record.partition,
        offset=record.offset,
        written_at_ms=record.timestamp,
        source_topic=_text(ours.get(DEAD_LETTER_TOPIC)),
        source_partition=_number(ours.get(DEAD_LETTER_PARTITION)),
        source_offset=_number(ours.get(DEAD_LETTER_OFFSET)),
        code=_text(ours.get(DEAD_LETTER_CODE)),
        text=_text(ours.get(DEAD_LETTER_TEXT)),
        time=_text(ours.get(DEAD_LETTER_TIME)),
        reply_topic=_text(ours.get(DEAD_LETTER_REPLY_TOPIC)),
        reply_partition=_number(ours.get(DEAD_LETTER_REPLY_PARTITION)),
        bytes_lost=_number(ours.get(DEAD_LETTER_BYTES_LOST)),
        key=record.key,
        value=record.value,
        headers=tuple(record.headers[:begin]),
    )


async def _records(settings: Settings, advance: Advance) -> AsyncIterator[ConsumerRecord]:
    async with reader(settings.kafka_bootstrap_servers) as consumer:
        partitions = await existing_partitions(consumer, settings.topic_names.dead_letters)
        done, total = 0, None
        async for records in read_to_end(consumer, partitions):
            if total is None:
                begin, end = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
                total = sum(end.values()) - sum(begin.values())
            for record in records:
                yield record
            done = min(done + len(records), total)
            advance(done, total)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def _number(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None


def _newest(letters: Iterable[DeadLetter], count: int) -> list[DeadLetter]:
    return sorted(letters, key=lambda letter: (letter.time or "", letter.partition, letter.offset))[-count:]
