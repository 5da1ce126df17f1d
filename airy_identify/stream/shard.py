"""A shard: one partition of one log, with its own task, store, changelog partition, producer and reader.

It opens itself in this order: fence, restore, check, position; then it runs, one batch and one transaction at a time.
Whatever fails on the way means that nothing is known: it closes, opens again, and the progress row decides.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import ProducerFenced
from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.kafka import close_client
from airy_identify.stream.authorization import explained
from airy_identify.stream.batch import Batch, Delivery, TableOnlyBatch
from airy_identify.stream.digest import RowsBefore, digest_of
from airy_identify.stream.errors import (
    AgentFailedError,
    HandedOverError,
    ReaderError,
    ReplyTopicError,
    ShardClosedError,
    ShardNotWantedError,
    StoreInUseError,
)
from airy_identify.stream.generations import fence_rebuild, rebuild_id
from airy_identify.stream.group import committed_offset
from airy_identify.stream.opening import (
    LogRange,
    RestoreRules,
    check_fingerprint,
    check_partition_count,
    check_progress,
    restore,
)
from airy_identify.stream.progress import fingerprint
from airy_identify.stream.reply_topics import ReplyTopics
from airy_identify.stream.shard_parts import EXPECTED_ERRORS, Occupant, ShardEnvironment, ShardSpec, ShardState
from airy_identify.stream.skips import SkipBook
from airy_identify.stream.store import Store
from airy_identify.stream.too_large import TOO_LARGE, too_large
from airy_identify.stream.transaction import BatchTransaction, abandon
from airy_identify.stream.turning import TURNING_RECORDS_MAX, Turning, follower_of
from airy_identify.topics import of_generation
from airy_identify.wire.generations import CURRENT, FIRST, encode_generation, encode_generation_key
from airy_identify.wire.rows import PROGRESS_KEY, Progress, decode_progress, encode_progress

logger = logging.getLogger(__name__)

COMMIT_TIMEOUT_S = 15.0
FENCE_TIMEOUT_S = 30.0
"""More than `transaction.timeout.ms`: the fence waits for the former owner's open transaction to be aborted."""
METADATA_TIMEOUT_S = 30.0
"""How long brokers may take to say which partitions there are, before the shard opens again."""
POLL_MS = 500
RECORDS_MAX = 500
SYNC_EVERY_S = 60.0
"""How often an idle shard makes sure, and notes, that its store is up to date."""


