"""The watchdog: ends the process when it looks alive and is not.

Faust's heartbeats come from a thread of their own and would keep the partitions of a process that does nothing.
"""

import asyncio
import faulthandler
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from airy_identify.kafka import KafkaClients, close_client
from airy_identify.stream.group import unassigned_partitions
from airy_identify.stream.shard import Shard
from airy_identify.stream.shard_parts import ShardState
from airy_identify.stream.shards import ShardSet

logger = logging.getLogger(__name__)

BEAT_EVERY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogLimits:
    """How long each symptom may last, in seconds."""

    check_every_s: float = 15.0
    loop_stall_s: float = 30.0
    batch_s: float = 60.0
    standstill_s: float = 60.0
    unassigned_s: float = 60.0


class LoopGuard:
    """A thread that notices when the event loop stands still, and says where."""

    def __init__(self, limit_s: float, on_stall: Callable[[str], None]) -> None:
        self._limit_s = limit_s
        self._on_stall = on_stall
        self._beat = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop guard", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self.beat()
        self._thread.start()

    def beat(self) -> None:
        """Say that the loop is alive; called from the loop."""
        self._beat = time.monotonic()

    async def keep_beating(self) -> None:
        """Beat until cancelled: as a task of its own, so that whatever else waits says nothing of the loop."""
        while True:
            self.beat()
            await asyncio.sleep(BEAT_EVERY_S)

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def _watch(self) -> None:
        pause_s = min(1.0, self._limit_s / 4)
        looked = time.monotonic()
        while not self._stopped.wait(pause_s):
            now, before, looked = time.monotonic(), looked, time.monotonic()
            if now - before > pause_s + self._limit_s / 2:
                self.beat()  # the whole process stood still, frozen or suspended: the loop deserves another chance
            elif now - self._beat > self._limit_s:
                faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
                self._on_stall(f"the event loop has stood still for {self._limit_s:.0f} s")
                return


@dataclass(slots=True)
class Since:
    """Remembers since when each symptom lasts."""

    _seen: dict[str, float] = field(default_factory=dict)

    def lasting(self, symptoms: Iterable[str], limit_s: float, now_s: float) -> list[str]:
        """Return the symptoms that have lasted longer than the limit; those not named any more are forgotten."""
        self._seen = {symptom: self._seen.get(symptom, now_s) for symptom in symptoms}
        return [symptom for symptom, since_s in self._seen.items() if now_s - since_s > limit_s]


def stuck_in_agent(shards: Iterable[Shard], limit_s: float, now_s: float) -> list[str]:
    """Name the shards whose batch an agent has not finished: it died, or it hangs."""
    return [
        f"the agent {shard.spec.agent} has not finished a batch of {shard.source.topic}:{shard.source.partition}"
        for shard in shards
        if shard.processing_since is not None and now_s - shard.processing_since > limit_s
    ]


class Watchdog:
    """Looks every few seconds. `fatal` is called once with what is wrong; it ends the process."""

    def __init__(
        self,
        *,
        clients: KafkaClients,
        shards: ShardSet,
        group_id: str,
        limits: WatchdogLimits,
        fatal: Callable[[str], None],
    ) -> None:
        self._clients = clients
        self._shards = shards
        self._group_id = group_id
        self._limits = limits
        self._fatal = fatal
        self._standstill = Since()
        self._unassigned = Since()
        self._guard = LoopGuard(limits.loop_stall_s, fatal)

    async def run(self) -> None:
        """Watch until cancelled."""
        self._guard.start()
        beating = asyncio.ensure_future(self._guard.keep_beating())
        try:
            while True:
                await asyncio.sleep(self._limits.check_every_s)
                await self._check()
        finally:
            beating.cancel()
            self._guard.stop()

    async def _check(self) -> None:
        now_s = time.monotonic()
        wrong = stuck_in_agent(self._shards.shards, self._limits.batch_s, now_s)
        try:
            wrong += self._standstill.lasting(await self._standing(), self._limits.standstill_s, now_s)
            missing = await unassigned_partitions(self._clients, self._group_id, self._shards.logs)
            symptoms = [f"{log}:{number} is assigned to nobody" for log, number in missing]
            wrong += self._unassigned.lasting(symptoms, self._limits.unassigned_s, now_s)
        except (KafkaError, OSError, TimeoutError) as error:
            logger.debug("the watchdog could not look: %r", error)
        for symptom in wrong[:1]:
            self._fatal(symptom)

    async def _standing(self) -> list[str]:
        """Name the shards that say they run, with the offset they stand at, while their log goes on."""
        running = {shard.source: shard for shard in self._shards.shards if shard.state is ShardState.RUNNING}
        stands = {source: shard.next_offset for source, shard in running.items()}
        consumer = self._clients.consumer(retry_backoff_ms=100)
        try:
            await consumer.start()
            ends = await self._ends(consumer, list(running))
        finally:
            await close_client(consumer)
        return [
            f"{source.topic}:{source.partition} has stood at offset {stands[source]} while its log goes on"
            for source, shard in running.items()
            if shard.read_to < ends.get(source, 0) and shard.next_offset == stands[source]
        ]

    @staticmethod
    async def _ends(consumer: AIOKafkaConsumer, sources: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict(await consumer.end_offsets(sources)) if sources else {}
