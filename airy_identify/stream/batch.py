"""A batch: records of one partition, and the rows and outputs that an agent makes of them.

Rows are read through the batch's own writes. Nothing leaves the batch before its transaction.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Protocol

from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.kafka import partition_for

Headers = Sequence[tuple[str, bytes | None]]
Output = tuple[bytes | None, bytes | None, Headers]
"""Key, value, headers."""


class ReadableTable(Protocol):
    """What a batch reads rows from."""

    def get(self, key: bytes) -> bytes | None:
        """Return the row, or null."""


class Batch:
    """The unit of work. `partition` is the shard's own number, which its table and its source share."""

    def __init__(
        self, records: Sequence[ConsumerRecord], table: ReadableTable, partition_counts: Mapping[str, int]
    ) -> None:
        self.source = TopicPartition(records[0].topic, records[0].partition)
        self.rows: dict[bytes, bytes | None] = {}
        self.outputs: dict[TopicPartition, list[Output]] = {}
        self.current: ConsumerRecord | None = None
        self._passed_over: set[int] = set()
        self._records = records
        self._table = table
        self._partition_counts = partition_counts

    @property
    def partition(self) -> int:
        """Number of the shard's partition."""
        return int(self.source.partition)

    @property
    def last_record(self) -> ConsumerRecord:
        """The record after which the shard goes on."""
        return self._records[-1]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[ConsumerRecord]:
        for record in self._records:
            if record.offset in self._passed_over:
                continue
            self.current = record
            yield record
        self.current = None

    def pass_over(self, offset: int) -> None:
        """Keep the record at this offset from the agent; the batch passes it all the same."""
        self._passed_over.add(offset)

    def get(self, key: bytes) -> bytes | None:
        """Return the row as this batch has left it."""
        if key in self.rows:
            return self.rows[key]
        return self._table.get(key)

    def put(self, key: bytes, row: bytes | None) -> None:
        """Write a row; null deletes it."""
        self.rows[key] = row

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> None:
        """Add a record to what the transaction publishes. Without `partition`, the key decides, as with any producer."""
        if partition is None:
            partition = partition_for(key or b"", self._partition_counts[topic])
        self.outputs.setdefault(TopicPartition(topic, partition), []).append((key, value, headers))


class Delivery:
    """A batch on its way through an agent: `with delivery as batch`. An exception goes to the shard, not to Faust."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.processed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __enter__(self) -> Batch:
        return self.batch

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not self.processed.done():
            if error is None:
                self.processed.set_result(None)
            else:
                self.processed.set_exception(error)
        return isinstance(error, Exception)
