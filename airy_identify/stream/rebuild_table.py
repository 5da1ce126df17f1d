"""A table that a rebuild makes: rows in a RocksDB of its own and in the next generation of the changelog.

Each batch is one transaction of rows and progress row, as a shard writes it, so the store is never ahead of the
changelog, and either is enough to go on with. Nothing is answered: outputs are dropped where they arise.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.kafka import KafkaClients, close_client
from airy_identify.stream.app import Process
from airy_identify.stream.batch import TableOnlyBatch
from airy_identify.stream.digest import Digest, RowsBefore, digest_of
from airy_identify.stream.errors import RebuildError, StoreInUseError
from airy_identify.stream.folding import FoldStoppedError
from airy_identify.stream.opening import LogRange, RestoreRules, check_fingerprint, check_progress, read_range, restore
from airy_identify.stream.progress import fingerprint
from airy_identify.stream.rebuild_base import Base, Part
from airy_identify.stream.rebuild_evidence import last_before
from airy_identify.stream.skips import SkipBook
from airy_identify.stream.store import Store, StoreMemory
from airy_identify.stream.transaction import BatchTransaction
from airy_identify.topics import of_generation
from airy_identify.wire.rows import PROGRESS_KEY, Progress, decode_progress, encode_progress

BATCH_RECORDS = 1_000

_FENCE_TIMEOUT_S = 30.0
_NO_FINGERPRINT = bytes(16)

Advance = Callable[[int], None]
"""Told how many records more have been read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltTable:
    """A table: its name, its log, the first generation of its changelog, and the function that makes it of its log.

    `process` is null where there are no rows, only the progress of a stateless agent. `compacted`: records may vanish
    from the middle of the log. `base` makes what the table had from before its log begins, null where nothing can.
    """

    name: str
    log: str
    changelog: str
    process: Process | None
    compacted: bool = False
    base: Base | None = None

    def gap(self, begin: int) -> str:
        """Say what cannot be made again of a log that begins at an offset after 0."""
        if self.base is not None:
            return (
                f"{self.log} begins at offset {begin}: what it held before is made again from Airy's messages and the table "
                f"contact-identity; a last message that Airy's topic has lost cannot be"
            )
        return f"{self.log} begins at offset {begin}: what it held before cannot be made again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which partition of which generation is made, where, and under which transactional id."""

    table: RebuiltTable
    partition: int
    generation: int
    directory: Path
    transactional_id: str

    @property
    def log(self) -> TopicPartition:
        """The log's partition."""
        return TopicPartition(self.table.log, self.partition)

    @property
    def changelog(self) -> TopicPartition:
        """The new changelog's partition."""
        return TopicPartition(of_generation(self.table.changelog, self.generation), self.partition)


