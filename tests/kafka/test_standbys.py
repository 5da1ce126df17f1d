"""Standbys on real Kafka: what they follow, who takes over, and that only the tail is read then."""

import contextlib
import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.kafka import KafkaClients, close_client
from airy_identify.ops.admin import connect
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.ops.topics import create_topics
from airy_identify.settings import Settings
from airy_identify.stream.follower import FollowerState
from airy_identify.stream.store import Store, StoreMemory
from airy_identify.topics import CONVERSATION, IDENTITY, TopicDeclaration
from airy_identify.wire.rows import PROGRESS_KEY
from tests.kafka.engine import PARTITIONS, Installation, Running, counts, fold, one_to, running
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.replay import everything_is_applied
from tests.kafka.service import poll, produce, put_channels, shard_count
from tests.kafka.test_shards import HeldClients, key_of

KEYS = [b"key-%d" % number for number in range(40)]
TENANTS = 24
PEOPLE = 12


@pytest.fixture
async def installation(broker: LocalKafka) -> Installation:
    return await Installation.make(broker.bootstrap_servers)


def sources(installation: Installation) -> list[tuple[str, int]]:
    return [(installation.names["source"], partition) for partition in range(PARTITIONS)]


async def until_followed(installation: Installation, run: Running) -> None:
    """Wait until every standby has read its changelog up to the last record that is committed."""
    ends: dict[int, int] = {}
    for record in await installation.dump("first-changelog"):
        ends[record.partition] = record.offset + 1

    def followed() -> bool:
        standbys = run.shards.standbys
        return len(standbys) == PARTITIONS and all(
            each.state is FollowerState.FOLLOWING and (each.position or 0) >= ends.get(source.partition, 0)
            for source, each in standbys.items()
        )

    await run.until(followed)


def stored(data_dir: Path, installation: Installation, partition: int) -> dict[bytes, bytes]:
    store = Store(data_dir / f"{installation.prefix}app" / f"first-{partition}", StoreMemory())
    store.open()
    rows = {key: row for key, row in store.rows() if key != PROGRESS_KEY}
    store.close()
    return rows


async def test_a_standby_takes_over_from_the_tail_and_the_owner_becomes_the_standby(
    installation: Installation, tmp_path: Path
) -> None:
    mine, others = tmp_path / "one", tmp_path / "other"
    everything = sources(installation)
    await installation.produce(*((key, b"x") for key in KEYS))
    async with running(installation, mine) as one, running(installation, others) as other:
        other.shards.assign([], everything)
        await installation.dump_until("middle", lambda found: len(found) == len(KEYS))
        await until_followed(installation, other)
        assert other.shards.problems() == []
        before = other.metrics.restored["first"]

        one.shards.assign([], everything)
        other.shards.assign(everything, [])
        await other.until_running()
        assert other.metrics.restored["first"] - before <= PARTITIONS  # the row that shows it is the same changelog
        assert {state for state, _ in other.metrics.standbys.values()} == {"stopped"}

        await installation.produce(*((key, b"y") for key in KEYS))
        middle = await installation.dump_until("middle", lambda found: len(found) == 2 * len(KEYS))
        assert counts(middle) == one_to(dict.fromkeys(KEYS, 2))  # type: ignore[arg-type]
        await until_followed(installation, one)
    changelog = fold(await installation.dump("first-changelog"))
    for data_dir in (mine, others):
        rows = [stored(data_dir, installation, partition) for partition in range(PARTITIONS)]
        assert {key: row for table in rows for key, row in table.items()} == changelog


async def test_what_is_not_committed_is_not_followed(installation: Installation, tmp_path: Path) -> None:
    clients = HeldClients(bootstrap_servers=installation.clients.bootstrap_servers, held="first-0")
    key = key_of(0)
    async with (
        running(installation, tmp_path / "one", clients=clients) as one,
        running(installation, tmp_path / "other") as other,
    ):
        other.shards.assign([], sources(installation))
        await one.until_running()
        await installation.produce((key, b"x"))
        await one.until(clients.held_up.is_set)
        changelog = await installation.dump("first-changelog", read_committed=False)
        assert key in {record.key for record in changelog}, "the row is on the broker, and nothing is decided yet"
        await until_followed(installation, other)
        standby = other.shards.standbys[TopicPartition(installation.names["source"], 0)]
        assert standby._store.get(key) is None
        clients.let_go.set()
        await other.until(lambda: standby._store.get(key) == b"1")


