"""Making one table partition again from its log, in the next generation of its changelog, and letting its shard turn to it.

In this order: *build* (fold the log up to where the running table stands), *prove* (the new changelog, read back, has
the digest of the fold, and so has the running table at the same offset), *switch*. While the service runs the shard
itself switches (`stream.generations`), and this process follows the log until it has. Offline this process takes the
shard's place for one transaction: it fences the shard, and writes what the shard would have written.
"""

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import ProducerFenced
from aiokafka.structs import TopicPartition

from airy_identify.kafka import KafkaClients, close_client
from airy_identify.stream.comparison import Comparison, compare
from airy_identify.stream.digest import digest_of
from airy_identify.stream.errors import RebuildError
from airy_identify.stream.folding import ChangelogFold
from airy_identify.stream.generations import Generations, rebuild_id
from airy_identify.stream.opening import LogRange, RestoreRules
from airy_identify.stream.rebuild_evidence import Answered, Evidence, RunningTable, range_of
from airy_identify.stream.rebuild_table import NewTable, Place, RebuiltTable
from airy_identify.stream.skips import SkipBook
from airy_identify.stream.store import Store, StoreMemory
from airy_identify.stream.transaction import BatchTransaction
from airy_identify.topics import of_generation
from airy_identify.wire.generations import (
    CURRENT,
    WANTED,
    Generation,
    encode_generation,
    encode_generation_key,
)
from airy_identify.wire.rows import PROGRESS_KEY, Progress, decode_progress

FOLLOW_EVERY_S = 0.05
FENCE_TIMEOUT_S = 30.0