class Shard:
    """One shard. `start` makes its task; it runs until `wanted` is taken away, or ends the process."""

    def __init__(self, spec: ShardSpec, partition: int, environment: ShardEnvironment) -> None:
        self.spec = spec
        self.source = TopicPartition(spec.log, partition)
        self.name = f"{spec.agent}-{partition}"
        self.changelog = TopicPartition(spec.changelog, partition)
        self.table_generation = FIRST
        self._answered_to = -1
        self.wanted = True
        self.generation = 0
        self.state = ShardState.OPENING
        self.reason: str | None = None
        self.next_offset = -1
        self.read_to = -1
        self._changelog_position = 0
        self._restore_to = 0
        self._synced_at = time.monotonic()
        self.processing_since: float | None = None
        self._settings = environment.settings
        self._clients = environment.clients
        self._metrics = environment.metrics
        self._deliver = environment.deliver
        self._keep_answer = environment.keep_answer
        self._reply_topics = ReplyTopics(time.monotonic)
        self._environment = environment
        self._applied = False
        self._counts_to_check = False
        self._count_check: asyncio.Task[None] | None = None
        self._digest = b""
        self._store = self._store_of(FIRST)
        self._turning = Turning(follower_of(spec, partition, environment))
        self._turns = False
        self._decided = asyncio.Event()
        self._producer: AIOKafkaProducer | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._transaction: BatchTransaction | None = None
        self.task: asyncio.Task[None] | None = None

    def _store_of(self, generation: int) -> Store:
        return Store(
            self._settings.directory(self.spec.agent, self.source.partition, generation), self._environment.memory
        )

    @property
    def position(self) -> int | None:
        """The changelog offset that the store has next; null while it is new or not open."""
        return self._store.position

    def start(
        self, *, generation: int, previous: Occupant | None, on_death: Callable[["Shard", asyncio.Task[None]], None]
    ) -> None:
        """Start the task. It awaits the end of `previous`, which had this partition's directory in this process."""
        self.generation = generation
        self.task = asyncio.create_task(self._run(previous), name=f"shard {self.name}")
        self.task.add_done_callback(lambda task: on_death(self, task) if self.wanted else None)

    def keep(self, generation: int) -> None:
        """Go on: the group has decided again that this partition is ours. Did it, because there are new partitions?"""
        self.generation = generation
        self._counts_to_check = True
        self._decided.set()

    def end(self) -> None:
        """Ask the shard to end after the batch at hand."""
        self.wanted = False
        self._decided.set()

    async def ended(self) -> None:
        """Return when the shard has ended and its directory is free."""
        if self.task is not None:
            await asyncio.wait({self.task})

    async def _run(self, previous: Occupant | None) -> None:
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
            paused_at = error.offset if isinstance(error, AgentFailedError) else None
            state = ShardState.PAUSED if isinstance(error, AgentFailedError) else ShardState.CLOSED
            logger.critical("shard %s %s: %s", self.name, state, error, exc_info=error.__cause__)
            await self._close()
            self._enter(state, str(error))
            await self._until_not_wanted(paused_at)
        except StoreInUseError:
            raise
        except HandedOverError:
            await self._close()
        except ReplyTopicError as error:
            # The batch comes again at once, without the answers that cannot be published.
            logger.warning("shard %s opens again without some answers: %s", self.name, error)
            self._metrics.shard_reopened(self.spec.agent, type(error).__name__)
            self._reply_topics.learn(error)
            if self._producer is not None:
                abandon(self._producer)
            await self._close()
        except (Exception, asyncio.CancelledError) as error:
            # Not only Kafka errors: a producer that is fenced between two sends refuses the next with
            # `IllegalOperation` or an `AssertionError`, a batch that cannot be unpacked raises what its codec raises,
            # RocksDB raises bare exceptions. None of that is a reason to take the other partitions down as well.
            # aiokafka cancels the futures of a failed batch and of a closing client: nobody else cancels a shard
            # that is wanted, so a cancellation means what an error means.
            if not self.wanted:
                return
            fenced = isinstance(error, ProducerFenced)
            self._metrics.shard_reopened(self.spec.agent, "fenced" if fenced else type(error).__name__)
            expected = isinstance(error, EXPECTED_ERRORS)
            level = logging.WARNING if expected else logging.ERROR
            said = explained(error)
            logger.log(
                level, "shard %s %s: %s", self.name, "fenced" if fenced else "failed", said, exc_info=not expected
            )
            await self._close()
            self._enter(ShardState.WAITING, said)
            await self._until_another_generation(opened_in)

    async def _until_not_wanted(self, paused_at: int | None) -> None:
        """Wait for the end, or until the record that it is paused at may be passed over, or its table was made anew."""
        book = None if self._environment.skipping is None or paused_at is None else self._environment.skipping.book
        if paused_at is not None:
            self._metrics.shard_paused(self.spec.agent, self.source.partition, paused_at)

        def to_be_skipped() -> bool:
            assert paused_at is not None  # noqa: S101 - asked before
            return book is not None and book.asked(self.source.topic, self.source.partition, paused_at) is not None

        with self._told_of_changes(book):
            while self.wanted and not self._has_another_table() and not (book is not None and to_be_skipped()):
                self._decided.clear()
                await self._decided.wait()

    @contextlib.contextmanager
    def _told_of_changes(self, skips: SkipBook | None = None) -> Iterator[None]:
        """Let the books wake the shard while it waits."""
        generations = self._environment.generations
        books = [book for book in (skips, None if generations is None else generations.book) if book is not None]
        for book in books:
            book.listeners.add(self._decided.set)
        try:
            yield
        finally:
            for book in books:
                book.listeners.discard(self._decided.set)

    def _has_another_table(self) -> bool:
        """Whether a later generation of the table than this shard knows is current: it was fenced, or made offline."""
        generations = self._environment.generations
        if generations is None:
            return False
        return generations.book.number(self.spec.agent, self.source.partition) > self.table_generation

    async def _until_another_generation(self, opened_in: int) -> None:
        """Wait for the group to decide again, but no longer than its session timeout.

        So two processes that both take the partition for theirs do not fence each other in turns.
        """
        with contextlib.suppress(TimeoutError), self._told_of_changes():
            async with asyncio.timeout(self._settings.session_timeout_s):
                while self.wanted and self.generation == opened_in and not self._has_another_table():
                    self._decided.clear()
                    await self._decided.wait()

    async def _open(self) -> None:
        started = time.monotonic()
        self.reason = "cutting off earlier owners"
        self._producer = self._clients.transactional_producer(
            f"{self._settings.app_id}-{self.name}",
            request_timeout_ms=int(self._settings.session_timeout_s * 750),
        )
        await asyncio.wait_for(self._producer.start(), FENCE_TIMEOUT_S)
        fenced = time.monotonic()
        await self._take_generation()
        self.reason = f"restoring its table from {self.changelog.topic}:{self.changelog.partition}"
        self._transaction = BatchTransaction(
            self._producer,
            source=self.source,
            changelog=self.changelog,
            group_id=self._settings.app_id,
            one_by_one=self._reply_topics.one_by_one,
        )
        self._consumer = self._clients.consumer()
        await self._consumer.start()
        await self._check_partition_counts()
        known_at_ms = self._environment.clock_ms()
        begin = await self._consumer.beginning_offsets([self.source, self.changelog])
        end = await self._consumer.end_offsets([self.source, self.changelog])
        self._restore_to = end[self.changelog]
        rows, self._changelog_position = await restore(
            self._consumer,
            self._store,
            LogRange(self.changelog, begin[self.changelog], end[self.changelog]),
            self._restore_rules,
            on_fetch=self._note_restored,
            known_at_ms=known_at_ms,
        )
        restored = time.monotonic()
        self.reason = "looking for its place in the log"
        await self._position(LogRange(self.source, begin[self.source], end[self.source]))
        logger.info(
            "shard %s open: fence %.0f ms, restored %d rows in %.0f ms, next offset %d",
            self.name,
            (fenced - started) * 1e3,
            rows,
            (restored - fenced) * 1e3,
            self.next_offset,
        )

    @property
    def _restore_rules(self) -> RestoreRules:
        return RestoreRules(
            max_age_ms=self._settings.store_max_age_ms,
            now_ms=self._environment.clock_ms,
            cluster_id=self._environment.cluster_id,
            whole=self.spec.needs_whole_log,
        )

    async def _take_generation(self) -> None:
        """Learn which generation of the table is current: after the fence, nobody can decide that but this shard."""
        generations = self._environment.generations
        if generations is None:
            return
        current = await generations.current(self.spec.agent, self.source.partition)
        if current is not None:
            answered_to = -1 if current.handed_over_at is None else current.handed_over_at
            if current.generation != self.table_generation:
                self._store.close()
                self._store = self._store_of(current.generation)
            self.table_generation, self._answered_to = current.generation, answered_to
            changelog = of_generation(self.spec.changelog, current.generation)
            self.changelog = TopicPartition(changelog, self.source.partition)
            rebuild = rebuild_id(self._settings.app_id, self.spec.agent, self.source.partition, current.generation)
            timeout_ms = int(self._settings.session_timeout_s * 750)
            await fence_rebuild(self._clients, rebuild, request_timeout_ms=timeout_ms)
            await generations.skips.up_to_date()
        self._metrics.table_generation(self.spec.agent, self.source.partition, self.table_generation)

    async def _turn(self) -> None:
        """Hand over to a generation that is wanted, once it is warm. Raises `HandedOverError` then.

        Also when another one is current already: an idle shard would not notice that it was fenced.
        """
        generations = self._environment.generations
        if generations is None:
            return
        if self._has_another_table():
            raise HandedOverError(f"{self.name}: another generation is current")
        wanted = generations.book.wanted(self.spec.agent, self.source.partition)
        next_offset = self.next_offset if self._applied else None
        if not self._turning.ready(wanted, next_offset=next_offset) or wanted is None:
            return
        if self._environment.turns.locked():
            return  # until then it goes on with the table that it has
        self._turns = await self._environment.turns.acquire()
        assert self._transaction is not None  # noqa: S101 - made by _open
        answered_to = max(self._answered_to, self.next_offset - 1 if self._applied else -1)
        current = replace(
            wanted,
            state=CURRENT,
            handed_over_at=None if answered_to < 0 else answered_to,
            written_at_ms=self._environment.clock_ms(),
        )
        place = TopicPartition(generations.topic, 0)
        handed_over = self._transaction.write(place, encode_generation_key(current), encode_generation(current))
        await asyncio.wait_for(handed_over, COMMIT_TIMEOUT_S)
        logger.info("shard %s turns to generation %d at offset %d", self.name, wanted.generation, answered_to)
        raise HandedOverError(f"{self.name}: generation {wanted.generation} is current")

    def _note_restored(self, rows: int) -> None:
        self._check_wanted()
        left = max(0, self._restore_to - (self._store.position or 0))
        self._metrics.restore_behind(self.spec.agent, self.source.partition, left)
        if rows:
            self._metrics.rows_restored(self.spec.agent, rows)

    def _check_wanted(self) -> None:
        """Give an opening up that nobody wants any more. Without a broker it would go on for ever."""
        if not self.wanted:
            raise ShardNotWantedError(self.name)

    async def _position(self, log: LogRange) -> None:
        """Check that the table belongs to this log, and place the reader after what was applied, once."""
        assert self._consumer is not None  # noqa: S101 - made by _open
        row = self._store.get(PROGRESS_KEY)
        progress: Progress | None = None if row is None else decode_progress(row)
        self._applied = progress is not None
        committed = 0
        if progress is None:
            committed = await committed_offset(self._clients, self._settings.app_id, self.source)
        self.next_offset = check_progress(progress, log, needs_whole_log=self.spec.needs_whole_log, committed=committed)
        self._consumer.assign([self.source])
        if progress is not None and progress.offset >= log.begin:
            await check_fingerprint(
                self._consumer,
                self.source,
                progress,
                compacted=self.spec.compacted,
                on_fetch=self._note_restored,
            )
        self._consumer.seek(self.source, self.next_offset)
        self.read_to = self.next_offset
        if progress is None or progress.digest is None:
            self._digest = await asyncio.to_thread(digest_of, self._store.rows())
        else:
            self._digest = progress.digest
        if progress is not None:
            self._metrics.table_stands(self.spec.agent, self.source.partition, progress.offset, self._digest)

    async def _check_partition_counts(self) -> None:
        """Close when log or changelog have other partitions than they had when this process began."""
        assert self._consumer is not None  # noqa: S101 - made by _open
        async with asyncio.timeout(METADATA_TIMEOUT_S):
            for topic, declared in ((self.source.topic,) * 2, (self.changelog.topic, self.spec.changelog)):
                await check_partition_count(self._consumer, topic, self._settings.partition_counts.get(declared))

    def _follow_count_check(self) -> None:
        """Check the counts beside the batches: the brokers' answer may wait for a fetch that finds nothing."""
        if self._count_check is not None and self._count_check.done():
            self._count_check.result()
            self._count_check = None
        if self._counts_to_check and self._count_check is None:
            self._counts_to_check = False
            self._count_check = asyncio.create_task(self._check_partition_counts())

    async def _step(self) -> None:
        assert self._consumer is not None  # noqa: S101 - made by _open
        assert self._transaction is not None  # noqa: S101 - made by _open
        self._follow_count_check()
        await self._turn()
        before = await self._consumer.position(self.source)
        if before != self.read_to:
            raise ReaderError(f"{self.name}: the reader stands at offset {before}, but has read up to {self.read_to}")
        turns = self._turning.is_warm or self._environment.turns.locked()
        records_max = TURNING_RECORDS_MAX if turns else RECORDS_MAX
        records = (await self._consumer.getmany(timeout_ms=POLL_MS, max_records=records_max)).get(self.source)
        position = self.read_to = await self._consumer.position(self.source)
        if not records:
            self._note_behind(position)
            sync = time.monotonic() - self._synced_at > SYNC_EVERY_S
            # A fetch that brings nothing does not show that the shard is still ours: a commit does.
            reported = self._transaction.report_position(position, applied=self._applied, again=sync)
            await asyncio.wait_for(reported, COMMIT_TIMEOUT_S)
            if sync:
                self._sync((), self._changelog_position)
            return
        if records[0].offset < before:
            raise ReaderError(f"{self.name}: a batch begins at offset {records[0].offset}, expected {before} or later")
        if not await self._prepared(records):
            return
        again = [record for record in records if record.offset <= self._answered_to]
        for part in (again, records[len(again) :]):
            if part:
                await self._apply(part, position if part[-1] is records[-1] else part[-1].offset + 1)
        if again and self.next_offset > self._answered_to:
            logger.info("shard %s answers again, from offset %d on", self.name, self._answered_to + 1)

    async def _apply(self, records: list[ConsumerRecord], position: int) -> None:
        """Apply records in one transaction: all of them, and in the store afterwards."""
        assert self._transaction is not None  # noqa: S101 - made by _open
        table = RowsBefore(self._store)
        batch = await self._process(records, table)
        for answer, why in batch.divert(self._reply_topics.why_not):
            self._keep_answer(batch, answer, why, self._environment.clock_ms())
        last = batch.last_record
        digest = table.digest_after(self._digest, batch.rows)
        progress = Progress(offset=last.offset, fingerprint=fingerprint(last), digest=digest)
        batch.put(PROGRESS_KEY, encode_progress(progress))
        started = time.monotonic()
        try:
            changelog_position = await asyncio.wait_for(
                self._transaction.commit(batch, position=max(position, self._answered_to + 1)), COMMIT_TIMEOUT_S
            )
        except TOO_LARGE as error:
            raise too_large(batch, self.changelog, first_offset=records[0].offset) from error
        self._sync(batch.rows.items(), changelog_position)
        self.next_offset, self._applied = last.offset + 1, True
        self._digest = digest
        self._metrics.table_stands(self.spec.agent, self.source.partition, last.offset, digest)
        self._note_behind(position)
        self._metrics.batch_committed(self.spec.agent, len(batch), time.monotonic() - started)

    def _note_behind(self, position: int) -> None:
        assert self._consumer is not None  # noqa: S101 - made by _open
        stable = self._consumer.last_stable_offset(self.source)
        self._metrics.shard_behind(self.spec.agent, self.source.partition, max(0, (stable or 0) - position))

    def _sync(self, rows: Iterable[tuple[bytes, bytes | None]], changelog_position: int) -> None:
        """Write rows into the store, which is up to date now: nobody else can have written to the changelog."""
        self._store.write(rows, position=changelog_position, now_ms=self._environment.clock_ms())
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
                try:
                    await asyncio.wait({task, decided}, return_when=asyncio.FIRST_COMPLETED)
                finally:
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

    async def _process(self, records: list[ConsumerRecord], table: RowsBefore) -> Batch:
        """Let the agent work on the records. Raises `AgentFailedError` when it raised."""
        again = records[-1].offset <= self._answered_to
        batch = (TableOnlyBatch if again else Batch)(records, table, self._settings.partition_counts)
        if self._environment.skipping is not None:
            for record in records:
                (self._environment.skipping.pass_over_again if again else self._environment.skipping.prepare)(
                    batch, record
                )
        delivery = Delivery(batch)
        self.processing_since = time.monotonic()
        self._deliver(self.spec.agent, delivery)
        try:
            await delivery.processed
        except Exception as error:
            record = batch.current or records[0]
            place = f"{record.topic}:{record.partition}:{record.offset}"
            raise AgentFailedError(
                f"{place}: the agent {self.spec.agent} raised {error!r}; mend the cause and restart the worker, or pass "
                f'the record over: `airy-identify skip {place} --reason …` (docs/runbook.md, "A record stops a partition")',
                record.offset,
            ) from error
        finally:
            self.processing_since = None
        return batch

    async def _close(self) -> None:
        if self._count_check is not None:
            self._count_check.cancel()
            await asyncio.wait({self._count_check})
            self._count_check = None
        await self._turning.stop()
        await asyncio.gather(
            *(close_client(client) for client in (self._consumer, self._producer) if client is not None)
        )
        self._store.close()
        self._producer = self._consumer = self._transaction = None

    def _enter(self, state: ShardState, reason: str | None = None) -> None:
        self.state, self.reason = state, reason
        if self._turns and state is not ShardState.OPENING:
            self._turns = False
            self._environment.turns.release()
        self._metrics.shard_entered(self.spec.agent, self.source.partition, state)
