"""A follower: keeps a store up to date with a changelog partition that somebody else writes.

At every moment the store is what a restore would have left (I3), so a shard that opens there reads the rest only. What
does not fit is found by the checks of a restore, and is left alone as there. A follower writes to its directory only.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.kafka import close_client
from airy_identify.stream.errors import (
    ReaderError,
    RestoreTooOldError,
    ShardClosedError,
    ShardNotWantedError,
    StoreInUseError,
)
from airy_identify.stream.opening import LogRange, RestoreRules, age_ms, restore
from airy_identify.stream.shard_parts import EXPECTED_ERRORS, Occupant, ShardEnvironment
from airy_identify.stream.store import Store

logger = logging.getLogger(__name__)

POLL_MS = 500
RECORDS_MAX = 500
"""How many rows a follower reads and writes at a time: few, since running shards of this process wait meanwhile."""
RETRY_S = 2.0
SYNC_EVERY_S = 60.0
"""How often a follower asks for the end of the changelog, to note when its store was up to date."""

Result = TypeVar("Result")


class FollowerState(StrEnum):
    """Where a follower is in its life."""

    OPENING = "opening"
    FOLLOWING = "following"
    WAITING = "waiting"
    CLOSED = "closed"
    STOPPED = "stopped"


class Follower:
    """Follows one changelog partition into one directory, until it is told to `end`.

    Args:
        changelog: What is followed.
        directory: The store. Nobody else of this process may have it open; `start` awaits who has it now.
        environment: Where clients, memory, clock, cluster id and the age that a store may have come from.
        whole: The changelog has to reach back to its beginning.
        on_change: Told whenever `state` or `behind` is another: how many offsets the store is behind, null while it
            does not follow.
    """

    def __init__(
        self,
        changelog: TopicPartition,
        directory: Path,
        environment: ShardEnvironment,
        *,
        whole: bool = True,
        on_change: Callable[["Follower"], None] = lambda _: None,
    ) -> None:
        self.changelog = changelog
        self.name = f"{changelog.topic}:{changelog.partition}"
        self.wanted = True
        self.state = FollowerState.OPENING
        self.reason: str | None = None
        self.behind: int | None = None
        self.task: asyncio.Task[None] | None = None
        self._environment = environment
        self._rules = RestoreRules(
            max_age_ms=environment.settings.store_max_age_ms,
            now_ms=environment.clock_ms,
            cluster_id=environment.cluster_id,
            whole=whole,
            records_max=RECORDS_MAX,
        )
        self._on_change = on_change
        self._store = Store(directory, environment.memory)
        self._told_to_end = asyncio.Event()
        self._free = asyncio.Event()
        self._consumer: AIOKafkaConsumer | None = None

    @property
    def position(self) -> int | None:
        """The changelog offset that the store has next; null while it is new or not open."""
        return self._store.position

    def row(self, key: bytes) -> bytes | None:
        """Return a row of the store, or null. Only while it follows."""
        return self._store.get(key)

    def start(
        self,
        *,
        previous: Occupant | None = None,
        on_death: Callable[["Follower", asyncio.Task[None]], None],
    ) -> None:
        """Start the task. It awaits the end of `previous`, which had the directory; `on_death` hears of an end unasked."""
        self.task = asyncio.create_task(self._run(previous), name=f"follower of {self.name}")
        self.task.add_done_callback(lambda task: on_death(self, task) if self.wanted else None)

    def end(self) -> None:
        """Ask the follower to end. It drops what it is waiting for; its store stands at what was written last."""
        self.wanted = False
        self._told_to_end.set()

    async def ended(self) -> None:
        """Return when the directory is free. Clients may still be closing: `task` ends after that."""
        if self.task is not None:
            free = asyncio.ensure_future(self._free.wait())
            try:
                await asyncio.wait({self.task, free}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                free.cancel()

    async def _run(self, previous: Occupant | None) -> None:
        if previous is not None:
            await previous.ended()
        try:
            while self.wanted:
                await self._open_and_follow()
        finally:
            self._store.close()
            self._enter(FollowerState.STOPPED)
            self._free.set()
            await self._close()

    async def _open_and_follow(self) -> None:
        """Open, follow until something goes wrong or until the end, close."""
        try:
            self._enter(FollowerState.OPENING)
            await self._follow()
        except ShardClosedError as error:
            logger.error("the follower of %s is closed: %s", self.name, error)  # noqa: TRY400 - it says where
            await self._close()
            self._enter(FollowerState.CLOSED, str(error))
            await self._told_to_end.wait()
        except StoreInUseError:
            raise
        except (Exception, asyncio.CancelledError) as error:
            # As in a shard: whatever it is, opening again finds out where the store stands.
            if not self.wanted:
                return
            expected = isinstance(error, EXPECTED_ERRORS)
            level = logging.WARNING if expected else logging.ERROR
            logger.log(level, "the follower of %s failed: %r", self.name, error, exc_info=not expected)
            await self._close()
            self._enter(FollowerState.WAITING, repr(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told_to_end.wait(), RETRY_S)

    async def _follow(self) -> None:
        consumer = self._consumer = self._environment.clients.consumer()
        await self._unless_ended(consumer.start())
        known_at_ms = self._rules.now_ms()
        begin = (await self._unless_ended(consumer.beginning_offsets([self.changelog])))[self.changelog]
        end = (await self._unless_ended(consumer.end_offsets([self.changelog])))[self.changelog]
        rules = replace(self._rules, written_to=await self._written_to())

        def fetched(_rows: int) -> None:
            if not self.wanted:
                raise ShardNotWantedError(self.name)
            self._note(max(0, end - (self._store.position or begin)))

        log = LogRange(self.changelog, begin, end)
        rows, position = await restore(consumer, self._store, log, rules, on_fetch=fetched, known_at_ms=known_at_ms)
        logger.info("following %s from offset %d on, after %d rows", self.name, position, rows)
        self._enter(FollowerState.FOLLOWING)
        await self._tail(consumer, position, known_at_ms)

    async def _written_to(self) -> int:
        """Return where the changelog ends for those who read what is not decided yet."""
        reader = self._environment.clients.consumer(read_committed=False)
        try:
            await self._unless_ended(reader.start())
            return int((await self._unless_ended(reader.end_offsets([self.changelog])))[self.changelog])
        finally:
            await close_client(reader)

    async def _tail(self, consumer: AIOKafkaConsumer, position: int, synced_at_ms: int) -> None:
        """Follow from `position` on. Raises `RestoreTooOldError` when so much time passed that tombstones may be gone."""
        consumer.assign([self.changelog])
        consumer.seek(self.changelog, position)
        end: int | None = None
        asked, asked_at_ms = time.monotonic(), synced_at_ms
        while True:
            if end is None and time.monotonic() - asked > SYNC_EVERY_S:
                asked, asked_at_ms = time.monotonic(), self._rules.now_ms()
                end = (await self._unless_ended(consumer.end_offsets([self.changelog])))[self.changelog]
            fetched = consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
            records = (await self._unless_ended(fetched)).get(self.changelog, [])
            # A process that was frozen goes on with a fetch: tombstones that it has not seen may be gone by then.
            if age_ms(synced_at_ms, self._rules) > self._rules.max_age_ms:
                raise RestoreTooOldError(f"{self._store.path}: it was not up to date for too long, and is made anew")
            read_to = await consumer.position(self.changelog)
            if records:
                position = self._write(records, position, synced_at_ms)
            if end is not None and read_to >= end:
                end, synced_at_ms = None, asked_at_ms
                self._store.write((), position=position, now_ms=synced_at_ms)
            stable = consumer.last_stable_offset(self.changelog)
            self._note(0 if stable is None else max(0, stable - read_to))

    def _write(self, records: list[ConsumerRecord], position: int, synced_at_ms: int) -> int:
        """Write rows as a restore does, and return the position behind them."""
        if records[0].offset < position:
            raise ReaderError(
                f"{self.name}: a batch begins at offset {records[0].offset}, expected {position} or later"
            )
        after = int(records[-1].offset) + 1
        self._store.write(((record.key, record.value) for record in records), position=after, now_ms=synced_at_ms)
        return after

    async def _unless_ended(self, work: Awaitable[Result]) -> Result:
        """Return what comes of the work. Raises `ShardNotWantedError` when the follower is told to end before that.

        What was asked of the consumer is dropped with the consumer: no position that counts is lost.
        """
        task, told = asyncio.ensure_future(work), asyncio.ensure_future(self._told_to_end.wait())
        try:
            await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
            if not self.wanted:
                raise ShardNotWantedError(self.name)
            return task.result()
        finally:
            told.cancel()
            if not task.done():
                task.add_done_callback(lambda dropped: dropped.cancelled() or dropped.exception())
                task.cancel()

    async def _close(self) -> None:
        self._store.close()
        if self._consumer is not None:
            await close_client(self._consumer)
        self._consumer = None

    def _note(self, behind: int | None) -> None:
        if behind != self.behind:
            self.behind = behind
            self._on_change(self)

    def _enter(self, state: FollowerState, reason: str | None = None) -> None:
        self.state, self.reason = state, reason
        self.behind = 0 if state is FollowerState.FOLLOWING else None
        self._on_change(self)
