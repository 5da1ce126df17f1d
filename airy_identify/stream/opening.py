"""Opening a shard: what is restored from the changelog, and whether table and log belong together."""

import time
from collections.abc import Callable
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.stream.errors import RestoreTooOldError, ShardClosedError
from airy_identify.stream.store import Store, StoreState
from airy_identify.wire.rows import Progress

RESTORE_RECORDS_MAX = 5_000
RESTORE_POLL_MS = 10


class LogRange(NamedTuple):
    """A partition, its first offset and the one after its last."""

    partition: TopicPartition
    begin: int
    end: int


def check_progress(progress: Progress | None, log: LogRange, *, needs_whole_log: bool) -> int:
    """Return the offset to go on at. Raises `ShardClosedError` when the log does not reach from the progress on."""
    if progress is None:
        if needs_whole_log and log.begin > 0:
            raise ShardClosedError(
                f"{log.partition.topic}:{log.partition.partition}: nothing was applied yet, but the log begins at offset {log.begin}: "
                f"its start is gone, or the table's changelog is; rebuild the table"
            )
        return log.begin
    after = progress.offset + 1
    if not log.begin <= after <= log.end:
        raise ShardClosedError(
            f"{log.partition.topic}:{log.partition.partition}: offset {progress.offset} was applied last, but the log holds "
            f"{log.begin} to {log.end - 1}: it was truncated or made anew; rebuild the table"
        )
    return after


async def restore(
    consumer: AIOKafkaConsumer,
    store: Store,
    log: LogRange,
    *,
    max_age_ms: int,
    on_fetch: Callable[[int], None],
) -> tuple[int, int]:
    """Bring the store up to the end of its changelog; return how many rows were read, and the store's position.

    The store is wiped first when it is older than `max_age_ms` (tombstones it has not seen may be gone), when its
    position lies outside the changelog, or when the row before that position is not what the changelog has there. It
    is as old as it was until the end is reached, also for whoever goes on after a crash on the way.
    The end is reached by the consumer's position, which passes control records and aborted batches. `on_fetch` is told
    how many rows each fetch has brought; what it raises ends the restore.

    Raises:
        RestoreTooOldError: so much time passed on the way that tombstones may be gone which were still to be read.
    """
    started_ms = _now_ms()
    changelog = log.partition
    state = store.open()
    if state is not None and not _usable(state, log, max_age_ms):
        store.wipe()
        state = None
    consumer.assign([changelog])
    position, synced_at_ms = (log.begin, started_ms) if state is None else (state.position, state.synced_at_ms)
    check = position > log.begin
    read_to = position - 1 if check else position
    consumer.seek(changelog, read_to)
    rows = 0
    while read_to < log.end:
        fetched = await consumer.getmany(timeout_ms=RESTORE_POLL_MS, max_records=RESTORE_RECORDS_MAX)
        records = fetched.get(changelog, [])
        on_fetch(len(records))
        if _now_ms() - synced_at_ms > 2 * max_age_ms:
            raise RestoreTooOldError(f"{store.path}: restoring it has taken longer than its changelog keeps tombstones")
        if records and check:
            check = False
            if not _continues(store, records[0], position):
                store.wipe()
                position, synced_at_ms = log.begin, started_ms
                read_to = position
                consumer.seek(changelog, read_to)
                continue
        read_to = await consumer.position(changelog)
        if records:
            position = records[-1].offset + 1
            store.write(((record.key, record.value) for record in records), position=position, now_ms=synced_at_ms)
            rows += len(records)
    store.write((), position=position, now_ms=started_ms)
    return rows, position


def _usable(state: StoreState, log: LogRange, max_age_ms: int) -> bool:
    return log.begin <= state.position <= log.end and _now_ms() - state.synced_at_ms <= max_age_ms


def _continues(store: Store, record: ConsumerRecord, position: int) -> bool:
    """Whether the changelog has, or has compacted away, the row before `position` that the store was written with."""
    return bool(record.offset >= position or record.value == store.get(record.key))


def _now_ms() -> int:
    return int(time.time() * 1000)
