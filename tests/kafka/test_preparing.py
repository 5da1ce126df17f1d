"""A shard whose agent has to learn something first: it waits, says so, and holds up nobody else."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from aiokafka.structs import ConsumerRecord

from airy_identify.kafka import partition_for
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.stream.shard_parts import ShardState
from tests.kafka.engine import PARTITIONS, Installation, counts, running

KEYS = [b"key-%d" % number for number in range(40)]
HELD = 2


class Lessons:
    """Lets the partition `HELD` wait until `learnt` is set; the others have nothing to learn."""

    def __init__(self) -> None:
        self.learnt = asyncio.Event()
        self.ended = 0

    def prepare(self, records: Sequence[ConsumerRecord], waits: Callable[[str], None]) -> Awaitable[None] | None:
        return self._wait(waits) if records[0].partition == HELD else None

    async def _wait(self, waits: Callable[[str], None]) -> None:
        try:
            if not self.learnt.is_set():
                waits("there is something to learn")
            await self.learnt.wait()
        finally:
            self.ended += 1


def held(key: bytes) -> bool:
    return partition_for(key, PARTITIONS) == HELD


async def test_a_shard_that_learns_holds_up_no_other_and_loses_nothing(broker: LocalKafka, tmp_path: Path) -> None:
    installation, lessons = await Installation.make(broker.bootstrap_servers), Lessons()
    others = [key for key in KEYS if not held(key)]
    async with running(installation, tmp_path, prepare=lessons.prepare) as run:
        await run.until_running()
        await installation.produce(*((key, b"1") for key in KEYS))
        await run.until(lambda: run.of(HELD).state is ShardState.WAITING)
        assert run.of(HELD).reason == "there is something to learn"
        assert any("there is something to learn" in problem for problem in run.shards.problems())
        found = counts(await installation.dump_until("middle", lambda records: len(records) >= len(others)))
        assert found == {key: [1] for key in others}

        run.shards.assign((installation.names["source"], partition) for partition in range(PARTITIONS))
        await installation.produce(*((key, b"2") for key in KEYS))
        lessons.learnt.set()

        found = counts(await installation.dump_until("middle", lambda records: len(records) >= 2 * len(KEYS)))
        assert found == {key: [1, 2] for key in KEYS}
        assert run.of(HELD).state is ShardState.RUNNING
        assert run.metrics.reopened == []


async def test_a_shard_that_is_taken_away_stops_learning(broker: LocalKafka, tmp_path: Path) -> None:
    installation, lessons = await Installation.make(broker.bootstrap_servers), Lessons()
    async with running(installation, tmp_path, prepare=lessons.prepare) as run:
        await run.until_running()
        await installation.produce(*((key, b"1") for key in KEYS if held(key)))
        await run.until(lambda: run.of(HELD).state is ShardState.WAITING)
        shard = run.of(HELD)

        run.shards.assign(
            (installation.names["source"], partition) for partition in range(PARTITIONS) if partition != HELD
        )
        await shard.ended()

        assert lessons.ended == 1
        assert shard.state is ShardState.STOPPED
        assert await installation.dump("middle") == []
