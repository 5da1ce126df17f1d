"""The generation that a shard's table has: which changelog, which directory, and how a shard turns to the next one.

How no answer is given twice: the new table is made of the log up to an offset P, without outputs. The shard goes on with
the old one. When it hands over, it writes in a transaction of its own producer that the new generation is current and
that everything up to offset N is answered. Whoever opens the shard afterwards, this process or another, has fenced it
first, so what the topic of generations says is final; it also fences the rebuild, restores the new table, and applies
P + 1 to N without outputs. The first record that is answered again is N + 1.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from airy_identify.kafka import KafkaClients, close_client
from airy_identify.stream.control import ControlReader
from airy_identify.stream.opening import LogRange, RestoreRules, read_range, restore
from airy_identify.stream.store import Store
from airy_identify.wire.generations import Generation, GenerationBook
from airy_identify.wire.rows import PROGRESS_KEY, decode_progress

logger = logging.getLogger(__name__)

HANDOVER_RECORDS_MAX = 1_000
"""How many records of the log a shard applies without outputs, at most, when it turns to a new table in good order."""

_FENCE_TIMEOUT_S = 30.0
_FOLLOW_EVERY_S = 0.05
_RETRY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Generations:
    """What shards know of generations: the book, who keeps it up to date, and the topic that it is from.

    `skips` keeps the book of skips up to date: records that were passed over are passed over again.
    """

    book: GenerationBook
    topic: str
    reader: ControlReader
    skips: ControlReader

    async def current(self, agent: str, partition: int) -> Generation | None:
        """Return what is current, of all that was committed before this call. Raises `TimeoutError`, `KafkaError`."""
        await self.reader.up_to_date()
        return self.book.current(agent, partition)


def rebuild_id(app_id: str, agent: str, partition: int, generation: int) -> str:
    """Return the transactional id of whoever writes a generation before its shard has it."""
    return f"{app_id}-rebuild-{agent}-{partition}-g{generation}"


async def fence_rebuild(clients: KafkaClients, transactional_id: str, *, request_timeout_ms: int) -> None:
    """Cut off a rebuild: it cannot write any more to the generation that its shard has now."""
    producer = clients.transactional_producer(transactional_id, request_timeout_ms=request_timeout_ms)
    try:
        await asyncio.wait_for(producer.start(), _FENCE_TIMEOUT_S)
    finally:
        await close_client(producer)


class Warming:
    """Brings the directory of a wanted generation up to date beside the running shard, and keeps it so.

    `generation` is what is wanted. When `near` says so, opening the shard with it has almost nothing left to restore.
    """

    def __init__(
        self,
        generation: Generation,
        *,
        clients: KafkaClients,
        store: Store,
        changelog: TopicPartition,
        rules: RestoreRules,
    ) -> None:
        self.generation = generation
        self._clients = clients
        self._store = store
        self._changelog = changelog
        self._rules = rules
        self._warm = False
        self._applied = -1
        self._wanted = True
        self.failed = False
        self._task = asyncio.create_task(self._run(), name=f"warming {store.path.name}")

    def near(self, next_offset: int | None) -> bool:
        """Tell whether the table stands near enough before this offset of the log; null: nothing was applied yet.

        A table without a progress row is never near one that has one: nobody could tell it from one that was lost. Nor is
        one that is ahead: what it has applied was not answered yet.
        """
        if next_offset is None:
            return self._warm and self._applied < 0
        behind = next_offset - 1 - self._applied
        return self._warm and self._applied >= 0 and 0 <= behind <= HANDOVER_RECORDS_MAX

    @property
    def ended(self) -> bool:
        """Whether it has ended, by itself or because it was told to."""
        return self._task.done()

    async def stop(self) -> None:
        """End, and leave the directory to the shard."""
        self._wanted = False
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        consumer = self._clients.consumer()
        try:
            await consumer.start()
            await self._follow(consumer)
        except _StoppedError:
            pass
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the shard itself runs on, and tries again
            self.failed = True
            logger.warning("warming %s failed: %r", self._store.path, error)
        finally:
            self._store.close()
            await close_client(consumer)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        _, position = await restore(
            consumer, self._store, await self._range(consumer, 0), self._rules, on_fetch=self._go_on
        )
        while True:
            row = self._store.get(PROGRESS_KEY)
            self._applied = -1 if row is None else decode_progress(row).offset
            self._warm = True
            await asyncio.sleep(_FOLLOW_EVERY_S)
            now_ms = self._rules.now_ms()
            rest = await self._range(consumer, position)
            async for records in read_range(consumer, rest, on_fetch=self._go_on):
                position = records[-1].offset + 1
                rows = ((record.key, record.value) for record in records)
                self._store.write(rows, position=position, now_ms=now_ms)
            position = max(position, rest.end)
            self._go_on(0)

    async def _range(self, consumer: AIOKafkaConsumer, position: int) -> LogRange:
        begin = await consumer.beginning_offsets([self._changelog])
        end = await consumer.end_offsets([self._changelog])
        return LogRange(self._changelog, max(position, int(begin[self._changelog])), int(end[self._changelog]))

    def _go_on(self, _: int) -> None:
        if not self._wanted:
            raise _StoppedError


class _StoppedError(Exception):
    """The directory is wanted elsewhere."""


MakeWarming = Callable[[Generation], Warming]


class Turning:
    """What a running shard does about a generation that is wanted: it warms it, until it may be turned to."""

    def __init__(self, make: MakeWarming) -> None:
        self._make = make
        self._warming: Warming | None = None
        self._ending: asyncio.Task[None] | None = None
        self._failed_at: float | None = None

    def ready(self, wanted: Generation | None, *, next_offset: int | None) -> bool:
        """Tell whether the wanted generation may be turned to now, its directory closed. It never waits."""
        if self._ending is not None:
            if not self._ending.done():
                return False
            warmed, self._ending, self._warming = self._warming, None, None
            return warmed is not None and not warmed.failed and warmed.generation == wanted
        if self._warming is not None and (self._warming.ended or self._warming.generation != wanted):
            self._failed_at = time.monotonic()
            self._end()
        elif self._warming is not None and self._warming.near(next_offset):
            self._end()
        elif self._warming is None and wanted is not None and self._may_try():
            self._warming = self._make(wanted)
        return False

    async def stop(self) -> None:
        """End the warming, if there is one."""
        if self._warming is not None:
            await self._warming.stop()
        self._warming = self._ending = None

    def _end(self) -> None:
        assert self._warming is not None  # noqa: S101 - asked before
        self._ending = asyncio.create_task(self._warming.stop())

    def _may_try(self) -> bool:
        return self._failed_at is None or time.monotonic() - self._failed_at > _RETRY_S
