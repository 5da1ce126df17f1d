"""A shard: one partition of one log, with its own task, store, changelog partition, producer and reader.

It opens itself in this order: fence, restore, check, position; then it runs, one batch and one transaction at a time.
Whatever fails on the way means that nothing is known: it closes, opens again, and the progress row decides.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.kafka import KafkaClients, close_client
from airy_identify.stream.batch import Answer, Batch, Delivery
from airy_identify.stream.errors import (
    AgentFailedError,
    ReaderError,
    ReplyTopicError,
    ShardClosedError,
    StoreInUseError,
    StreamError,
)
from airy_identify.stream.metrics import ShardMetrics
from airy_identify.stream.opening import LogRange, check_progress, restore
from airy_identify.stream.progress import fingerprint
from airy_identify.stream.reply_topics import ReplyTopics
from airy_identify.stream.store import Store, StoreMemory
from airy_identify.stream.transaction import BatchTransaction, abandon
from airy_identify.wire.rows import PROGRESS_KEY, Progress, decode_progress, encode_progress

logger = logging.getLogger(__name__)

COMMIT_TIMEOUT_S = 15.0
POLL_MS = 500
RECORDS_MAX = 500
SYNC_EVERY_S = 60.0
"""How often an idle shard notes that its store is up to date."""


class ShardState(StrEnum):
    """Where a shard is in its life; shown by readiness and metrics."""

    OPENING = "opening"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    CLOSED = "closed"
    STOPPED = "stopped"


class Prepare(Protocol):
    """What an agent has to learn before it can process records, since processing must not wait."""

    def __call__(self, records: Sequence[ConsumerRecord], waits: Callable[[str], None]) -> Awaitable[None] | None:
        """Return what has to be awaited, null when it is nothing. `waits` is told why that takes long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSpec:
    """What the shards of one agent have in common.

    `needs_whole_log`: the table is a fold over the whole log, so a log whose start is gone cannot be begun with.
    `compacted`: records may vanish from the middle of the log.
    """

    agent: str
    log: str
    changelog: str
    needs_whole_log: bool = True
    compacted: bool = False
    prepare: Prepare | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSettings:
    """What all shards of a process have in common. Times are in seconds; `store_max_age_ms` in milliseconds."""

    app_id: str
    data_dir: Path
    session_timeout_s: float
    store_max_age_ms: int
    partition_counts: Mapping[str, int]


class Deliver(Protocol):
    """Hands a batch to its agent."""

    def __call__(self, agent: str, delivery: Delivery) -> None:
        """Queue the delivery; the agent completes it."""