OnProgress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilding:
    """How tables are made again.

    Args:
        clients: Of the cluster.
        app_id: Of the service; also the id of its group.
        data_dir: Where the worker of this machine keeps its directories.
        work_dir: Where the tables are made.
        generations: What is known of generations, kept up to date by tasks of the caller.
        skips: Records that are passed over, kept up to date likewise.
        rules: What a store has to be to be gone on with.
        by: Who does it.
        request_timeout_ms: Of producers.
        handover_timeout_s: How long a shard may take to turn to a table that it is offered.
        replace_different: Switch also when the running table is not what its log gives.
        accept_gaps: Go on also when the log no longer reaches back to its start.
        answered_to: Up to which offset the log was answered, from somebody who knows; null to find out.
        differences_max: How many rows that differ are kept.
    """

    clients: KafkaClients
    app_id: str
    data_dir: Path
    work_dir: Path
    generations: Generations
    skips: SkipBook
    memory: StoreMemory
    rules: RestoreRules
    by: str
    request_timeout_ms: int
    handover_timeout_s: float = 120.0
    replace_different: bool = False
    accept_gaps: bool = False
    answered_to: int | None = None
    differences_max: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What became of a partition. `answered` is null where a shard switched by itself: it knows exactly."""

    table: str
    partition: int
    generation: int
    offset: int | None
    digest: bytes | None
    rows: int
    comparison: Comparison | None
    answered: Answered | None
    notes: tuple[str, ...]


class PartitionRebuild:
    """One partition on its way. `close` it, whatever happens."""

    def __init__(
        self, how: Rebuilding, table: RebuiltTable, partition: int, generation: int, on_progress: OnProgress
    ) -> None:
        self.generation = generation
        self._how = how
        self._table = table
        self._number = partition
        self._on_progress = on_progress
        name = of_generation(f"{table.name}-{partition}", generation)
        self._directory = how.work_dir / how.app_id / "rebuild" / name
        place = Place(
            table=table,
            partition=partition,
            generation=generation,
            directory=self._directory / "table",
            transactional_id=rebuild_id(how.app_id, table.name, partition, generation),
        )
        self.new = NewTable(place, clients=how.clients, memory=how.memory, rules=how.rules, skips=how.skips)
        self._title = f"{table.name} {partition}"
        former = how.generations.book.number(table.name, partition)
        self._former = TopicPartition(of_generation(table.changelog, former), partition)
        self._stores = [how.data_dir / how.app_id / of_generation(f"{table.name}-{partition}", former)]
        self._consumers: list[AIOKafkaConsumer] = []
        self._running: RunningTable | None = None
        self._answered: Answered | None = None
        self._comparison: Comparison | None = None
        self._rows = 0
        self._notes: list[str] = []

    @property
    def place(self) -> str:
        """The partition as topic:partition of its log."""
        return f"{self._table.log}:{self._number}"

    async def close(self) -> None:
        """Close everything; what was built is kept."""
        await self.new.close()
        await asyncio.gather(*(close_client(consumer) for consumer in self._consumers))

    async def build(self, *, offline: bool) -> None:
        """Make the table, up to where the running one stands. Raises `StreamError`, `FoldStoppedError`, `KafkaError`."""
        how = self._how
        self._on_progress(f"{self._title}: going on with what was built", 0, 1)
        log = await self.new.open(request_timeout_ms=how.request_timeout_ms, on_fetch=lambda _: None)
        if (await self._current()) >= self.generation:
            return
        self._check_reach(log)
        await self._lay_base(log)
        self._running = RunningTable(await self._consumer(), self._former)
        progress = await self._running.look()
        self._answered = await self._find_answered(progress) if offline or progress is None else None
        if not offline and self._answered is not None and self._answered.offset is not None:
            raise RebuildError(
                f"{self.place}: offsets up to {self._answered.offset} were applied ({self._answered.source} says so), but "
                f"{self._former.topic}:{self._number} has no progress row: its shard is closed, and cannot hand over; "
                f"run `airy-identify rebuild --offline --table {self._table.name} --partition {self._number}`"
            )
        await self._follow(everything=True)

    async def prove(self) -> None:
        """Compare the table with its changelog, read back, and with the running table. Raises `RebuildError`, `KafkaError`."""
        if await self._current() >= self.generation:
            return
        await self._read_back()
        await self._compare_with_running()

    async def switch(self) -> Rebuilt:
        """Offer the table to the shard, and follow the log until the shard has turned to it. Raises as `build` does."""
        if await self._current() < self.generation:
            await self._write(WANTED)
        deadline = time.monotonic() + self._how.handover_timeout_s
        self._on_progress(f"{self._title}: waiting for its shard to turn to it", 0, 1)
        try:
            while await self._current() < self.generation:
                self._check_in_time(deadline)
                await self._follow(everything=False)
                await asyncio.sleep(FOLLOW_EVERY_S)
        except Exception as error:
            # The shard has cut this process off; a producer that is fenced between two sends says so in many ways.
            if await self._current() < self.generation:
                raise self._cut_off(error) from error
        return self._done()

    def _check_in_time(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise RebuildError(
                f"{self.place}: no shard has turned to the new table within {self._how.handover_timeout_s:g} s: no worker "
                f"has it, or the shard is paused or closed (`/readyz` of the workers says it). What was built is kept, and "
                f"will be turned to when the shard runs; to do it without a worker: `airy-identify rebuild --offline "
                f"--table {self._table.name} --partition {self._number}`"
            )

    async def switch_offline(self) -> Rebuilt:
        """Take the shard's place, and turn it to the new table. A worker that has it opens it again, with that table.

        Raises as `build` does.
        """
        how = self._how
        name = f"{how.app_id}-{self._table.name}-{self._number}"
        producer = how.clients.transactional_producer(name, request_timeout_ms=how.request_timeout_ms)
        try:
            await asyncio.wait_for(producer.start(), FENCE_TIMEOUT_S)
            if await self._current() < self.generation:
                assert self._running is not None  # noqa: S101 - made by build
                self._answered = answered = await self._find_answered(await self._running.look())
                await self._follow(everything=True)
                transaction = BatchTransaction(
                    producer, source=self.new.place.log, changelog=self.new.place.changelog, group_id=how.app_id
                )
                record = self._record(CURRENT, answered.offset)
                await transaction.write(self._generations, encode_generation_key(record), encode_generation(record))
        finally:
            await close_client(producer)
        return self._done()

    # Building.

    async def _follow(self, *, everything: bool) -> None:
        """Apply the log up to where the running table stands; with `everything` until that is so at one moment."""
        assert self._running is not None  # noqa: S101 - made by build
        while True:
            progress = await self._running.look()
            until = self._until(progress)
            if self._stands_before_what_is_left(until):
                await self.new.fold(until, self._counter("building", 0))
            if until <= self.new.position and (progress is None or self._reached(progress)):
                return
            await self._how.generations.skips.up_to_date()
            await self.new.fold(until, self._counter("building", until - self.new.position))
            if not everything:
                return

    def _stands_before_what_is_left(self, until: int) -> bool:
        """Tell whether all that was answered is gone from the log: the new progress says so, without a record of its own."""
        table = self.new
        return self._table.process is None and table.progress is None and 0 < until == table.position

    def _until(self, progress: Progress | None) -> int:
        """Return the offset to apply the log up to, itself not: not further, for what comes after is still to be answered."""
        if self._answered is not None:
            return 0 if self._answered.offset is None else self._answered.offset + 1
        return 0 if progress is None else progress.offset + 1

    def _reached(self, progress: Progress) -> bool:
        return self._answered is not None or self.new.progress is None or self.new.progress.offset >= progress.offset

    def _check_reach(self, log: LogRange) -> None:
        """Stop when the start of the log is gone, unless told to go on."""
        if self._table.process is None or log.begin == 0 or self.new.progress is not None:
            return
        gap = self._table.gap(log.begin)
        if not self._how.accept_gaps:
            raise RebuildError(
                f"{gap}; `airy-identify rebuild --check` says more, and --accept-gaps goes on without it"
            )
        self._notes.append(gap)

    async def _lay_base(self, log: LogRange) -> None:
        """Make what the table had before its log begins, where that can be."""
        base = self._table.base
        if base is None or log.begin == 0 or self.new.progress is not None:
            return
        await self._how.generations.skips.up_to_date()
        await self.new.lay(base(self._number), log.begin, self._counter("building what the log no longer holds", 0))

    async def _find_answered(self, progress: Progress | None) -> Answered:
        """Return up to where the log was answered. Raises `RebuildError` when the log is shorter than that."""
        evidence = Evidence(
            clients=self._how.clients, group_id=self._how.app_id, directories=self._stores, scratch=self._directory
        )
        current = self._how.generations.book.current(self._table.name, self._number)
        consumer = await self._consumer()
        found, log = await evidence.answered(progress, current, self.new.place.log, consumer)
        if self._how.answered_to is not None:
            found = Answered(offset=self._how.answered_to, source="--answered-to", exact=True)
        if found.offset is not None and found.offset >= log.end:
            raise RebuildError(
                f"{self.place}: offset {found.offset} was answered ({found.source} says so), but the log ends before: it was "
                f"truncated or made anew; put it back from a copy first"
            )
        return found

    # Proving.

    async def _read_back(self) -> None:
        """Read the new changelog from its start into an empty store, and compare digests."""
        path = self._directory / "read-back"
        shutil.rmtree(path, ignore_errors=True)
        store = Store(path, self._how.memory)
        store.open()
        try:
            # Up to what was written, and not to where it ends for readers: the last commit may not be marked there yet.
            end = self.new.written_to
            fold = ChangelogFold(partition=self.new.place.changelog, store=store)
            await fold.go_on(await self._consumer(), end, self._counter("reading the new changelog back", end))
            self._on_progress(f"{self._title}: comparing", 0, 1)
            row = store.get(PROGRESS_KEY)
            progress = None if row is None else decode_progress(row)
            digest = await asyncio.to_thread(digest_of, store.rows())
            if progress != self.new.progress or (progress is not None and progress.digest != digest):
                raise RebuildError(
                    f"{self.place}: the new changelog {self.new.place.changelog.topic}, read back, is not what was written "
                    f"to it: nothing was switched; look at the brokers, and begin anew: `airy-identify rebuild --anew`"
                )
            self._rows = sum(1 for key, _ in store.rows() if key != PROGRESS_KEY)
        finally:
            store.close()
            shutil.rmtree(path, ignore_errors=True)

    async def _compare_with_running(self) -> None:
        """Compare with the running table by its digest at the same offset, and row by row where that tells nothing."""
        assert self._running is not None  # noqa: S101 - made by build
        new = self.new.progress
        if new is None or self._table.process is None:
            return
        kept = self._running.digests.get(new.offset)
        if kept is not None and kept == new.digest:
            return
        if self._running.progress is None:
            self._notes.append("there is no running table to compare with: its changelog holds nothing")
            return
        found = self._comparison = await self._compare_rows()
        if found is None or not found.differing:
            return
        if not self._how.replace_different:
            raise RebuildError(
                f"{self.place}: {found.differing} rows of the running table are not what its log gives: nothing was "
                f"switched. `airy-identify verify --table {self._table.name} --partition {self._number}` names them; when "
                f"the log is right and the table is damaged, switch with --replace-different"
            )
        self._notes.append(f"{found.differing} rows of the running table were not what its log gives")

    async def _compare_rows(self) -> Comparison | None:
        """Read the running changelog, fold on to where it stands, and compare. Null: they never stood at one offset."""
        path = self._directory / "running"
        shutil.rmtree(path, ignore_errors=True)
        store = Store(path, self._how.memory)
        store.open()
        try:
            consumer = await self._consumer()
            whole = await range_of(consumer, self._former)
            if whole is None:
                return None
            fold = ChangelogFold(partition=self._former, store=store, position=whole.begin)
            await fold.go_on(
                consumer, whole.end, self._counter("reading the running changelog", whole.end - whole.begin)
            )
            row = store.get(PROGRESS_KEY)
            until = 0 if row is None else decode_progress(row).offset + 1
            await self._how.generations.skips.up_to_date()
            await self.new.fold(until, self._counter("building", until - self.new.position))
            if self.new.position != until:
                self._notes.append("the running changelog ends before what was answered: it was not compared")
                return None
            tables = {"running": store.rows(), "rebuilt": self.new.store.rows()}
            return await asyncio.to_thread(compare, tables, keep=self._how.differences_max)
        finally:
            store.close()
            shutil.rmtree(path, ignore_errors=True)

    # Switching.

    async def _current(self) -> int:
        await self._how.generations.reader.up_to_date()
        return self._how.generations.book.number(self._table.name, self._number)

    def _cut_off(self, error: Exception) -> Exception:
        """Return what to say of an error: that somebody else has taken over, or the error itself."""
        if not isinstance(error, ProducerFenced):
            return error
        return RebuildError(
            f"{self.place}: somebody else has taken over (a rebuild that was started later, a worker); run it again"
        )

    async def _write(self, state: str) -> None:
        """Write down what this rebuild does. Only the last one that was started can."""
        assert self.new.transaction is not None  # noqa: S101 - made by build
        record = self._record(state, None)
        await self.new.transaction.write(self._generations, encode_generation_key(record), encode_generation(record))

    def _record(self, state: str, handed_over_at: int | None) -> Generation:
        return Generation(
            agent=self._table.name,
            partition=self._number,
            generation=self.generation,
            state=state,
            by=self._how.by,
            written_at_ms=self._how.rules.now_ms(),
            handed_over_at=handed_over_at,
        )

    @property
    def _generations(self) -> TopicPartition:
        return TopicPartition(self._how.generations.topic, 0)

    def _done(self) -> Rebuilt:
        self.new.store.close()
        shutil.rmtree(self._directory, ignore_errors=True)
        progress = self.new.progress
        return Rebuilt(
            table=self._table.name,
            partition=self._number,
            generation=self.generation,
            offset=None if progress is None else progress.offset,
            digest=None if progress is None else progress.digest,
            rows=self._rows,
            comparison=self._comparison,
            answered=self._answered,
            notes=tuple(self._notes),
        )

    async def _consumer(self) -> AIOKafkaConsumer:
        """Return a consumer of its own for one thing: whatever is asked waits for a fetch that is under way."""
        consumer = self._how.clients.consumer(fetch_max_wait_ms=20)
        self._consumers.append(consumer)
        await consumer.start()
        return consumer

    def _counter(self, what: str, total: int) -> Callable[[int], None]:
        done = 0
        title = f"{self._title}: {what}"
        self._on_progress(title, 0, total)

        def count(records: int) -> None:
            nonlocal done
            done += records
            self._on_progress(title, done, total)

        return count