@contextlib.asynccontextmanager
async def eager_cleaner(broker: LocalKafka) -> AsyncIterator[None]:
    """Let the broker look every 100 ms for what can be compacted, and not every 15 s."""
    async with connect(broker.bootstrap_servers) as admin:
        described = await admin.describe_cluster()
        node = str(described["brokers"][0]["node_id"])
        await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, node, {"log.cleaner.backoff.ms": "100"})])
        try:
            yield
        finally:
            await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, node, {})])


async def test_it_follows_a_changelog_that_is_compacted_meanwhile(broker: LocalKafka, tmp_path: Path) -> None:
    made = Installation(KafkaClients(bootstrap_servers=broker.bootstrap_servers), f"engine-{uuid.uuid4().hex[:8]}-")
    eager = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.0",
        "delete.retention.ms": "0",
    }
    await made.create_topics(made.names["source"], made.names["middle"])
    changelog = TopicDeclaration(name=made.names["first-changelog"], partitions=PARTITIONS, config=eager)
    await create_topics(broker.bootstrap_servers, [changelog], replication_factor=1)
    key, rounds = key_of(0), 0
    async with (
        eager_cleaner(broker),
        running(made, tmp_path / "one"),
        running(made, tmp_path / "other") as other,
    ):
        other.shards.assign([], sources(made))

        async def compacted() -> list[ConsumerRecord] | None:
            nonlocal rounds
            rounds += 1
            await made.produce((key, b"x"))
            await made.dump_until("middle", lambda found: len(found) == rounds)
            rows = [record for record in await made.dump("first-changelog") if record.key == key]
            return rows if len(rows) < rounds else None

        left = await poll(compacted, "the broker compacts nothing")
        assert left[-1].value == b"%d" % rounds
        await until_followed(made, other)
        standby = other.shards.standbys[TopicPartition(made.names["source"], 0)]
        assert standby._store.get(key) == b"%d" % rounds
        other.shards.assign(sources(made), [])
        await other.until_running()
        await made.produce((key, b"x"))
        middle = await made.dump_until("middle", lambda found: len(found) == rounds + 1)
    assert counts(middle) == {key: list(range(1, rounds + 2))}


# Whole workers.


def gauge(metrics: str, name: str, **labels: str) -> dict[tuple[str, str], float]:
    """Return a metric of table partitions by agent and partition."""
    found = {}
    for line in metrics.splitlines():
        if line.startswith(f"{name}{{"):
            told = dict(re.findall(r'(\w+)="([^"]*)"', line))
            if labels.items() <= told.items():
                found[told["agent"], told["partition"]] = float(line.rsplit(" ", 1)[1])
    return found


def opened(worker: ServiceProcess) -> dict[str, list[int]]:
    """Return how many rows each table was restored with, each time that its shard opened in this worker."""
    found: dict[str, list[int]] = {}
    for line in worker.log_file.read_text().splitlines():
        match = re.search(r"shard (\S+) open: fence \d+ ms, restored (\d+) rows", line)
        if match and match[1].rsplit("-", 1)[0] in {IDENTITY, CONVERSATION}:
            found.setdefault(match[1], []).append(int(match[2]))
    return found


async def every_table_has_standbys(settings: Settings, *workers: ServiceProcess) -> bool:
    """Whether each table runs in one of these workers, and another follows it to its end."""
    pages = [(await worker.status("/metrics"))[1] for worker in workers]
    tables = {(agent, str(number)) for agent in (IDENTITY, CONVERSATION) for number in range(settings.partitions)}
    owned = [part for page in pages for part in gauge(page, "airy_identify_shard_state", state="running")]
    followed = [
        part for page in pages for part, rows in gauge(page, "airy_identify_standby_behind_rows").items() if not rows
    ]
    return sorted(part for part in owned if part in tables) == sorted(tables) and sorted(followed) == sorted(tables)


async def fill(settings: Settings, channels: dict[str, str], *, round_number: int) -> None:
    requests = [
        {
            "request_id": f"{round_number}-{tenant}-{person}",
            "channel_id": channel,
            "tenant": tenant,
            "external_id": f"person-{person}",
            "email": f"p{person}@example.com",
        }
        for channel, tenant in channels.items()
        for person in range(PEOPLE)
    ]
    values: list[tuple[bytes | None, bytes | None, Any]] = [(None, json.dumps(each).encode(), ()) for each in requests]
    await produce(settings, settings.topic_names.requests, *values)


