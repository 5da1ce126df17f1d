"""Opening a shard: what is restored from the changelog, and whether store, changelog and log belong together.

Whatever does not fit closes the shard, and nothing is written: a store, a changelog or a log that was lost in part is
evidence, and may be the only copy. Every message names the place, the offsets and the command to run.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.kafka import partitions_of
from airy_identify.stream.errors import RestoreTooOldError, ShardClosedError, TopicMissingError
from airy_identify.stream.progress import fingerprint
from airy_identify.stream.store import Store, StoreState
from airy_identify.wire.rows import Progress

RESTORE_RECORDS_MAX = 5_000
RESTORE_POLL_MS = 10
_POLL_MS = 500

_LOOK = "run `airy-identify verify` to see what differs, and `airy-identify rebuild --check` to see whether it can be made again"
_CHANGELOG_LOST = f'{_LOOK}; docs/runbook.md, "A changelog is lost, or does not fit", says what to do'
_LOG_LOST = f'{_LOOK}; docs/runbook.md, "A log has lost records that were not applied", says what to do'
_DIRECTORY_LOST = f'{_LOOK}; docs/runbook.md, "A worker has lost its disk", says what to do'


class LogRange(NamedTuple):
    """A partition, its first offset and the one after its last."""

    partition: TopicPartition
    begin: int
    end: int

    @property
    def place(self) -> str:
        """The partition as topic:partition."""
        return f"{self.partition.topic}:{self.partition.partition}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRules:
    """What a store has to be to be gone on with.

    Args:
        max_age_ms: An older store has not seen tombstones that may be gone, and is restored from the start.
        now_ms: The clock.
        cluster_id: Which cluster this is; null when unknown.
        whole: The changelog has to reach back to its beginning, for it describes a whole table.
        written_to: Where the changelog ends when what is not decided yet is counted too; null when all is decided. A
            store may stand there: its owner knows of a commit before the partition is marked with it.
        records_max: How many rows are read and written at a time. Nothing else of the process runs meanwhile.
    """

    max_age_ms: int
    now_ms: Callable[[], int]
    cluster_id: str | None = None
    whole: bool = True
    written_to: int | None = None
    records_max: int = RESTORE_RECORDS_MAX


async def check_partition_count(consumer: AIOKafkaConsumer, topic: str, expected: int | None) -> None:
    """Raise `ShardClosedError` when a topic has other partitions than it had when this installation began.

    Keys would go to other partitions than before: two writers for one tenant. Raises `TopicMissingError` when it has none.
    """
    found = len(await partitions_of(consumer, topic))
    if not found:
        raise TopicMissingError(
            f"{topic} is not there: it was deleted, or an ACL hides it; nothing is written until it is back. Run "
            f'`airy-identify topics check`; docs/runbook.md, "A changelog is lost, or does not fit", says what to do'
        )
    if expected is not None and found != expected:
        raise ShardClosedError(
            f"{topic} has {found} partitions, not {expected}: keys have moved between partitions, so all of its shards "
            f"stay closed; run `airy-identify topics check`, and make the topic anew with {expected} partitions: "
            f'docs/runbook.md, "A changelog has other partitions"'
        )


def check_progress(progress: Progress | None, log: LogRange, *, needs_whole_log: bool, committed: int = 0) -> int:
    """Return the offset to go on at. Raises `ShardClosedError` when the log does not reach from the progress on.

    `committed` is the group's offset of the log, which tells a table whose changelog is lost from one not yet begun.
    """
    if progress is None:
        if committed > 0:
            raise ShardClosedError(
                f"{log.place}: offsets up to {committed - 1} have been applied, but the table's changelog holds nothing: "
                f"it was lost or made anew; {_CHANGELOG_LOST}"
            )
        if needs_whole_log and log.begin > 0:
            raise ShardClosedError(
                f"{log.place}: nothing was applied yet, but the log begins at offset {log.begin}: "
                f"its start is gone, or the table's changelog is; {_CHANGELOG_LOST}"
            )
        return log.begin
    after = progress.offset + 1
    if not log.begin <= after <= log.end:
        raise ShardClosedError(
            f"{log.place}: offset {progress.offset} was applied last, but the log holds "
            f"{log.begin} to {log.end - 1}: it was truncated or made anew; {_LOG_LOST}"
        )
    return after


async def check_fingerprint(
    consumer: AIOKafkaConsumer,
    source: TopicPartition,
    progress: Progress,
    *,
    compacted: bool,
    on_fetch: Callable[[int], None],
) -> None:
    """Raise `ShardClosedError` when the record that was applied last is not in the log any more, but another is.

    The consumer is assigned to the log, and left somewhere in it. `compacted`: the record may have vanished. What
    `on_fetch` raises ends the search.
    """
    consumer.seek(source, progress.offset)
    records: list[ConsumerRecord] = []
    while not records and await consumer.position(source) <= progress.offset:
        records = (await consumer.getmany(timeout_ms=_POLL_MS, max_records=1)).get(source, [])
        on_fetch(0)
    found = records[0] if records and records[0].offset == progress.offset else None
    if found is None and compacted:
        return
    if found is None or fingerprint(found) != progress.fingerprint:
        raise ShardClosedError(
            f"{source.topic}:{source.partition}: the record at offset {progress.offset} is not the one "
            f"that the table applied last; the topic was made anew, or the table belongs to another cluster; {_LOG_LOST}"
        )


async def restore(  # noqa: PLR0913 - two that are told, one that tells
    consumer: AIOKafkaConsumer,
    store: Store,
    log: LogRange,
    rules: RestoreRules,
    *,
    on_fetch: Callable[[int], None],
    known_at_ms: int | None = None,
) -> tuple[int, int]:
    """Bring the store up to the end of its changelog; return how many rows were read, and the store's position.

    A store that is too old is restored from the start: tombstones that it has not seen may be gone. It is as old as it
    was until the end is reached, also for whoever goes on after a crash on the way. `on_fetch` is told how many rows
    each fetch has brought; what it raises ends the restore. `known_at_ms` is a time before the end was asked for, and
    so when the store will have been up to date; null for now.

    Raises:
        ShardClosedError: the store does not belong to this changelog; both are left alone.
        RestoreTooOldError: so much time passed on the way that tombstones may be gone which were still to be read.
    """
    started_ms = synced_at_ms = rules.now_ms() if known_at_ms is None else known_at_ms
    state = store.open()
    if rules.whole and log.begin > 0:
        raise ShardClosedError(
            f"{log.place}: the changelog begins at offset {log.begin}: the rows before it are gone; {_CHANGELOG_LOST}"
        )
    if state is not None:
        _check_store(store, state, log, rules)
        if age_ms(state.synced_at_ms, rules) > rules.max_age_ms:
            await _check_continuity(consumer, store, state.position, log, on_fetch=on_fetch)
            store.wipe()
            state = None
    if state is not None:
        synced_at_ms = state.synced_at_ms
    position = log.begin if state is None else max(log.begin, state.position)
    known = log.begin < position
    rows = 0

    def fetched(count: int) -> None:
        on_fetch(count)
        if age_ms(synced_at_ms, rules) > 2 * rules.max_age_ms:
            raise RestoreTooOldError(f"{store.path}: restoring it has taken longer than its changelog keeps tombstones")

    rest = LogRange(log.partition, position - known, log.end)
    async for records in read_range(consumer, rest, on_fetch=fetched, records_max=rules.records_max):
        if known and records[0].offset < position:
            _check_row(store, records[0], log)
        known = False
        position = records[-1].offset + 1
        store.write(((record.key, record.value) for record in records), position=position, now_ms=synced_at_ms)
        rows += len(records)
    store.write((), position=position, now_ms=started_ms, cluster_id=rules.cluster_id)
    return rows, position


async def read_range(
    consumer: AIOKafkaConsumer,
    log: LogRange,
    *,
    on_fetch: Callable[[int], None] = lambda _: None,
    records_max: int = RESTORE_RECORDS_MAX,
) -> AsyncIterator[list[ConsumerRecord]]:
    """Yield the records from `begin` to before `end`, in big batches.

    The end is reached by the consumer's position, which passes control records and aborted batches. `on_fetch` is told
    how many records each fetch has brought, none also; what it raises ends the reading.
    """
    consumer.assign([log.partition])
    consumer.seek(log.partition, log.begin)
    read_to = log.begin
    while read_to < log.end:
        fetched = await consumer.getmany(timeout_ms=RESTORE_POLL_MS, max_records=records_max)
        records = fetched.get(log.partition, [])
        on_fetch(len(records))
        read_to = await consumer.position(log.partition)
        if records and records[-1].offset >= log.end:
            records = [record for record in records if record.offset < log.end]
        if records:
            yield records
            await asyncio.sleep(0)  # the other shards, heartbeats and health want the loop too


def _check_store(store: Store, state: StoreState, log: LogRange, rules: RestoreRules) -> None:
    """Raise `ShardClosedError` when the store cannot have been written from this changelog."""
    if None not in (state.cluster_id, rules.cluster_id) and state.cluster_id != rules.cluster_id:
        raise ShardClosedError(
            f"{log.place}: the directory {store.path} belongs to the cluster {state.cluster_id}, not to "
            f"{rules.cluster_id}, and stands at offset {state.position}; set AIRY_IDENTIFY_DATA_DIR to another directory: "
            f'docs/runbook.md, "The directory is another cluster\'s"'
        )
    end = log.end if rules.written_to is None else rules.written_to
    if state.position > end:
        raise ShardClosedError(
            f"{log.place}: the directory {store.path} stands at offset {state.position}, but the changelog ends at "
            f"{end}: it lost its end, or was made anew; {_CHANGELOG_LOST}"
        )


def age_ms(synced_at_ms: int, rules: RestoreRules) -> int:
    """Return how old a store is. A clock may have jumped either way: how far apart the times are is all that is known."""
    return abs(rules.now_ms() - synced_at_ms)


async def _check_continuity(
    consumer: AIOKafkaConsumer, store: Store, position: int, log: LogRange, *, on_fetch: Callable[[int], None]
) -> None:
    """Check the row that the store was written with last, before the store is thrown away for its age."""
    if log.begin < position:
        rest = LogRange(log.partition, position - 1, log.end)
        async for records in read_range(consumer, rest, on_fetch=lambda _: on_fetch(0)):
            if records[0].offset < position:
                _check_row(store, records[0], log)
            return


def _check_row(store: Store, record: ConsumerRecord, log: LogRange) -> None:
    """Raise `ShardClosedError` when the changelog's row before the store's position is not the store's."""
    if record.value != store.get(record.key):
        raise ShardClosedError(
            f"{log.place}: the row at offset {record.offset} is not what the directory {store.path} holds: "
            f"the changelog was made anew, or the directory belongs to another; {_DIRECTORY_LOST}"
        )
