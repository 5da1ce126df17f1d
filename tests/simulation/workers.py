"""A simulated worker: the real set of shards and the real agent loop, which can be killed between any two steps."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.stream import control, turning
from airy_identify.stream import follower as follower_module
from airy_identify.stream import shard as shard_module
from airy_identify.stream import shards as shards_module
from airy_identify.stream.app import AgentSpec, Process, _stream_function
from airy_identify.stream.batch import Answer, Batch, Delivery, TableOnlyBatch
from airy_identify.stream.faust_overrides.delivery import Inboxes
from airy_identify.stream.follower import Follower, FollowerState
from airy_identify.stream.shard import Shard
from airy_identify.stream.shard_parts import ShardEnvironment, ShardSettings, ShardSpec, ShardState
from airy_identify.stream.shards import ShardSet
from airy_identify.stream.store import Store, StoreMemory
from airy_identify.topics import DELETE_RETENTION_MS
from tests.kafka.engine import RecordingMetrics
from tests.simulation.agents import LOGS, NAMES, PARTITIONS, SPECS
from tests.simulation.broker import Broker
from tests.simulation.builders import Followed
from tests.simulation.clients import SimulatedClients, Wire
from tests.simulation.oracle import Oracle, published

SESSION_TIMEOUT_S = 6.0
MEMORY = StoreMemory()


class Shards(RecordingMetrics):
    """Counts what shards tell, and knows every shard and standby of a process: also one that another has replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Shard] = []
        self.followers: list[Follower] = []


@dataclass(frozen=True)
class Surroundings:
    """What all workers share."""

    broker: Broker
    oracle: Oracle
    agents: dict[str, Process]
    on_step: Callable[[], None]
    on_death: Callable[[str], None]


class Worker:
    """One worker process. `alive` until it is killed or has stopped; `start` brings it up again."""

    def __init__(self, name: str, directory: Path, surroundings: Surroundings, dice: random.Random) -> None:
        self.name = name
        self.directory = directory
        self.alive = False
        self.metrics = Shards()
        self._generation = 0
        self._wires: list[Wire] = []  # what is on its way when a worker is killed waits for ever
        self._copy = directory.with_name(f"{directory.name}-copy")
        self._around = surroundings
        self._dice = dice
        self._agents: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self.wire = Wire(self._dice, self._around.on_step)
        self._wires.append(self.wire)
        inboxes = Inboxes()
        clients = SimulatedClients(bootstrap_servers="", broker=self._around.broker, wire=self.wire)

        def deliver(agent: str, delivery: Delivery) -> None:
            inboxes.put(LOGS[agent], delivery)

        environment = ShardEnvironment(
            settings=ShardSettings(
                app_id=NAMES.app_id,
                data_dir=self.directory,
                session_timeout_s=SESSION_TIMEOUT_S,
                store_max_age_ms=DELETE_RETENTION_MS // 2,
                partition_counts=PARTITIONS,
            ),
            clients=clients,
            memory=MEMORY,
            metrics=self.metrics,
            deliver=deliver,
            keep_answer=_nobody_refuses,
            cluster_id="the only one",
        )
        self._followed = Followed(self._around.broker, self.wire)
        environment = replace(environment, generations=self._followed.generations)
        self.metrics.all.clear()
        self.metrics.followers.clear()
        self.shards = ShardSet(SPECS, environment, on_death=self._around.on_death)
        for agent, log in LOGS.items():
            spec = AgentSpec(name=agent, log=log, process=self._watched(agent, self._around.agents[agent]))
            stream = self._deliveries(inboxes, log)
            self._agents.append(asyncio.ensure_future(_stream_function(spec)(stream)))
        self.alive = True

    def assign(
        self, generation: int, partitions: Iterable[tuple[str, int]], standby: Iterable[tuple[str, int]] = ()
    ) -> None:
        """Tell it what the group has decided, unless it knows of a later decision already."""
        if self.alive and generation > self._generation:
            self._generation = generation
            self.shards.assign(partitions, standby)

    def kill(self) -> None:
        """End it at once. What was on its way to the broker may have got there or not."""
        self.alive = False
        self.wire.connected.clear()
        self.shards.stopping = True
        occupants: list[Shard | Follower] = [*self.metrics.all, *self.metrics.followers]
        for each in occupants:
            each.wanted = False
            each._store.close()
            if each.task is not None:
                each.task.cancel()
        self._end_agents()

    async def stop(self) -> None:
        """End it in good order, unless it is killed on the way."""
        wire = self.wire
        await self.shards.stop()
        if self.alive and self.wire is wire:
            self.alive = False
            self._end_agents()
            await self._followed.ended()

    def wipe(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)

    def copy(self) -> None:
        """Keep a copy of the data directory of a worker that is down."""
        shutil.rmtree(self._copy, ignore_errors=True)
        if self.directory.exists():
            shutil.copytree(self.directory, self._copy)

    def fall_behind(self) -> None:
        """Put the copy that was kept in the place of the data directory."""
        if self._copy.exists():
            self.wipe()
            shutil.copytree(self._copy, self.directory)

    def stuck(self) -> list[str]:
        """Name shards that wait for an operator."""
        states = (ShardState.PAUSED, ShardState.CLOSED)
        stuck = [f"{shard.name}: {shard.reason}" for shard in self.metrics.all if shard.state in states]
        return stuck + [
            f"{each.name}: {each.reason}" for each in self.metrics.followers if each.state is FollowerState.CLOSED
        ]

    def _end_agents(self) -> None:
        self._followed.end()
        for task in self._agents:
            task.cancel()
        self._agents.clear()

    async def _deliveries(self, inboxes: Inboxes, log: str) -> AsyncIterator[Delivery]:
        while True:
            yield await inboxes.of(log).get()

    def _watched(self, agent: str, process: Process) -> Process:
        def watch(record: ConsumerRecord, batch: Batch) -> None:
            before = {partition: len(sent) for partition, sent in published(batch).items()}
            process(record, batch)
            if isinstance(batch, TableOnlyBatch):
                return
            new = [(partition, sent[before.get(partition, 0) :]) for partition, sent in published(batch).items()]
            self._around.oracle.ran(agent, record, [(partition, sent) for partition, sent in new if sent])

        return watch