async def test_after_a_kill_the_standbys_read_the_tail_only(
    make_installation: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    channels = {str(uuid.uuid4()): f"tenant-{number}" for number in range(TENANTS)}
    settings = await make_installation(standby_replicas=1, channel_tenants=channels, requests_tenants=None)
    await put_channels(settings, channels)
    workers = [ServiceProcess("worker", settings, tmp_path, name=f"w{number}") for number in range(3)]

    async def settled(*up: ServiceProcess) -> None:
        await poll(lambda: everything_is_applied(settings), "the log is not applied to its end")
        await poll(lambda: every_table_has_standbys(settings, *up), "not every table has its standby")

    async with ended_afterwards(*workers):
        for worker in workers:
            await worker.start().until_ready()
        await fill(settings, channels, round_number=1)
        await settled(*workers)
        for victim in range(2):
            up = workers[victim + 1 :]
            before = [opened(worker) for worker in up]
            moved = set(gauge((await workers[victim].status("/metrics"))[1], "airy_identify_table_offset")) & {
                (agent, str(number)) for agent in (IDENTITY, CONVERSATION) for number in range(settings.partitions)
            }
            assert len(moved) >= settings.partitions * 2 // 3 - 1
            workers[victim].kill()

            async def taken_over(up: list[ServiceProcess] = up, before: list[Any] = before) -> dict[str, int] | None:
                new = {}
                for worker, had in zip(up, before, strict=True):
                    for shard, rows in opened(worker).items():
                        for restored in rows[len(had.get(shard, [])) :]:
                            assert shard not in new, "it was opened twice"
                            new[shard] = restored
                return new if len(new) >= len(moved) else None  # noqa: B023 - used up in this round

            new = await poll(taken_over, "nobody takes over")
            assert set(new) == {f"{agent}-{partition}" for agent, partition in moved}, "nothing else moves"
            assert max(new.values()) <= 1, "the row that shows it is the same changelog, and no other"
            await fill(settings, channels, round_number=victim + 2)
            if len(up) > 1:
                await settled(*up)
        await poll(lambda: everything_is_applied(settings), "the log is not applied to its end")

        workers[0].wipe()
        await workers[0].start().until_ready()
        await settled(workers[0], workers[2])
        assert await workers[2].terminate() == 0
        await workers[0].until_ready()
        await fill(settings, channels, round_number=4)
        await poll(lambda: everything_is_applied(settings), "the log is not applied to its end")


async def test_a_member_of_an_earlier_release_gets_its_share(
    make_installation: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    """It knows Kafka's own round robin only, tells the leader nothing, and may be the leader."""
    settings = await make_installation(standby_replicas=1)
    names = settings.topic_names
    logs = [names.requests, names.airy_messages, names.airy_contacts]
    logs += [names.identity_commands, names.conversation_commands]
    total = shard_count(settings)
    earlier = AIOKafkaConsumer(
        *logs,
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group_id=names.app_id,
        session_timeout_ms=6000,
        heartbeat_interval_ms=500,
        enable_auto_commit=False,
    )
    worker = ServiceProcess("worker", settings, tmp_path)

    def ours() -> int:
        told = re.findall(r"generation \d+: (\d+) partitions are ours", worker.log_file.read_text())
        return int(told[-1]) if told else 0

    async def shared_out() -> bool:
        return 0 < len(earlier.assignment()) == total - ours() < total

    async with ended_afterwards(worker):
        try:
            await earlier.start()
            worker.start()
            await poll(shared_out, "the earlier release leads, and the worker gets its share")
            await close_client(earlier)
            await poll(_true_when(lambda: ours() == total), "the worker gets everything")
            earlier = AIOKafkaConsumer(
                *logs,
                bootstrap_servers=settings.kafka_bootstrap_servers,
                group_id=names.app_id,
                session_timeout_ms=6000,
                heartbeat_interval_ms=500,
                enable_auto_commit=False,
            )
            await earlier.start()
            await poll(shared_out, "the worker leads, and the earlier release gets its share")
        finally:
            await close_client(earlier)


def _true_when(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return condition()

    return ask
