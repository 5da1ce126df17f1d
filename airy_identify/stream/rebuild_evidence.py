"""What is known of a table partition beside the log: its running changelog, a store on this machine, the group's offset.

They say how far the log was answered. The changelog says it exactly: its progress row is written in the transaction of
the answers. Where it is lost, a store and the group's offset say it at least: a store may lack the last batch, the
group's offset the last second of a shard that was busy until the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.kafka import KafkaClients, partitions_of
from airy_identify.stream.errors import StoreFailedError
from airy_identify.stream.group import committed_offset
from airy_identify.stream.opening import LogRange, read_range
from airy_identify.stream.progress import fingerprint
from airy_identify.stream.store import open_beside
from airy_identify.wire.errors import UndecodableError
from airy_identify.wire.generations import Generation
from airy_identify.wire.rows import PROGRESS_KEY, Progress, decode_progress

_TAIL_MIN = 64
_DIGESTS_MAX = 100_000
"""Of how many offsets digests are kept; without the one that is looked for, rows are compared."""

_LOOK_BACK = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Up to which offset of its log a partition was answered, null for none, and how that is known.

    `exact` is false when it may be further: records after it may have been answered too.
    """

    offset: int | None
    source: str
    exact: bool


async def range_of(consumer: AIOKafkaConsumer, partition: TopicPartition) -> LogRange | None:
    """Return the range of a partition that readers of committed records see; null when there is no such partition."""
    if partition not in await partitions_of(consumer, partition.topic):
        return None
    begin, end = await consumer.beginning_offsets([partition]), await consumer.end_offsets([partition])
    return LogRange(partition, int(begin[partition]), int(end[partition]))


class RunningTable:
    """Follows the progress rows of a changelog, from its end on. `digests` are those of the offsets seen so far."""

    def __init__(self, consumer: AIOKafkaConsumer, changelog: TopicPartition) -> None:
        self.changelog = changelog
        self.progress: Progress | None = None
        self.digests: dict[int, bytes | None] = {}
        self._consumer = consumer
        self._position: int | None = None

    async def look(self) -> Progress | None:
        """Return the newest progress row; null when there is none. Raises `KafkaError`."""
        found = await range_of(self._consumer, self.changelog) if self._position is None else await self._rest()
        if found is None:
            return None
        if self._position is None:
            await self._look_back(found)
        else:
            await self._read(LogRange(self.changelog, self._position, found.end))
        self._position = found.end
        return self.progress

    async def _rest(self) -> LogRange:
        end = await self._consumer.end_offsets([self.changelog])
        assert self._position is not None  # noqa: S101 - asked before
        return LogRange(self.changelog, self._position, max(self._position, int(end[self.changelog])))

    async def _look_back(self, whole: LogRange) -> None:
        """Find the last progress row: it is behind the last row of its batch, with control records after it."""
        tail = _TAIL_MIN
        while self.progress is None:
            begin = max(whole.begin, whole.end - tail)
            await self._read(LogRange(self.changelog, begin, whole.end))
            if begin == whole.begin:
                return
            tail *= 16

    async def _read(self, part: LogRange) -> None:
        async for records in read_range(self._consumer, part):
            for record in records:
                if record.key == PROGRESS_KEY and record.value is not None:
                    self.progress = decode_progress(record.value)
                    self.digests[self.progress.offset] = self.progress.digest
                    if len(self.digests) > _DIGESTS_MAX:
                        del self.digests[next(iter(self.digests))]


async def last_before(consumer: AIOKafkaConsumer, log: LogRange, until: int) -> ConsumerRecord | None:
    """Return the last record before an offset; null when there is none. Raises `KafkaError`."""
    start = until = min(until, log.end)
    while start > log.begin:
        start, end = max(log.begin, start - _LOOK_BACK), start
        last: ConsumerRecord | None = None
        async for records in read_range(consumer, LogRange(log.partition, start, end)):
            last = records[-1]
        if last is not None:
            return last
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where to look. `directories` are the stores that the shard may have on this machine."""

    clients: KafkaClients
    group_id: str
    directories: Sequence[Path]
    scratch: Path

    async def answered(
        self, running: Progress | None, current: Generation | None, log: TopicPartition, consumer: AIOKafkaConsumer
    ) -> tuple[Answered, LogRange]:
        """Return up to where the log was answered, and the log's range, asked for after everything else.

        `running` is what the changelog says, `current` the last rebuild. Whichever says most is right: a changelog may
        have lost its end. The group's offset stands behind control records too, so what counts is the last record before
        it. Raises `KafkaError`.
        """
        best = Answered(offset=None, source="nothing: the log was never applied", exact=True)
        if running is not None:
            best = Answered(offset=running.offset, source="the running changelog", exact=True)
        handed_over_at = None if current is None else current.handed_over_at
        if handed_over_at is not None and handed_over_at > _offset(best):
            # The shard has not got there yet with the table that it turned to.
            best = Answered(offset=handed_over_at, source="the last rebuild", exact=running is not None)
        committed = await committed_offset(self.clients, self.group_id, log)
        stores = [
            (directory, read_progress(directory, self.scratch / f"beside-{number}"))
            for number, directory in enumerate(self.directories)
        ]
        found = await range_of(consumer, log) or LogRange(log, 0, 0)
        last = await last_before(consumer, found, committed)
        told = min(committed - 1, found.begin - 1) if last is None else int(last.offset)
        if committed > found.end:
            told = committed - 1  # of a log that was longer
        if told > _offset(best):
            best = Answered(offset=told, source="the group's committed offset", exact=False)
        for directory, progress in stores:
            further = progress is not None and (progress.offset, not best.exact) > (_offset(best), False)
            if progress is not None and further and await _fits(consumer, found, progress):
                best = Answered(offset=progress.offset, source=f"the directory {directory}", exact=False)
        return best, found


def _offset(answered: Answered) -> int:
    return -1 if answered.offset is None else answered.offset


async def _fits(consumer: AIOKafkaConsumer, log: LogRange, progress: Progress) -> bool:
    """Tell whether a progress row is of this log: its record may be gone, but no other may be in its place."""
    if not log.begin <= progress.offset < log.end:
        return progress.offset < log.begin
    async for records in read_range(consumer, LogRange(log.partition, progress.offset, progress.offset + 1)):
        return fingerprint(records[0]) == progress.fingerprint
    return True


def read_progress(directory: Path, own_files: Path) -> Progress | None:
    """Return the progress row of a store, which a worker may have open; null when there is none that can be read."""
    if not (directory / "CURRENT").exists():
        return None
    try:
        db = open_beside(directory, own_files)
    except StoreFailedError:
        return None
    try:
        row = db.get(PROGRESS_KEY)
        return None if row is None else decode_progress(row)
    except UndecodableError:
        return None
    finally:
        db.close()
