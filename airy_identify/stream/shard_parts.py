"""What a shard is made of: what it reads and writes, the settings it works by, and what it shares with the others."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from aiokafka.errors import IllegalOperation, KafkaError
from aiokafka.structs import ConsumerRecord

from airy_identify.kafka import KafkaClients
from airy_identify.stream.batch import Answer, Batch, Delivery
from airy_identify.stream.errors import StreamError
from airy_identify.stream.generations import Generations
from airy_identify.stream.metrics import ShardMetrics
from airy_identify.stream.skips import Skipping
from airy_identify.stream.store import StoreMemory
from airy_identify.topics import of_generation
from airy_identify.wire.generations import FIRST


class ShardState(StrEnum):
    """Where a shard is in its life; shown by readiness and metrics."""

    OPENING = "opening"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    CLOSED = "closed"
    STOPPED = "stopped"


EXPECTED_ERRORS = (KafkaError, IllegalOperation, TimeoutError, asyncio.CancelledError, StreamError, OSError)
"""What brokers, networks and rebalances bring with them: worth a line in the log, without a traceback."""


class Occupant(Protocol):
    """Who has the directory of a table partition: a shard, or a follower."""

    wanted: bool

    @property
    def position(self) -> int | None:
        """The changelog offset that its store has next; null while it is new or not open."""

    def end(self) -> None:
        """Ask it to end."""

    async def ended(self) -> None:
        """Return when it has ended and the directory is free."""


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

    @property
    def has_table(self) -> bool:
        """Whether there is more in the changelog than progress: it takes time to restore."""
        return self.needs_whole_log


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSettings:
    """What all shards of a process have in common. Times are in seconds; `store_max_age_ms` in milliseconds."""

    app_id: str
    data_dir: Path
    session_timeout_s: float
    store_max_age_ms: int
    partition_counts: Mapping[str, int]
    group_instance_id: str | None = None
    standby_replicas: int = 0

    def directory(self, agent: str, partition: int, generation: int = FIRST) -> Path:
        """Return where the store of a table partition is, in a generation of its changelog."""
        return self.data_dir / self.app_id / of_generation(f"{agent}-{partition}", generation)


def wall_clock_ms() -> int:
    """Return the time of day."""
    return int(time.time() * 1000)


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
    """What the shards of a process share. `skipping` is null where no record can be passed over.

    `generations` is null where all tables are of the first.
    `cluster_id` is null when the brokers do not tell it; `clock_ms` is the time of day. `turns` is held by the shard that
    turns to a new table: one at a time, since opening shards hold each other up.
    """

    settings: ShardSettings
    clients: KafkaClients
    memory: StoreMemory
    metrics: ShardMetrics
    deliver: Deliver
    keep_answer: KeepAnswer
    skipping: Skipping | None = None
    generations: Generations | None = None
    cluster_id: str | None = None
    clock_ms: Callable[[], int] = field(default=wall_clock_ms)
    turns: asyncio.Lock = field(default_factory=asyncio.Lock)
