"""The Kafka in memory of `tests/simulation` says what real Kafka says, asked the same through the same methods."""

import asyncio
import random
from typing import Any

from aiokafka.errors import ProducerFenced
from aiokafka.structs import TopicPartition

from airy_identify.kafka import KafkaClients, close_client, quieten_lost_futures
from airy_identify.ops.local_broker import LocalKafka
from tests.kafka.engine import DEADLINE_S, POLL_S, Installation
from tests.simulation.broker import Broker
from tests.simulation.clients import SimulatedClients, Wire
from tests.simulation.clock import Clock, VirtualLoop


class Transcript:
    """Everything that a broker answers, to two producers with one transactional id and to two readers."""

    def __init__(self, clients: KafkaClients, topic: str) -> None:
        self.told: list[tuple[str, object]] = []
        self._partition = TopicPartition(topic, 0)
        self._former, self._owner = (
            clients.transactional_producer(f"{topic}-id", request_timeout_ms=10_000) for _ in range(2)
        )
        self._readers = {
            name: clients.consumer(read_committed=name == "committed") for name in ("committed", "uncommitted")
        }

    async def write(self) -> None:
        """Commit, leave a transaction open, be fenced, try to commit it, and commit again as the new owner."""
        quieten_lost_futures(asyncio.get_running_loop())
        try:
            for client in (self._former, *self._readers.values()):
                await client.start()
            await self._former.begin_transaction()
            await self._send(self._former, b"a", b"b")
            await self._former.commit_transaction()
            await self._ends("after a commit", marked=True)
            await self._former.begin_transaction()
            await self._send(self._former, b"c", b"d")
            await self._ends("in a transaction", marked=False)
            await self._owner.start()
            await self._ends("after the fence", marked=True)
            await self._commit_late()
            await self._owner.begin_transaction()
            await self._send(self._owner, b"e")
            await self._owner.commit_transaction()
            await self._ends("at last", marked=True)
            for name in self._readers:
                await self._read(name)
        finally:
            for client in (self._former, self._owner, *self._readers.values()):
                await close_client(client)

    async def _send(self, producer: Any, *values: bytes) -> None:
        for value in values:
            batch = producer.create_batch()
            batch.append(key=b"key", value=value, timestamp=None, headers=[("name", value)])
            sent = await producer.send_batch(batch, self._partition.topic, partition=0)
            self.told.append((f"{value.decode()} is at", (await sent).offset))

    async def _commit_late(self) -> None:
        try:
            await self._former.commit_transaction()
        except ProducerFenced as error:
            self.told.append(("the former owner", type(error).__name__))

    async def _end(self, name: str) -> int:
        return int((await self._readers[name].end_offsets([self._partition]))[self._partition])

    async def _ends(self, when: str, *, marked: bool) -> None:
        """Ask where the partition ends, once the end of the last transaction is marked in it."""
        async with asyncio.timeout(DEADLINE_S):
            while marked and await self._end("committed") < await self._end("uncommitted"):  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
        self.told += [(f"{name} end {when}", await self._end(name)) for name in self._readers]

    async def _read(self, name: str) -> None:
        reader = self._readers[name]
        reader.assign([self._partition])
        reader.seek(self._partition, 0)
        end = await self._end(name)
        while await reader.position(self._partition) < end:
            for records in (await reader.getmany(timeout_ms=100, max_records=3)).values():
                self.told += [(name, (each.offset, each.key, each.value, tuple(each.headers))) for each in records]
        self.told.append((f"{name} position", await reader.position(self._partition)))


async def transcript(clients: KafkaClients, topic: str) -> list[tuple[str, object]]:
    """Return everything that was answered."""
    made = Transcript(clients, topic)
    await made.write()
    return made.told


def simulated(topic: str) -> list[tuple[str, object]]:
    clock = Clock()
    loop = VirtualLoop(clock)
    broker = Broker({topic: 1}, clock, random.Random(1))
    wire = Wire(random.Random(1), lambda: None)
    try:
        return loop.run_until_complete(
            transcript(SimulatedClients(bootstrap_servers="", broker=broker, wire=wire), topic)
        )
    finally:
        loop.close()


async def test_the_kafka_in_memory_answers_as_real_kafka_does(broker: LocalKafka) -> None:
    installation = await Installation.make(broker.bootstrap_servers)
    topic = installation.names["source"]

    real = await transcript(installation.clients, topic)
    assert ("the former owner", "ProducerFenced") in real
    assert await asyncio.to_thread(simulated, topic) == real
