"""One changelog on a broker in memory, a store, a clock and a loop: for cases that the dice bring about too seldom."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from aiokafka.structs import TopicPartition

from airy_identify.stream.opening import LogRange, RestoreRules, restore
from airy_identify.stream.store import Store
from airy_identify.topics import IDENTITY
from tests.simulation.agents import NAMES, PARTITIONS
from tests.simulation.broker import Broker
from tests.simulation.clients import SimulatedConsumer, Wire
from tests.simulation.clock import Clock, VirtualLoop
from tests.simulation.workers import MEMORY

CHANGELOG = TopicPartition(NAMES.changelog(IDENTITY), 0)
DAY_S = 24 * 60 * 60
MAX_AGE_MS = 3 * DAY_S * 1000
RECORDS = 40


class World:
    """A broker with a changelog, a clock and a loop."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.loop = VirtualLoop(self.clock)
        self.broker = Broker(PARTITIONS, self.clock, random.Random(1))
        self.store = Store(directory / "store", MEMORY)
        self.steps = 0

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        with self.clock.everywhere():
            return self.loop.run_until_complete(work)

    def finish(self) -> None:
        """End what still waits on the loop, and the loop."""
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.run(asyncio.wait(left, timeout=60.0))
        self.loop.close()

    async def restore(self, on_step: Callable[[int], None] = lambda _: None, known_at_ms: int | None = None) -> None:
        def step() -> None:
            self.steps += 1
            on_step(self.steps)

        consumer: Any = SimulatedConsumer(self.broker, Wire(random.Random(1), step), read_committed=True)
        log = LogRange(CHANGELOG, 0, self.broker.logs[CHANGELOG].end)
        rules = RestoreRules(max_age_ms=MAX_AGE_MS, now_ms=self.clock.now_ms)
        await restore(consumer, self.store, log, rules, on_fetch=lambda _: None, known_at_ms=known_at_ms)

    def write(self) -> None:
        for number in range(RECORDS):
            self.broker.append(CHANGELOG, b"key %d" % number, b"row")

    def synced_at_ms(self) -> int:
        state = self.store.open()
        self.store.close()
        assert state is not None
        return state.synced_at_ms
