"""Kafka in memory, as far as shards can tell: logs, transactions, fences, compaction. Not a client: see `clients`.

- A transaction's records are in the log at once. `read_committed` readers do not pass the first record of a
  transaction that is under way (the last stable offset), and never see those of an aborted one.
- Deciding a transaction and marking it in its partitions are two steps: each partition gets its control record, which
  takes an offset, some time after the decision, and not all at the same time.
- A transactional id has an epoch. Whoever asks for the id anew gets a higher one, and the transaction under way is
  aborted; then, and after `transaction.timeout.ms`, the former owner is fenced.
"""

import asyncio
import random
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from aiokafka.errors import OffsetOutOfRangeError, ProducerFenced
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, TopicPartition

from airy_identify.stream.batch import Headers, Output
from tests.records import make_record
from tests.simulation.clock import Clock

TRANSACTION_TIMEOUT_S = 10.0
MARKER_DELAY_S = 0.02


class Fate(Enum):
    """What became of a transaction."""

    UNDER_WAY = "under way"
    COMMITTED = "committed"
    ABORTED = "aborted"


@dataclass(eq=False)
class Transaction:
    """A transaction: who began it, what is in it, and in which partitions its end is still to be marked."""

    transactional_id: str
    epoch: int
    fate: Fate = Fate.UNDER_WAY
    began_at: dict[TopicPartition, int] = field(default_factory=dict)
    unmarked: set[TopicPartition] = field(default_factory=set)
    records: dict[TopicPartition, list[ConsumerRecord]] = field(default_factory=dict)
    offsets: dict[TopicPartition, OffsetAndMetadata] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is at one offset: a record, or, without one, a transaction's control record."""

    offset: int
    record: ConsumerRecord | None
    transaction: Transaction | None


