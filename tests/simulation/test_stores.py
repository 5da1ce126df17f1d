"""When a store may be trusted: cases that the dice bring about too seldom."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.structs import TopicPartition

from airy_identify.stream.errors import RestoreTooOldError
from airy_identify.stream.shard_parts import ShardState
from airy_identify.topics import IDENTITY
from tests.simulation.agents import NAMES, Stamps, make_agents
from tests.simulation.one_changelog import DAY_S, RECORDS, World
from tests.simulation.oracle import Oracle
from tests.simulation.workers import Surroundings, Worker, watched


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()
    made.finish()


def test_a_restore_that_is_cut_short_leaves_the_store_as_old_as_it_was(world: World) -> None:
    world.write()
    world.run(world.restore())
    world.store.close()
    synced_at_ms = world.synced_at_ms()
    world.write()
    world.clock.put_forward_s += 2 * DAY_S

    def crash(step: int) -> None:
        if step == before + 6:
            raise OSError("the process dies")

    before = world.steps
    with pytest.raises(OSError, match="dies"):
        world.run(world.restore(crash))
    rows = len(list(world.store.rows()))
    world.store.close()
    assert world.synced_at_ms() == synced_at_ms
    world.run(world.restore())
    assert rows <= len(list(world.store.rows())) == RECORDS
    world.store.close()
    assert world.synced_at_ms() >= synced_at_ms + 2 * DAY_S * 1000


def test_a_store_is_as_old_as_what_was_known_of_the_end(world: World) -> None:
    asked_at_ms = world.clock.now_ms()
    world.write()
    world.clock.put_forward_s += 2 * DAY_S  # between the question and the restore
    world.run(world.restore(known_at_ms=asked_at_ms))
    world.store.close()
    assert world.synced_at_ms() == asked_at_ms


def test_a_restore_that_a_week_interrupts_is_given_up(world: World) -> None:
    def suspend(step: int) -> None:
        if step == 4:
            world.clock.put_forward_s += 7 * DAY_S

    world.write()
    with pytest.raises(RestoreTooOldError):
        world.run(world.restore(suspend))
    world.store.close()
    world.run(world.restore())
    assert len(list(world.store.rows())) == RECORDS


def test_an_idle_shard_makes_sure_that_it_is_still_the_owner_before_it_calls_its_store_up_to_date(
    world: World, tmp_path: Path
) -> None:
    agents = make_agents(Stamps(random.Random(1), world.clock.now_ms))
    oracle = Oracle(world.broker, agents)
    deaths: list[str] = []
    surroundings = Surroundings(world.broker, oracle, agents, lambda: None, deaths.append)
    worker = Worker("worker", tmp_path / "worker", surroundings, random.Random(1))

    async def lose_the_shard_while_idle() -> None:
        worker.start()
        worker.assign(1, [(NAMES.identity_commands, 0)])
        await asyncio.sleep(10.0)
        assert worker.metrics.reopened == []
        world.broker.fence(f"{NAMES.app_id}-{IDENTITY}-0")
        await asyncio.sleep(120.0)
        assert worker.metrics.reopened == [(IDENTITY, "fenced")]
        await worker.stop()

    with watched(oracle):
        world.run(lose_the_shard_while_idle())
    assert deaths == []


def test_a_log_that_begins_with_aborted_records_is_begun_with(world: World, tmp_path: Path) -> None:
    agents = make_agents(Stamps(random.Random(1), world.clock.now_ms))
    oracle = Oracle(world.broker, agents)
    surroundings = Surroundings(world.broker, oracle, agents, lambda: None, pytest.fail)
    worker = Worker("worker", tmp_path / "worker", surroundings, random.Random(1))
    log = TopicPartition(NAMES.identity_commands, 0)

    async def stand_idle_twice() -> None:
        epoch = world.broker.fence("somebody's")
        assert epoch is not None
        world.broker.append_in_transaction("somebody's", epoch, log, [(b"key", b"aborted", ())])
        world.broker.fence("somebody's")
        for generation in (1, 2):
            worker.start()
            worker.assign(generation, [log])
            await asyncio.sleep(10.0)
            assert [(shard.state, shard.reason) for shard in worker.metrics.all] == [(ShardState.RUNNING, None)]
            assert world.broker.group_offsets[log].offset == 2, "lag displays show that nothing is left to read"
            await worker.stop()

    with watched(oracle):
        world.run(stand_idle_twice())


@pytest.mark.parametrize("steps", [1, 4, 8, 12, 16, 33])
def test_a_shard_ends_while_it_opens_and_the_broker_is_gone(world: World, tmp_path: Path, steps: int) -> None:
    agents = make_agents(Stamps(random.Random(1), world.clock.now_ms))
    oracle = Oracle(world.broker, agents)
    taken = 0

    def lose_the_broker() -> None:
        nonlocal taken
        taken += 1
        if taken == steps:
            worker.wire.connected.clear()

    surroundings = Surroundings(world.broker, oracle, agents, lose_the_broker, lambda _: None)
    worker = Worker("worker", tmp_path / "worker", surroundings, random.Random(1))

    async def stop_without_a_broker() -> None:
        world.write()
        worker.start()
        worker.assign(1, [(NAMES.identity_commands, 0)])
        await asyncio.sleep(20.0)
        await asyncio.wait_for(worker.stop(), 60.0)

    world.run(stop_without_a_broker())
    assert taken >= steps
