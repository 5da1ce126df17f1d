"""What the engine tests share: topics for the counting agents, shards without Faust, dumps, an oracle."""

import asyncio
import collections
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiokafka.structs import ConsumerRecord

from airy_identify.kafka import KafkaClients, close_client, partitions_of, quieten_lost_futures, read_to_end
from airy_identify.ops.topics import create_topics
from airy_identify.stream.app import Process
from airy_identify.stream.batch import Batch, Delivery
from airy_identify.stream.shard import Shard
from airy_identify.stream.shard_parts import (
    Prepare,
    ShardEnvironment,
    ShardSettings,
    ShardSpec,
    ShardState,
    wall_clock_ms,
)
from airy_identify.stream.shards import ShardSet
from airy_identify.stream.store import StoreMemory
from airy_identify.topics import TopicDeclaration
from airy_identify.wire.rows import PROGRESS_KEY, decode_progress

PARTITIONS = 4
DEADLINE_S = 60.0
POLL_S = 0.01
SESSION_TIMEOUT_S = 6.0


def topics(prefix: str) -> dict[str, str]:
    """Return the names of a test's topics: a source, what the agent sends, and the table's changelog."""
    return {
        "source": f"{prefix}source",
        "middle": f"{prefix}middle",
        "first-changelog": f"{prefix}app-first-changelog",
    }


def counting(target: str, *, poison: bytes | None) -> Process:
    """Return an agent that counts each key, so that every loss, repetition or disorder shows."""

    def process(record: ConsumerRecord, batch: Batch) -> None:
        if poison is not None and record.value == poison:
            raise ValueError("this record cannot be processed")
        count = int(batch.get(record.key) or 0) + 1
        batch.put(record.key, b"%d" % count)
        batch.send(target, record.key, b"%s|%d" % (record.value, count))

    return process


@dataclass
class RecordingMetrics:
    """Remembers what shards tell."""

    reopened: list[tuple[str, str]] = field(default_factory=list)
    restored: collections.Counter[str] = field(default_factory=collections.Counter)
    paused: dict[tuple[str, int], int] = field(default_factory=dict)
    behind: dict[tuple[str, int], int] = field(default_factory=dict)
    standbys: dict[tuple[str, int], tuple[str, int | None]] = field(default_factory=dict)
    stands: dict[tuple[str, int], tuple[int, bytes]] = field(default_factory=dict)
    generations: dict[tuple[str, int], int] = field(default_factory=dict)

    def shard_entered(self, agent: str, partition: int, state: str) -> None:
        pass

    def shard_paused(self, agent: str, partition: int, offset: int) -> None:
        self.paused[agent, partition] = offset

    def table_stands(self, agent: str, partition: int, offset: int, digest: bytes) -> None:
        self.stands[agent, partition] = (offset, digest)

    def table_generation(self, agent: str, partition: int, generation: int) -> None:
        self.generations[agent, partition] = generation

    def shard_behind(self, agent: str, partition: int, records: int) -> None:
        self.behind[agent, partition] = records

    def restore_behind(self, agent: str, partition: int, rows: int) -> None:
        pass

    def standby_entered(self, agent: str, partition: int, state: str, behind: int | None) -> None:
        self.standbys[agent, partition] = (state, behind)

    def shard_reopened(self, agent: str, cause: str) -> None:
        self.reopened.append((agent, cause))

    def rows_restored(self, agent: str, rows: int) -> None:
        self.restored[agent] += rows

    def watch_store_memory(self, used: Callable[[], int]) -> None:
        pass

    def batch_committed(self, agent: str, records: int, seconds: float) -> None:
        pass