class Log:
    """One partition."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.archive: list[Entry] = []
        """Everything that ever was in it: what compaction removes is still there."""
        self.end = 0
        self.open: set[Transaction] = set()
        self.waiting: list[asyncio.Future[None]] = []

    def stable_end(self, partition: TopicPartition) -> int:
        """Return the last stable offset: where the first transaction that is not yet marked begins."""
        return min((transaction.began_at[partition] for transaction in self.open), default=self.end)

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.archive.append(entry)
        self.end += 1

    def changed(self) -> None:
        for waiting in self.waiting:
            if not waiting.done():
                waiting.set_result(None)
        self.waiting.clear()

    def start_of(self, offset: int) -> int:
        """Return the index of the first entry at the offset or after it."""
        return bisect_left(self.entries, offset, key=lambda entry: entry.offset)


def is_visible(entry: Entry) -> bool:
    """Return whether a `read_committed` reader sees the entry, below the last stable offset."""
    if entry.record is None:
        return False
    return entry.transaction is None or entry.transaction.fate is Fate.COMMITTED


@dataclass
class _Producer:
    epoch: int = -1
    transaction: Transaction | None = None
    timeout: asyncio.TimerHandle | None = None


class Broker:
    """All partitions and all transactional ids. `on_commit` is told of each transaction when it is decided."""

    def __init__(self, partitions: dict[str, int], clock: Clock, dice: random.Random) -> None:
        self.partitions = partitions
        self.logs = {TopicPartition(name, n): Log() for name, count in partitions.items() for n in range(count)}
        self.group_offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        self.on_commit: Callable[[Transaction], None] = lambda _: None
        self.fenced = 0
        self.aborted = 0
        self._clock = clock
        self._dice = dice
        self._producers: dict[str, _Producer] = {}

    # What producers ask for.

    def fence(self, transactional_id: str) -> int | None:
        """Return a new epoch for the id, or null while its last transaction is not marked everywhere."""
        producer = self._producers.setdefault(transactional_id, _Producer())
        transaction = producer.transaction
        if transaction is not None and transaction.fate is Fate.UNDER_WAY:
            producer.epoch += 1
            self._decide(transaction, Fate.ABORTED)
        if transaction is not None and transaction.unmarked:
            return None
        producer.epoch += 1
        return producer.epoch

    def append_in_transaction(
        self, transactional_id: str, epoch: int, partition: TopicPartition, outputs: Sequence[Output]
    ) -> int | None:
        """Append records and return the offset of the first, or null while the last transaction is being marked.

        Raises `ProducerFenced`.
        """
        transaction = self._transaction(transactional_id, epoch, partition)
        if transaction is None:
            return None
        log = self.logs[partition]
        base = log.end
        if partition not in transaction.began_at:
            transaction.began_at[partition] = base
            transaction.unmarked.add(partition)
            log.open.add(transaction)
        for key, value, headers in outputs:
            record = self._record(partition, key, value, headers)
            log.add(Entry(record.offset, record, transaction))
            transaction.records.setdefault(partition, []).append(record)
        return base

    def add_offset(self, transactional_id: str, epoch: int, source: TopicPartition, offset: OffsetAndMetadata) -> bool:
        """Let the transaction write the group's offset; false while the last one is being marked."""
        transaction = self._transaction(transactional_id, epoch, None)
        if transaction is None:
            return False
        transaction.offsets[source] = offset
        return True

    def commit(self, transactional_id: str, epoch: int) -> None:
        """Decide that the transaction is committed. Raises `ProducerFenced`."""
        transaction = self._owned(transactional_id, epoch).transaction
        if transaction is not None and transaction.fate is Fate.UNDER_WAY:
            self._decide(transaction, Fate.COMMITTED)

    def append(self, partition: TopicPartition, key: bytes | None, value: bytes | None, headers: Headers = ()) -> int:
        """Append a record outside of any transaction; return its offset."""
        log = self.logs[partition]
        record = self._record(partition, key, value, headers)
        log.add(Entry(record.offset, record, None))
        log.changed()
        return int(record.offset)

    # What consumers ask for.

    def end(self, partition: TopicPartition, *, read_committed: bool) -> int:
        log = self.logs[partition]
        return log.stable_end(partition) if read_committed else log.end

    def fetch(
        self, partition: TopicPartition, position: int, records_max: int, *, read_committed: bool
    ) -> tuple[list[ConsumerRecord], int]:
        """Return records from the position on, and the position after them.

        The position sometimes passes control records and aborted batches behind them at once, sometimes later, as
        it is with real fetches. Raises `OffsetOutOfRangeError`.
        """
        log = self.logs[partition]
        end = self.end(partition, read_committed=read_committed)
        if not 0 <= position <= log.end:
            raise OffsetOutOfRangeError({partition: position})
        records: list[ConsumerRecord] = []
        for index in range(log.start_of(position), len(log.entries)):
            entry = log.entries[index]
            if entry.offset >= end:
                return records, max(position, end)
            if is_visible(entry) if read_committed else entry.record is not None:
                if len(records) == records_max:
                    return records, entry.offset
                records.append(entry.record)
                position = entry.offset + 1
            elif len(records) == records_max and self._dice.random() < 0.5:
                return records, position
        return records, max(position, end)

    async def wait_for_change(self, partition: TopicPartition, timeout_s: float) -> None:
        """Return when there may be more to read, or after the time-out."""
        waiting = asyncio.get_running_loop().create_future()
        self.logs[partition].waiting.append(waiting)
        await asyncio.wait({waiting}, timeout=timeout_s)

    # What only a broker does.

    def compact(self, partition: TopicPartition, tombstones_from_before_ms: int) -> None:
        """Keep the last record of each key, and tombstones only when they are newer. The newest entry stays."""
        log = self.logs[partition]
        bound = min(log.stable_end(partition), log.end - 1)
        last = {
            entry.record.key: entry.offset for entry in log.entries if entry.record is not None and is_visible(entry)
        }

        def stays(entry: Entry) -> bool:
            if entry.offset >= bound:
                return True
            record = entry.record
            if record is None or not is_visible(entry) or last[record.key] != entry.offset:
                return False
            return record.value is not None or record.timestamp >= tombstones_from_before_ms

        log.entries = [entry for entry in log.entries if stays(entry)]

    def _owned(self, transactional_id: str, epoch: int) -> _Producer:
        producer = self._producers[transactional_id]
        if producer.epoch != epoch:
            self.fenced += 1
            raise ProducerFenced
        return producer

    def _transaction(self, transactional_id: str, epoch: int, partition: TopicPartition | None) -> Transaction | None:
        """Return the transaction under way, a new one if need be.

        A record that was on its way when its transaction was aborted still gets into the log, before the marker.
        """
        producer = self._producers[transactional_id]
        transaction = producer.transaction
        late = transaction is not None and transaction.epoch == epoch and transaction.fate is Fate.ABORTED
        if late and transaction is not None and partition in transaction.unmarked:
            return transaction
        producer = self._owned(transactional_id, epoch)
        if transaction is not None and transaction.fate is Fate.UNDER_WAY:
            return transaction
        if transaction is not None and transaction.unmarked:
            return None
        made = producer.transaction = Transaction(transactional_id, epoch)
        loop = asyncio.get_running_loop()
        producer.timeout = loop.call_later(TRANSACTION_TIMEOUT_S, self._time_out, producer, made)
        return made

    def _time_out(self, producer: _Producer, transaction: Transaction) -> None:
        if transaction.fate is Fate.UNDER_WAY:
            producer.epoch += 1
            self._decide(transaction, Fate.ABORTED)

    def _decide(self, transaction: Transaction, fate: Fate) -> None:
        transaction.fate = fate
        producer = self._producers[transaction.transactional_id]
        if producer.timeout is not None:
            producer.timeout.cancel()
        loop = asyncio.get_running_loop()
        for partition in transaction.began_at:
            loop.call_later(self._dice.random() * MARKER_DELAY_S, self._mark, transaction, partition)
        if fate is Fate.COMMITTED:
            self.group_offsets |= transaction.offsets
            self.on_commit(transaction)
        else:
            self.aborted += 1

    def _mark(self, transaction: Transaction, partition: TopicPartition) -> None:
        log = self.logs[partition]
        log.add(Entry(log.end, None, transaction))
        log.open.discard(transaction)
        transaction.unmarked.discard(partition)
        log.changed()

    def _record(
        self, partition: TopicPartition, key: bytes | None, value: bytes | None, headers: Headers
    ) -> ConsumerRecord:
        return make_record(
            topic=partition.topic,
            partition=partition.partition,
            offset=self.logs[partition].end,
            key=key,
            value=value,
            headers=headers,  # type: ignore[arg-type]
            timestamp=self._clock.now_ms(),
        )
