"""Proving a table: RocksDB, its changelog and the fold of its log hold the same rows, at one position of the log.

How the three come to stand at one position while traffic goes on: the changelog is read to its end, and its progress
row says how far the log is applied; the log is folded up to there. Then the worker's directory is read beside it,
which gives rows of one moment with their changelog position and progress row; changelog and log are read on to these.
RocksDB is always scanned, never asked for a digest that it kept: a row changed on disk would not show in that.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from rocksdict import Rdict

from airy_identify.kafka import KafkaClients, close_client
from airy_identify.stream.app import Process
from airy_identify.stream.comparison import Comparison, Difference, Rows, compare
from airy_identify.stream.folding import ChangelogFold, FoldStoppedError, LogFold
from airy_identify.stream.skips import SkipBook, read_skips
from airy_identify.stream.store import Store, StoreMemory, open_beside, read_state, rows_of
from airy_identify.topics import of_generation
from airy_identify.wire.generations import FIRST
from airy_identify.wire.rows import PROGRESS_KEY, Progress, decode_progress

ROCKSDB, CHANGELOG, LOG = "rocksdb", "changelog", "log"
SIDES = (ROCKSDB, CHANGELOG, LOG)

_LOOKS = 2
"""A difference has to be there twice: the cleaner may take a row out of the changelog while it is read."""

_CATCH_UP_S = 5.0
_CATCH_UP_EVERY_S = 0.05

OnProgress = Callable[[str, int, int], None]
"""Told what is read, how many records or offsets are done, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """A table: its name, its log, its changelog of this generation, and the function that makes the one from the other."""

    name: str
    log: str
    changelog: str
    process: Process
    generation: int = FIRST


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was found about one partition of a table.

    `offset` is the log position that everything stands at, null when nothing was applied yet. `digests` and `counts`
    are of the sides that were compared; `notes` say why one was not, `problems` what is wrong besides rows.
    """

    table: str
    partition: int
    offset: int | None
    digests: Mapping[str, bytes]
    counts: Mapping[str, int]
    differing: int
    differences: tuple[Difference, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that was compared is the same."""
        return not self.differing and not self.problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """How to verify. `data_dir` is where the worker of this machine keeps its directories."""

    clients: KafkaClients
    app_id: str
    data_dir: Path
    skips_topic: str
    work_dir: Path | None = None
    keep: int = 10

    async def partition(self, table: TableSpec, partition: int, on_progress: OnProgress) -> Verdict:
        """Verify one partition of a table. Raises `KafkaError`, `OSError`."""
        with tempfile.TemporaryDirectory(prefix="airy-identify-verify-", dir=self.work_dir) as directory:
            consumer = self.clients.consumer(fetch_max_wait_ms=20)
            await consumer.start()
            try:
                skips = SkipBook()
                await read_skips(consumer, self.skips_topic, skips)
                look = _Look(
                    how=self,
                    table=table,
                    partition=partition,
                    consumer=consumer,
                    directory=Path(directory),
                    skips=skips,
                    on_progress=on_progress,
                )
                try:
                    for _ in range(_LOOKS - 1):
                        verdict = await look.once()
                        if verdict.ok:
                            return verdict
                    return await look.once()
                finally:
                    look.close()
            finally:
                await close_client(consumer)