@dataclass(frozen=True)
class Installation:
    """Topics of one test: records go into `source`, counted ones come out of `middle`."""

    clients: KafkaClients
    prefix: str

    @property
    def names(self) -> dict[str, str]:
        return topics(self.prefix)

    @classmethod
    async def make(cls, bootstrap_servers: str) -> "Installation":
        made = cls(KafkaClients(bootstrap_servers=bootstrap_servers), f"engine-{uuid.uuid4().hex[:8]}-")
        await made.create_topics(*made.names.values())
        return made

    async def create_topics(self, *names: str) -> None:
        declarations = [
            TopicDeclaration(
                name=name,
                partitions=PARTITIONS,
                config={"cleanup.policy": "compact" if name.endswith("changelog") else "delete"},
            )
            for name in names
        ]
        await create_topics(self.clients.bootstrap_servers, declarations, replication_factor=1)

    async def produce(self, *records: tuple[bytes, bytes], topic: str = "source", partition: int | None = None) -> None:
        producer = self.clients.idempotent_producer(request_timeout_ms=10_000)
        await producer.start()
        try:
            futures = [
                await producer.send(self.names[topic], key=key, value=value, partition=partition)
                for key, value in records
            ]
            await asyncio.gather(*futures)
        finally:
            await close_client(producer)

    async def dump(self, topic: str, *, read_committed: bool = True) -> list[ConsumerRecord]:
        consumer = self.clients.consumer(read_committed=read_committed)
        await consumer.start()
        try:
            partitions = await partitions_of(consumer, self.names[topic])
            return [record async for records in read_to_end(consumer, partitions) for record in records]
        finally:
            await close_client(consumer)

    async def dump_until(self, topic: str, enough: Callable[[list[ConsumerRecord]], bool]) -> list[ConsumerRecord]:
        """Read the topic until it is `enough`; fail after a minute."""
        async with asyncio.timeout(DEADLINE_S):
            while not enough(records := await self.dump(topic)):  # noqa: ASYNC110 - nothing tells when
                await asyncio.sleep(POLL_S)
        return records

    def spec(self, *, needs_whole_log: bool = True, prepare: Prepare | None = None) -> ShardSpec:
        return ShardSpec(
            agent="first",
            log=self.names["source"],
            changelog=self.names["first-changelog"],
            needs_whole_log=needs_whole_log,
            prepare=prepare,
        )

    def settings(self, data_dir: Path, *, store_max_age_ms: int = 24 * 60 * 60 * 1000) -> ShardSettings:
        return ShardSettings(
            app_id=f"{self.prefix}app",
            data_dir=data_dir,
            session_timeout_s=SESSION_TIMEOUT_S,
            store_max_age_ms=store_max_age_ms,
            partition_counts=dict.fromkeys(self.names.values(), PARTITIONS),
        )


@dataclass
class Running:
    """Shards that run in this process, without Faust."""

    shards: ShardSet
    metrics: RecordingMetrics
    deaths: list[str]

    def of(self, partition: int) -> Shard:
        (shard,) = [shard for shard in self.shards.shards if shard.source.partition == partition]
        return shard

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition; fail when a shard dies, or after a minute."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                assert self.deaths == []
                await asyncio.sleep(POLL_S)

    async def until_running(self) -> None:
        await self.until(lambda: all(shard.state is ShardState.RUNNING for shard in self.shards.shards))


@asynccontextmanager
async def running(
    installation: Installation,
    data_dir: Path,
    *,
    clients: KafkaClients | None = None,
    poison: bytes | None = None,
    store_max_age_ms: int = 24 * 60 * 60 * 1000,
    needs_whole_log: bool = True,
    cluster_id: str | None = None,
    clock_ms: Callable[[], int] = wall_clock_ms,
    prepare: Prepare | None = None,
) -> AsyncIterator[Running]:
    """Run the counting agent on all partitions of `source`; stop in good order at the end."""
    quieten_lost_futures(asyncio.get_running_loop())
    process = counting(installation.names["middle"], poison=poison)
    metrics = RecordingMetrics()
    deaths: list[str] = []

    def deliver(agent: str, delivery: Delivery) -> None:
        assert agent == "first"
        with delivery as batch:
            for record in batch:
                process(record, batch)

    environment = ShardEnvironment(
        settings=installation.settings(data_dir, store_max_age_ms=store_max_age_ms),
        clients=clients or installation.clients,
        memory=StoreMemory(),
        metrics=metrics,
        deliver=deliver,
        keep_answer=lambda *_: pytest.fail("the counting agent answers nobody"),
        cluster_id=cluster_id,
        clock_ms=clock_ms,
    )
    shards = ShardSet(
        [installation.spec(needs_whole_log=needs_whole_log, prepare=prepare)], environment, on_death=deaths.append
    )
    shards.assign((installation.names["source"], partition) for partition in range(PARTITIONS))
    try:
        yield Running(shards, metrics, deaths)
    finally:
        await shards.stop()


def counts(records: list[ConsumerRecord]) -> dict[bytes, list[int]]:
    """Return the counts that each key came with, in the order of its partition."""
    found: dict[bytes, list[int]] = collections.defaultdict(list)
    for record in records:
        found[record.key].append(int(record.value.split(b"|")[1]))
    return dict(found)


def one_to(sent: "collections.Counter[bytes]") -> dict[bytes, list[int]]:
    """Return what `counts` has to be when each record was applied exactly once, in order."""
    return {key: list(range(1, count + 1)) for key, count in sent.items()}


def fold(changelog: list[ConsumerRecord]) -> dict[bytes, bytes]:
    """Return the table that a changelog describes, without progress rows."""
    rows: dict[bytes, bytes] = {}
    for record in changelog:
        if record.value is None:
            rows.pop(record.key, None)
        elif record.key != PROGRESS_KEY:
            rows[record.key] = record.value
    return rows


def progress_offsets(changelog: list[ConsumerRecord]) -> dict[int, list[int]]:
    """Return the progress of each partition, in the order it was written."""
    offsets: dict[int, list[int]] = collections.defaultdict(list)
    for record in changelog:
        if record.key == PROGRESS_KEY:
            offsets[record.partition].append(decode_progress(record.value).offset)
    return dict(offsets)