class KeepAnswer(Protocol):
    """Makes a dead letter of an answer that cannot be published."""

    def __call__(self, batch: Batch, answer: Answer, why: str, now_ms: int) -> None:
        """Add it to the outputs of the batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEnvironment:
    """What the shards of a process share."""

    settings: ShardSettings
    clients: KafkaClients
    memory: StoreMemory
    metrics: ShardMetrics
    deliver: Deliver
    keep_answer: KeepAnswer


class Shard:
    """One shard. `start` makes its task; it runs until `wanted` is taken away, or ends the process."""

    def __init__(self, spec: ShardSpec, partition: int, environment: ShardEnvironment) -> None:
        self.spec = spec
        self.source = TopicPartition(spec.log, partition)
        self.changelog = TopicPartition(spec.changelog, partition)
        self.name = f"{spec.agent}-{partition}"
        self.wanted = True
        self.generation = 0
        self.state = ShardState.OPENING
        self.reason: str | None = None
        self.next_offset = -1
        self.read_to = -1
        self._changelog_position = 0
        self._synced_at = time.monotonic()
        self.processing_since: float | None = None
        self._settings = environment.settings
        self._clients = environment.clients
        self._metrics = environment.metrics
        self._deliver = environment.deliver
        self._keep_answer = environment.keep_answer
        self._reply_topics = ReplyTopics(time.monotonic)
        directory = self._settings.data_dir / self._settings.app_id / self.name
        self._store = Store(directory, environment.memory)
        self._decided = asyncio.Event()
        self._producer: AIOKafkaProducer | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._transaction: BatchTransaction | None = None
        self.task: asyncio.Task[None] | None = None

    def start(
        self, *, generation: int, previous: "Shard | None", on_death: Callable[["Shard", asyncio.Task[None]], None]
    ) -> None:
        """Start the task. It awaits the end of `previous`, the last shard of this partition in this process."""
        self.generation = generation
        self.task = asyncio.create_task(self._run(previous), name=f"shard {self.name}")
        self.task.add_done_callback(lambda task: on_death(self, task) if self.wanted else None)

    def keep(self, generation: int) -> None:
        """Go on: the group has decided again that this partition is ours."""
        self.generation = generation
        self._decided.set()

    def revoke(self) -> None:
        """Ask the shard to end after the batch at hand."""
        self.wanted = False
        self._decided.set()

    async def ended(self) -> None:
        """Return when the shard has ended and its directory is free."""
        if self.task is not None:
            await asyncio.wait({self.task})

    async def _run(self, previous: "Shard | None") -> None:
        if previous is not None:
            await previous.ended()
        try:
            while self.wanted:
                await self._open_and_run()
        finally:
            await self._close()
            self._enter(ShardState.STOPPED)

    async def _open_and_run(self) -> None:
        """Open, run until something goes wrong or the shard is no longer wanted, close."""
        opened_in = self.generation
        try:
            self._enter(ShardState.OPENING)
            await self._open()
            self._enter(ShardState.RUNNING)
            while self.wanted:
                await self._step()
        except (AgentFailedError, ShardClosedError) as error:
            paused = isinstance(error, AgentFailedError)
            logger.critical(
                "shard %s %s: %s", self.name, "paused" if paused else "closed", error, exc_info=error.__cause__
            )
            await self._close()
            self._enter(ShardState.PAUSED if paused else ShardState.CLOSED, str(error))
            await self._until_not_wanted()
        except StoreInUseError:
            raise
        except ReplyTopicError as error:
            # The batch comes again at once, without the answers that cannot be published.
            logger.warning("shard %s opens again without some answers: %s", self.name, error)
            self._metrics.shard_reopened(self.spec.agent, type(error).__name__)
            self._reply_topics.learn(error)
            if self._producer is not None:
                abandon(self._producer)
            await self._close()
        except (KafkaError, IllegalOperation, TimeoutError, asyncio.CancelledError, StreamError, OSError) as error:
            # A producer that is fenced between two sends refuses the next with `IllegalOperation`, no Kafka error.
            # aiokafka cancels the futures of a failed batch and of a closing client: nobody else cancels a shard
            # that is wanted, so a cancellation means what an error means.
            if not self.wanted:
                return
            fenced = isinstance(error, ProducerFenced)
            self._metrics.shard_reopened(self.spec.agent, "fenced" if fenced else type(error).__name__)
            logger.warning("shard %s %s: %r", self.name, "fenced" if fenced else "failed", error)
            await self._close()
            self._enter(ShardState.WAITING, repr(error))
            await self._until_another_generation(opened_in)

    async def _until_not_wanted(self) -> None:
        while self.wanted:
            self._decided.clear()
            await self._decided.wait()

    async def _until_another_generation(self, opened_in: int) -> None:
        """Wait for the group to decide again, but no longer than its session timeout.

        So two processes that both take the partition for theirs do not fence each other in turns.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.session_timeout_s):
                while self.wanted and self.generation == opened_in:
                    self._decided.clear()
                    await self._decided.wait()

    async def _open(self) -> None:
        started = time.monotonic()
        self._producer = self._clients.transactional_producer(
            f"{self._settings.app_id}-{self.name}",
            request_timeout_ms=int(self._settings.session_timeout_s * 750),
        )
        await self._producer.start()
        fenced = time.monotonic()
        self._transaction = BatchTransaction(
            self._producer,
            source=self.source,
            changelog=self.changelog,
            group_id=self._settings.app_id,
            one_by_one=self._reply_topics.one_by_one,
        )
        self._consumer = self._clients.consumer()
        await self._consumer.start()
        begin = await self._consumer.beginning_offsets([self.source, self.changelog])
        end = await self._consumer.end_offsets([self.source, self.changelog])
        rows, self._changelog_position = await restore(
            self._consumer,
            self._store,
            LogRange(self.changelog, begin[self.changelog], end[self.changelog]),
            max_age_ms=self._settings.store_max_age_ms,
            on_rows=lambda count: self._metrics.rows_restored(self.spec.agent, count),
        )
        restored = time.monotonic()
        await self._position(LogRange(self.source, begin[self.source], end[self.source]))
        logger.info(
            "shard %s open: fence %.0f ms, restored %d rows in %.0f ms, next offset %d",
            self.name,
            (fenced - started) * 1e3,
            rows,
            (restored - fenced) * 1e3,
            self.next_offset,
        )

    async def _position(self, log: LogRange) -> None:
        """Check that the table belongs to this log, and place the reader after what was applied, once."""
        assert self._consumer is not None  # noqa: S101 - made by _open
        row = self._store.get(PROGRESS_KEY)
        progress: Progress | None = None if row is None else decode_progress(row)
        self.next_offset = check_progress(progress, log, needs_whole_log=self.spec.needs_whole_log)
        self._consumer.assign([self.source])
        if progress is not None and progress.offset >= log.begin:
            await self._check_fingerprint(self._consumer, progress)
        self._consumer.seek(self.source, self.next_offset)
        self.read_to = self.next_offset

    async def _check_fingerprint(self, consumer: AIOKafkaConsumer, progress: Progress) -> None:
        consumer.seek(self.source, progress.offset)
        records: list[ConsumerRecord] = []
        while not records and await consumer.position(self.source) <= progress.offset:
            records = (await consumer.getmany(timeout_ms=POLL_MS, max_records=1)).get(self.source, [])
        found = records[0] if records and records[0].offset == progress.offset else None
        if found is None and self.spec.compacted:
            return
        if found is None or fingerprint(found) != progress.fingerprint:
            raise ShardClosedError(
                f"{self.source.topic}:{self.source.partition}: the record at offset {progress.offset} is not the one "
                f"that the table applied last; the topic was made anew, or the table belongs to another cluster"
            )

    async def _step(self) -> None:
        assert self._consumer is not None  # noqa: S101 - made by _open
        assert self._transaction is not None  # noqa: S101 - made by _open
        before = await self._consumer.position(self.source)
        if before != self.read_to:
            raise ReaderError(f"{self.name}: the reader stands at offset {before}, but has read up to {self.read_to}")
        try:
            records = (await self._consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)).get(self.source)
        except UnicodeDecodeError as error:  # aiokafka reads header names as UTF-8, and goes no further
            raise AgentFailedError(
                f"{self.source.topic}:{self.source.partition}: a record at offset {before} or after it has a header "
                f"whose name is not UTF-8, and cannot be read"
            ) from error
        position = self.read_to = await self._consumer.position(self.source)
        if not records:
            await asyncio.wait_for(self._transaction.report_position(position), COMMIT_TIMEOUT_S)
            if time.monotonic() - self._synced_at > SYNC_EVERY_S:
                self._sync((), self._changelog_position)
            return
        if records[0].offset < before:
            raise ReaderError(f"{self.name}: a batch begins at offset {records[0].offset}, expected {before} or later")
        if not await self._prepared(records):
            return
        batch = await self._process(records)
        for answer, why in batch.divert(self._reply_topics.why_not):
            self._keep_answer(batch, answer, why, int(time.time() * 1000))
        last = batch.last_record
        batch.put(PROGRESS_KEY, encode_progress(Progress(offset=last.offset, fingerprint=fingerprint(last))))
        started = time.monotonic()
        changelog_position = await asyncio.wait_for(
            self._transaction.commit(batch, position=position), COMMIT_TIMEOUT_S
        )
        self._sync(batch.rows.items(), changelog_position)
        self.next_offset = last.offset + 1
        self._metrics.batch_committed(self.spec.agent, len(batch), time.monotonic() - started)

    def _sync(self, rows: Iterable[tuple[bytes, bytes | None]], changelog_position: int) -> None:
        """Write rows into the store, which is up to date now: nobody else can have written to the changelog."""
        self._store.write(rows, position=changelog_position, now_ms=int(time.time() * 1000))
        self._changelog_position, self._synced_at = changelog_position, time.monotonic()

    async def _prepared(self, records: list[ConsumerRecord]) -> bool:
        """Let the agent learn what it needs; return false when the shard is no longer wanted before it has.

        Meanwhile nothing is under way: no transaction is open, and the records are read again by whoever comes next.
        """
        to_do = None if self.spec.prepare is None else self.spec.prepare(records, self._waits)
        if to_do is None:
            return True
        task = asyncio.ensure_future(to_do)
        try:
            while self.wanted and not task.done():
                self._decided.clear()
                decided = asyncio.ensure_future(self._decided.wait())
                await asyncio.wait({task, decided}, return_when=asyncio.FIRST_COMPLETED)
                decided.cancel()
            if not task.done():
                return False
            task.result()
        finally:
            task.cancel()
        if self.state is ShardState.WAITING:
            self._enter(ShardState.RUNNING)
        return True

    def _waits(self, reason: str) -> None:
        self._enter(ShardState.WAITING, reason)

    async def _process(self, records: list[ConsumerRecord]) -> Batch:
        """Let the agent work on the records. Raises `AgentFailedError` when it raised."""
        batch = Batch(records, self._store, self._settings.partition_counts)
        delivery = Delivery(batch)
        self.processing_since = time.monotonic()
        self._deliver(self.spec.agent, delivery)
        try:
            await delivery.processed
        except Exception as error:
            record = batch.current or records[0]
            raise AgentFailedError(
                f"{record.topic}:{record.partition}:{record.offset}: the agent {self.spec.agent} raised {error!r}"
            ) from error
        finally:
            self.processing_since = None
        return batch

    async def _close(self) -> None:
        await asyncio.gather(
            *(close_client(client) for client in (self._consumer, self._producer) if client is not None)
        )
        self._store.close()
        self._producer = self._consumer = self._transaction = None

    def _enter(self, state: ShardState, reason: str | None = None) -> None:
        self.state, self.reason = state, reason
        self._metrics.shard_entered(self.spec.agent, self.source.partition, state)