class _Look:
    """Reads the sides of one partition and compares them; a second look reads the changelog again, the log on."""

    def __init__(  # noqa: PLR0913 - made in one place only
        self,
        *,
        how: Verification,
        table: TableSpec,
        partition: int,
        consumer: AIOKafkaConsumer,
        directory: Path,
        skips: SkipBook,
        on_progress: OnProgress,
    ) -> None:
        self._how = how
        self._table = table
        self._number = partition
        self._consumer = consumer
        self._directory = directory
        self._skips = skips
        self._on_progress = on_progress
        self._memory = StoreMemory()
        self._log = TopicPartition(table.log, partition)
        self._changelog = TopicPartition(table.changelog, partition)
        self._log_store = self._store("log")
        self._log_fold = LogFold(
            partition=self._log, store=self._log_store, process=table.process, skips=skips, position=-1
        )
        self._looks = 0
        self._problems: list[str] = []
        self._notes: list[str] = []

    def _store(self, name: str) -> Store:
        store = Store(self._directory / name, self._memory)
        store.open()
        return store

    def close(self) -> None:
        self._log_store.close()

    async def once(self) -> Verdict:
        """Look once."""
        self._looks += 1
        self._problems, self._notes = [], []
        changelog_store = self._store(f"changelog-{self._looks}")
        beside: Rdict | None = None
        try:
            fold = ChangelogFold(partition=self._changelog, store=changelog_store)
            await self._read_changelog(fold)
            log = await self._fold_log(_progress(changelog_store))
            beside = await self._read_beside(fold)
            progress = _progress(changelog_store)
            if beside is not None and log:
                log = await self._fold_log(progress)
            self._check_progress(progress, beside, log=log)
            sides: dict[str, Rows] = {} if beside is None else {ROCKSDB: rows_of(beside)}
            sides[CHANGELOG] = changelog_store.rows()
            if log:
                sides[LOG] = self._log_store.rows()
            self._on_progress("comparing", 0, 1)
            found = await asyncio.to_thread(compare, sides, keep=self._how.keep)
            self._check_digest(progress, found)
        finally:
            changelog_store.close()
            if beside is not None:
                beside.close()
        return Verdict(
            table=self._table.name,
            partition=self._number,
            offset=None if progress is None else progress.offset,
            digests=found.digests,
            counts=found.counts,
            differing=found.differing,
            differences=found.differences,
            problems=tuple(self._problems),
            notes=tuple(self._notes),
        )

    async def _read_changelog(self, fold: ChangelogFold) -> None:
        begin, end = await self._range(self._changelog)
        if begin > 0:
            self._problems.append(f"the changelog begins at offset {begin}: the rows before it are gone")
        fold.position = begin
        await fold.go_on(self._consumer, end, self._counter("changelog", end - begin))

    async def _fold_log(self, progress: Progress | None) -> bool:
        """Fold the log up to the progress; return whether that could be done."""
        fold = self._log_fold
        begin, end = await self._range(self._log)
        until = begin if progress is None else progress.offset + 1
        if fold.position < 0:
            if begin > 0:
                self._notes.append(f"the log begins at offset {begin}: it cannot be folded from its start")
                return False
            fold.position = 0
        if until > end:
            self._problems.append(f"offset {until - 1} was applied last, but the log holds {begin} to {end - 1}")
            return False
        try:
            await fold.go_on(self._consumer, until, self._counter("log", until - fold.position))
        except FoldStoppedError as error:
            self._problems.append(f"the fold of the log stops: {error}")
            return False
        return True

    async def _read_beside(self, fold: ChangelogFold) -> Rdict | None:
        """Open the worker's directory and read the changelog on to where it stands; null when it is not here."""
        name = of_generation(f"{self._table.name}-{self._number}", self._table.generation)
        path = self._how.data_dir / self._how.app_id / name
        if not (path / "CURRENT").exists():
            self._notes.append(f"RocksDB is not on this machine ({path})")
            return None
        wanted = _progress(fold.store)
        beside = open_beside(path, self._directory / f"beside-{self._looks}")
        deadline = time.monotonic() + _CATCH_UP_S
        while _behind(beside, wanted):
            if time.monotonic() > deadline:
                stands = _progress(beside)
                self._notes.append(
                    f"RocksDB was not compared: {path} stands at offset {stands.offset if stands else None}, the changelog at "
                    f"{wanted.offset if wanted else None}; no running worker keeps it up to date"
                )
                beside.close()
                return None
            await asyncio.sleep(_CATCH_UP_EVERY_S)
            beside.try_catch_up_with_primary()
        state = read_state(beside)
        position = 0 if state is None else state.position
        await fold.go_on(self._consumer, position, self._counter("changelog", max(0, position - fold.position)))
        return beside

    def _check_progress(self, progress: Progress | None, beside: Rdict | None, *, log: bool) -> None:
        if beside is not None and _progress(beside) != progress:
            self._problems.append(f"progress rows differ: RocksDB {_progress(beside)}, changelog {progress}")
        applied = self._log_fold.fingerprint
        if log and progress is not None and applied is not None and applied != progress.fingerprint:
            self._problems.append(f"the record at offset {progress.offset} of the log is not the one that was applied")

    def _check_digest(self, progress: Progress | None, found: Comparison) -> None:
        kept = None if progress is None else progress.digest
        if kept is not None and not found.differing and kept != found.digests[CHANGELOG]:
            self._problems.append(
                f"the digest in the progress row, {kept.hex()}, is not that of the rows: one was changed on disk and "
                f"written again since; `airy-identify rebuild --table {self._table.name} --partition {self._number}` makes "
                f"the table again from its log"
            )

    async def _range(self, partition: TopicPartition) -> tuple[int, int]:
        begin = await self._consumer.beginning_offsets([partition])
        end = await self._consumer.end_offsets([partition])
        return int(begin[partition]), int(end[partition])

    def _counter(self, what: str, total: int) -> Callable[[int], None]:
        done = 0
        title = f"{self._table.name} {self._number}: {what}"
        self._on_progress(title, 0, total)

        def count(records: int) -> None:
            nonlocal done
            done += records
            self._on_progress(title, done, total)

        return count


def _progress(table: Store | Rdict) -> Progress | None:
    row = table.get(PROGRESS_KEY)
    return None if row is None else decode_progress(row)


def _behind(beside: Rdict, wanted: Progress | None) -> bool:
    stands = _progress(beside)
    return wanted is not None and (stands is None or stands.offset < wanted.offset)
