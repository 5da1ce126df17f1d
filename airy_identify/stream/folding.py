"""Making a table again from what Kafka holds, in a RocksDB of its own: from its changelog, or from its log.

Memory stays bounded, whatever the table's size: rows are on disk, one batch is in memory.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.stream.app import Process
from airy_identify.stream.batch import TableOnlyBatch
from airy_identify.stream.opening import LogRange, read_range
from airy_identify.stream.progress import fingerprint
from airy_identify.stream.skips import SkipBook
from airy_identify.stream.store import Store

BATCH_RECORDS = 500

Advance = Callable[[int], None]
"""Told how many records more have been read."""


class FoldStoppedError(Exception):
    """An agent raised on a record of the log, as it does in the worker.

    Operator action: mend the cause, or pass the record over with `airy-identify skip`.
    """

    retriable = False


@dataclass(kw_only=True)
class ChangelogFold:
    """A table as its changelog has it, before `position`."""

    partition: TopicPartition
    store: Store
    position: int = 0

    async def go_on(self, consumer: AIOKafkaConsumer, end: int, advance: Advance) -> None:
        """Read on up to `end`. Raises `KafkaError`."""
        async for records in read_range(consumer, LogRange(self.partition, self.position, end)):
            rows = ((record.key, record.value) for record in records)
            self.store.write(rows, position=records[-1].offset + 1, now_ms=0)
            advance(len(records))
        self.position = max(self.position, end)


@dataclass(kw_only=True)
class LogFold:
    """A table as the agent's own function makes it of the log, before `position`.

    Records that a shard has passed over are passed over here too. `fingerprint` is that of the record applied last.
    """

    partition: TopicPartition
    store: Store
    process: Process
    skips: SkipBook
    position: int = 0
    fingerprint: bytes | None = None

    async def go_on(self, consumer: AIOKafkaConsumer, end: int, advance: Advance) -> None:
        """Apply the log up to before `end`. Raises `FoldStoppedError`, `KafkaError`."""
        async for records in read_range(consumer, LogRange(self.partition, self.position, end)):
            for start in range(0, len(records), BATCH_RECORDS):
                part = records[start : start + BATCH_RECORDS]
                self._apply(part)
                advance(len(part))
        self.position = max(self.position, end)

    def _apply(self, records: Sequence[ConsumerRecord]) -> None:
        batch = TableOnlyBatch(records, self.store, _NO_COUNTS)
        for record in records:
            if self.skips.passed(record.topic, record.partition, record.offset) is not None:
                batch.pass_over(record.offset)
        try:
            for record in batch:
                self.process(record, batch)
        except Exception as error:
            place = f"{self.partition.topic}:{self.partition.partition}:{(batch.current or records[0]).offset}"
            raise FoldStoppedError(f"{place}: the agent raised {error!r}") from error
        self.store.write(batch.rows.items(), position=records[-1].offset + 1, now_ms=0)
        self.fingerprint = fingerprint(records[-1])


_NO_COUNTS: Mapping[str, int] = {}