class NewTable:
    """The table on its way. `progress` says how far its log is applied; `position` is where reading it goes on."""

    def __init__(
        self, place: Place, *, clients: KafkaClients, memory: StoreMemory, rules: RestoreRules, skips: SkipBook
    ) -> None:
        self.place = place
        self.store = Store(place.directory, memory)
        self.progress: Progress | None = None
        self.position = 0
        self.written_to = 0
        self._clients = clients
        self._rules = rules
        self._skips = skips
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None
        self.transaction: BatchTransaction | None = None

    async def open(self, *, request_timeout_ms: int, on_fetch: Callable[[int], None]) -> LogRange:
        """Cut off whoever wrote this generation before, and go on where that ended. Return the range of the log.

        Raises:
            RebuildError: another rebuild of this partition runs on this machine.
            ShardClosedError: what is there was not made of this log.
        """
        try:
            self.store.open()
        except StoreInUseError as error:
            raise RebuildError(f"{self.store.path} is in use: another rebuild of this partition runs here") from error
        self.store.close()  # `restore` opens it
        place = self.place
        self._producer = self._clients.transactional_producer(
            place.transactional_id, request_timeout_ms=request_timeout_ms
        )
        await asyncio.wait_for(self._producer.start(), _FENCE_TIMEOUT_S)
        self.transaction = BatchTransaction(self._producer, source=place.log, changelog=place.changelog, group_id="")
        self._consumer = self._clients.consumer(fetch_max_wait_ms=20)
        await self._consumer.start()
        begin = await self._consumer.beginning_offsets([place.log, place.changelog])
        end = await self._consumer.end_offsets([place.log, place.changelog])
        changelog = LogRange(place.changelog, int(begin[place.changelog]), int(end[place.changelog]))
        _, self.written_to = await restore(self._consumer, self.store, changelog, self._rules, on_fetch=on_fetch)
        log = LogRange(place.log, int(begin[place.log]), int(end[place.log]))
        row = self.store.get(PROGRESS_KEY)
        self.progress = None if row is None else decode_progress(row)
        self.position = check_progress(self.progress, log, needs_whole_log=False)
        if self.progress is not None and self.progress.offset >= log.begin:
            self._consumer.assign([place.log])
            compacted = place.table.compacted
            await check_fingerprint(self._consumer, place.log, self.progress, compacted=compacted, on_fetch=on_fetch)
        return log

    async def close(self) -> None:
        """Close the store and the clients."""
        clients = (client for client in (self._consumer, self._producer) if client is not None)
        await asyncio.gather(*(close_client(client) for client in clients))
        self.store.close()

    async def fold(self, until: int, advance: Advance) -> None:
        """Apply the log up to before `until`. Raises `FoldStoppedError`, `ProducerFenced`, `KafkaError`."""
        assert self._consumer is not None  # noqa: S101 - made by open
        if self.place.table.process is None:
            await self._note(until)
            return
        async for records in read_range(self._consumer, LogRange(self.place.log, self.position, until)):
            for start in range(0, len(records), BATCH_RECORDS):
                part = records[start : start + BATCH_RECORDS]
                await self._apply(part, self.place.table.process)
                advance(len(part))
        self.position = max(self.position, until)

    async def lay(self, parts: AsyncIterator[Part], begin: int, advance: Advance) -> None:
        """Write what the table had before its log begins, and then that everything before `begin` is applied.

        Killed on the way, it is done again from the start, which gives the same rows.
        """
        assert self.transaction is not None  # noqa: S101 - made by open
        async for records, process in parts:
            for start in range(0, len(records), BATCH_RECORDS):
                batch = TableOnlyBatch(records[start : start + BATCH_RECORDS], self.store, {})
                for record in batch:
                    process(record, batch)
                if batch.rows:
                    self.written_to = await self.transaction.write_rows(batch.rows.items())
                    self.store.write(batch.rows.items(), position=self.written_to, now_ms=self._rules.now_ms())
                advance(len(batch))
        digest = await asyncio.to_thread(digest_of, self.store.rows())
        await self._commit({}, Progress(offset=begin - 1, fingerprint=_NO_FINGERPRINT, digest=digest))

    async def _apply(self, records: Sequence[ConsumerRecord], process: Process) -> None:
        table = RowsBefore(self.store)
        batch = TableOnlyBatch(records, table, {})
        for record in records:
            if self._skips.passed(record.topic, record.partition, record.offset) is not None:
                batch.pass_over(record.offset)
        try:
            for record in batch:
                process(record, batch)
        except Exception as error:
            place = f"{self.place.log.topic}:{self.place.partition}:{(batch.current or records[0]).offset}"
            raise FoldStoppedError(f"{place}: the agent raised {error!r}") from error
        digest = table.digest_after(self._digest, batch.rows)
        progress = Progress(offset=records[-1].offset, fingerprint=fingerprint(records[-1]), digest=digest)
        await self._commit(batch.rows, progress)

    async def _commit(self, rows: Mapping[bytes, bytes | None], progress: Progress) -> None:
        assert self.transaction is not None  # noqa: S101 - made by open
        written = {**rows, PROGRESS_KEY: encode_progress(progress)}
        self.written_to = await self.transaction.write_rows(written.items())
        self.store.write(written.items(), position=self.written_to, now_ms=self._rules.now_ms())
        self.progress, self.position = progress, max(self.position, progress.offset + 1)

    async def _note(self, until: int) -> None:
        """Write the progress alone: of the last record before `until` that there is."""
        assert self._consumer is not None  # noqa: S101 - made by open
        if self.progress is not None and self.progress.offset >= until - 1:
            self.position = max(self.position, until)
            return
        begin = int((await self._consumer.beginning_offsets([self.place.log]))[self.place.log])
        last = await last_before(self._consumer, LogRange(self.place.log, begin, until), until)
        if last is not None:
            await self._commit({}, Progress(offset=last.offset, fingerprint=fingerprint(last), digest=Digest().value))
        elif begin > 0:
            await self._commit({}, Progress(offset=begin - 1, fingerprint=_NO_FINGERPRINT, digest=Digest().value))
        self.position = max(self.position, until)

    @property
    def _digest(self) -> bytes:
        kept = None if self.progress is None else self.progress.digest
        return Digest().value if kept is None else kept