def _nobody_refuses(batch: Batch, answer: Answer, why: str, now_ms: int) -> None:  # noqa: ARG001 - called by name
    raise AssertionError(f"an answer to {answer.topic} was taken out: {why}")


@contextmanager
def watched(oracle: Oracle) -> Iterator[None]:
    """Let the oracle look at every store after each write, and every worker know its shards and standbys."""

    class WatchedStore(Store):
        def write(
            self,
            rows: Iterable[tuple[bytes, bytes | None]],
            *,
            position: int,
            now_ms: int,
            cluster_id: str | None = None,
        ) -> None:
            super().write(rows, position=position, now_ms=now_ms, cluster_id=cluster_id)
            oracle.stored(self.path.name, self.rows(), position)

    class KnownShard(Shard):
        def __init__(self, spec: ShardSpec, partition: int, environment: ShardEnvironment) -> None:
            super().__init__(spec, partition, environment)
            assert isinstance(environment.metrics, Shards)
            environment.metrics.all.append(self)

    class KnownFollower(Follower):
        def __init__(
            self,
            changelog: TopicPartition,
            directory: Path,
            environment: ShardEnvironment,
            *,
            whole: bool = True,
            on_change: Callable[[Follower], None] = lambda _: None,
        ) -> None:
            super().__init__(changelog, directory, environment, whole=whole, on_change=on_change)
            assert isinstance(environment.metrics, Shards)
            environment.metrics.followers.append(self)

    with (
        patch.object(shard_module, "Store", WatchedStore),
        patch.object(follower_module, "Store", WatchedStore),
        patch.object(shards_module, "Shard", KnownShard),
        patch.object(shards_module, "Follower", KnownFollower),
        patch.object(turning, "Follower", KnownFollower),
        patch.object(control, "_POLL_MS", 5_000),  # readers wake when something comes; polling would only cost time
        patch.object(control, "_POLL_S", 0.02),
    ):
        yield
