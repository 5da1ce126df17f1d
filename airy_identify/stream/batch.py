"""A batch: records of one partition, and the rows, outputs and answers that an agent makes of them.

Rows are read through the batch's own writes. Nothing leaves the batch before its transaction. Outputs go to topics of
ours, which must take them; answers go to reply topics, which are other people's: one that is refused must stop nothing.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.kafka import partition_for

Headers = Sequence[tuple[str, bytes | None]]
Output = tuple[bytes | None, bytes | None, Headers]
"""Key, value, headers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer. `origin` is the record that it answers; `partition` is null when the key decides."""

    origin: ConsumerRecord
    topic: str
    partition: int | None
    key: bytes
    value: bytes
    headers: Headers

    @property
    def output(self) -> Output:
        """The record to be sent."""
        return self.key, self.value, self.headers

    @property
    def size_bytes(self) -> int:
        """About how much of a topic's `max.message.bytes` it takes."""
        headers = sum(len(name) + len(value or b"") for name, value in self.headers)
        return len(self.key) + len(self.value) + headers


Diverted = Callable[[TopicPartition | None, Answer], str | None]
"""Says why an answer cannot go where it should, or null. The place is null when the worker does not know the topic."""


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
        self.answers: dict[TopicPartition | None, list[Answer]] = {}
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

    def answer(self, topic: str, key: bytes, value: bytes, headers: Headers, partition: int | None = None) -> None:
        """Add an answer to the record at hand. Without `partition`, the key decides."""
        assert self.current is not None  # noqa: S101 - agents answer the record that they process
        answer = Answer(origin=self.current, topic=topic, partition=partition, key=key, value=value, headers=headers)
        count = self._partition_counts.get(topic)
        place = None
        if count is not None:
            place = TopicPartition(topic, partition_for(key, count) if partition is None else partition)
        self.answers.setdefault(place, []).append(answer)

    def divert(self, why: Diverted) -> list[tuple[Answer, str]]:
        """Take out the answers that cannot go where they should, and return them with the reason."""
        diverted: list[tuple[Answer, str]] = []
        for place, answers in list(self.answers.items()):
            left: list[Answer] = []
            for answer in answers:
                reason = why(place, answer)
                if reason is None:
                    left.append(answer)
                else:
                    diverted.append((answer, reason))
            self.answers[place] = left
            if not left:
                del self.answers[place]
        return diverted


class TableOnlyBatch(Batch):
    """A batch of which only the rows count: nothing is answered again, no token leaves."""

    def send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = (), partition: int | None = None
    ) -> None:
        """Drop it."""

    def answer(self, topic: str, key: bytes, value: bytes, headers: Headers, partition: int | None = None) -> None:
        """Drop it."""


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
