"""Who knows which generation is current, and who may write it: cases that the dice bring about too seldom."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import ProducerFenced
from aiokafka.structs import TopicPartition

from airy_identify.stream.generations import rebuild_id
from airy_identify.stream.rebuild_evidence import Evidence
from airy_identify.stream.shard_parts import ShardState
from airy_identify.topics import IDENTITY
from airy_identify.wire.generations import Generation, encode_generation, encode_generation_key
from airy_identify.wire.rows import Progress
from tests.builders import make_generation
from tests.simulation.agents import LOGS, NAMES, Stamps, make_agents
from tests.simulation.builders import Followed
from tests.simulation.clients import SimulatedClients, SimulatedProducer, Wire
from tests.simulation.one_changelog import World
from tests.simulation.oracle import Oracle
from tests.simulation.workers import Surroundings, Worker, watched

PLACE = TopicPartition(NAMES.generations, 0)
LOG = TopicPartition(LOGS[IDENTITY], 0)
SHARD = f"{NAMES.app_id}-{IDENTITY}-0"


def current(**over: object) -> Generation:
    return make_generation(**{"agent": IDENTITY, "partition": 0, "generation": 2} | over)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.finish()


def wire() -> Wire:
    return Wire(random.Random(1), lambda: None)


def write(world: World, transactional_id: str, generation: Generation) -> int:
    """Write a record in a transaction that stays open; return its epoch."""
    epoch = world.broker.fence(transactional_id)
    assert epoch is not None
    record = (encode_generation_key(generation), encode_generation(generation), ())
    world.broker.append_in_transaction(transactional_id, epoch, PLACE, [record])
    return epoch


def test_what_was_committed_behind_a_transaction_that_is_under_way_is_waited_for(world: World) -> None:
    """Another shard's transaction hides ours from readers of committed records: their end is not the end."""

    async def look() -> int:
        followed = Followed(world.broker, wire())
        await followed.generations.reader.wait_until_ready()
        write(world, "another shard", current(partition=1))
        epoch = write(world, SHARD, current())
        world.broker.commit(SHARD, epoch)
        await asyncio.sleep(1.0)
        began_s = world.loop.time()
        await followed.generations.reader.up_to_date()
        assert world.loop.time() > began_s, "the other transaction is waited for, until it is timed out"
        followed.end()
        return followed.generations.book.number(IDENTITY, 0)

    assert world.run(look()) == 2


def test_a_shard_that_has_a_generation_has_cut_off_its_rebuild(world: World, tmp_path: Path) -> None:
    agents = make_agents(Stamps(random.Random(1), world.clock.now_ms))
    around = Surroundings(world.broker, Oracle(world.broker, agents), agents, lambda: None, pytest.fail)

    async def turn() -> None:
        rebuild = SimulatedProducer(world.broker, wire(), rebuild_id(NAMES.app_id, IDENTITY, 0, 2))
        await rebuild.start()
        write_now = write(world, SHARD, current())
        world.broker.commit(SHARD, write_now)
        worker = Worker("worker", tmp_path / "worker", around, random.Random(1))
        worker.start()
        worker.assign(1, [LOG])
        while worker.shards.shards[0].state is not ShardState.RUNNING:  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.1)
        assert worker.shards.shards[0].table_generation == 2
        await rebuild.begin_transaction()
        sent = await rebuild.send_batch(filled(rebuild), NAMES.changelog(IDENTITY, 2), partition=0)
        with pytest.raises(ProducerFenced):
            await sent
        await worker.stop()

    with watched(around.oracle):
        world.run(turn())


def filled(producer: SimulatedProducer) -> Any:
    batch = producer.create_batch()
    batch.append(key=b"late", value=b"row", timestamp=None, headers=())
    return batch


def test_a_table_that_has_not_caught_up_yet_was_answered_further_than_it_stands(world: World, tmp_path: Path) -> None:
    for number in range(20):
        world.broker.append(LOG, b"key", b"%d" % number)
    clients = SimulatedClients(bootstrap_servers="", broker=world.broker, wire=wire())
    evidence = Evidence(clients=clients, group_id=NAMES.app_id, directories=(), scratch=tmp_path)
    stands = Progress(offset=3, fingerprint=bytes(16))

    async def look(generation: Generation | None) -> tuple[int | None, bool]:
        answered, _ = await evidence.answered(stands, generation, LOG, clients.consumer())
        return answered.offset, answered.exact

    assert world.run(look(current(handed_over_at=16))) == (16, True)
    assert world.run(look(current(handed_over_at=2))) == (3, True)
    assert world.run(look(None)) == (3, True)
