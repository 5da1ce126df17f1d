"""Why a worker is not ready, at each step of its start. What outages say is tested on real Kafka."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from airy_identify.stream.agents.replies import DeadLetters
from airy_identify.stream.shard_parts import ShardEnvironment, ShardSettings, ShardSpec
from airy_identify.stream.shards import ShardSet
from airy_identify.stream.skips import SkipBook, Skipping
from airy_identify.stream.store import StoreMemory
from airy_identify.stream.watchdog import WatchdogLimits
from airy_identify.stream.worker import Worker, WorkerParts
from airy_identify.telemetry import WorkerMetrics


class Gate:
    """A Kafka client, a check and a reader of channels in one, each of whose steps waits until the test lets it pass."""

    def __init__(self) -> None:
        self._open: dict[str, asyncio.Event] = {}

    def let(self, *steps: str) -> None:
        for step in steps:
            self._event(step).set()

    def _event(self, step: str) -> asyncio.Event:
        return self._open.setdefault(step, asyncio.Event())

    def step(self, name: str) -> Any:
        async def wait(*_: object) -> list[str]:
            await self._event(name).wait()
            return []

        return wait

    def client(self, name: str) -> Any:
        return SimpleNamespace(start=self.step(name), stop=_nothing, close=_nothing)


async def _nothing() -> None:
    pass


def shard_settings(directory: Path) -> ShardSettings:
    return ShardSettings(
        app_id="app", data_dir=directory, session_timeout_s=6.0, store_max_age_ms=1, partition_counts={}
    )


async def told(problems: Any, expected: list[str]) -> None:
    async with asyncio.timeout(30):
        while problems() != expected:  # noqa: ASYNC110 - nothing tells when it changes
            await asyncio.sleep(0)
    for _ in range(20):  # it stays so
        await asyncio.sleep(0)
    assert problems() == expected


async def test_before_it_has_partitions_a_worker_says_what_it_waits_for(tmp_path: Path) -> None:
    gate = Gate()
    metrics = WorkerMetrics(CollectorRegistry())
    clients = SimpleNamespace(admin=lambda: gate.client("broker"), consumer=lambda **_: gate.client("skips"))
    worker = Worker(
        WorkerParts(
            clients=clients,  # type: ignore[arg-type]
            skipping=Skipping(
                book=SkipBook(),
                topic="skips",
                dead_letters=DeadLetters(topic="letters", partitions=1, metrics=metrics),
            ),
            generations="generations",
            channels=SimpleNamespace(wait_until_ready=gate.step("channels"), run=gate.step("never"), problem=None),
            agents=(),
            shards=(),
            shard_settings=shard_settings(tmp_path),
            limits=WatchdogLimits(),
            metrics=metrics,
            keep_answer=lambda *_: pytest.fail("nobody is answered"),
            check=gate.step("topics"),
        )
    )
    running = asyncio.create_task(worker.run())
    await told(worker.problems, ["waiting for Kafka"])
    gate.let("broker")
    await told(worker.problems, ["checking topics"])
    gate.let("topics")
    await told(worker.problems, ["reading channels"])
    gate.let("channels")
    await told(worker.problems, ["reading skips"])
    worker.stop()
    await running


@asynccontextmanager
async def opening(gate: Gate, directory: Path) -> AsyncIterator[ShardSet]:
    clients = SimpleNamespace(
        transactional_producer=lambda *_, **__: gate.client("fence"), consumer=lambda **_: gate.client("changelog")
    )
    environment = ShardEnvironment(
        settings=shard_settings(directory),
        clients=clients,  # type: ignore[arg-type]
        memory=StoreMemory(),
        metrics=WorkerMetrics(CollectorRegistry()),
        deliver=lambda *_: None,
        keep_answer=lambda *_: pytest.fail("nobody is answered"),
    )
    spec = ShardSpec(agent="agent", log="log", changelog="table-changelog")
    shards = ShardSet([spec], environment, on_death=pytest.fail)
    shards.assign([("log", 3)])
    try:
        yield shards
    finally:
        shards.stopping = True
        for shard in shards.shards:
            shard.end()
            assert shard.task is not None
            shard.task.cancel()
            await asyncio.wait({shard.task})


async def test_a_shard_that_opens_says_how_far_it_is(tmp_path: Path) -> None:
    gate = Gate()
    async with opening(gate, tmp_path) as shards:
        await told(shards.problems, ["log:3 is opening: cutting off earlier owners"])
        gate.let("fence")
        await told(shards.problems, ["log:3 is opening: restoring its table from table-changelog:3"])
