"""The shard in this process, without Faust: fencing, restoring, checking, pausing, working side by side."""

import asyncio
import collections
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, ProducerFenced
from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.kafka import KafkaClients, close_client, partition_for, quieten_lost_futures
from airy_identify.ops.admin import connect
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.stream.shard_parts import ShardState
from airy_identify.stream.store import Store, StoreMemory
from airy_identify.stream.transaction import BatchTransaction
from airy_identify.wire.rows import PROGRESS_KEY
from tests.kafka.any_names import ODD_NAME, produce_any_names
from tests.kafka.engine import PARTITIONS, Installation, counts, fold, one_to, progress_offsets, running

KEYS = [b"key-%d" % number for number in range(40)]


def key_of(partition: int) -> bytes:
    return next(key for key in KEYS if partition_for(key, PARTITIONS) == partition)


def store_rows(data_dir: Path, installation: Installation) -> dict[bytes, bytes]:
    """Return the rows of all local stores, without progress rows. The shards have to be stopped."""
    rows: dict[bytes, bytes] = {}
    for partition in range(PARTITIONS):
        store = Store(data_dir / f"{installation.prefix}app" / f"first-{partition}", StoreMemory())
        store.open()
        rows |= {key: row for key, row in store.rows() if key != PROGRESS_KEY}
        store.close()
    return rows


def at_least(count: int) -> Callable[[list[ConsumerRecord]], bool]:
    return lambda found: len(found) >= count


@pytest.fixture
async def installation(broker: LocalKafka) -> Installation:
    return await Installation.make(broker.bootstrap_servers)


async def test_records_are_applied_once_and_in_order_over_restarts_and_wiped_directories(
    installation: Installation, tmp_path: Path
) -> None:
    sent: collections.Counter[bytes] = collections.Counter()
    for round_number in range(3):
        records = [(key, b"%d-%d" % (round_number, number)) for number, key in enumerate(KEYS * 5)]
        sent.update(key for key, _ in records)
        await installation.produce(*records)
        async with running(installation, tmp_path) as run:
            middle = await installation.dump_until("middle", at_least(sum(sent.values())))
            assert run.deaths == []
        assert counts(middle) == one_to(sent)
        changelog = await installation.dump("first-changelog")
        assert store_rows(tmp_path, installation) == fold(changelog)
        for offsets in progress_offsets(changelog).values():
            assert offsets == sorted(set(offsets))
        if round_number == 1:
            shutil.rmtree(tmp_path / f"{installation.prefix}app")


async def test_a_store_is_restored_from_its_tail_only(installation: Installation, tmp_path: Path) -> None:
    await installation.produce(*((key, b"x") for key in KEYS))
    async with running(installation, tmp_path) as first:
        await installation.dump_until("middle", lambda found: len(found) == len(KEYS))
        await first.until_running()
    async with running(installation, tmp_path) as second:
        await second.until_running()
        assert second.metrics.restored["first"] <= PARTITIONS  # the row that shows it is the same changelog
    for partition in range(PARTITIONS):
        store = Store(tmp_path / f"{installation.prefix}app" / f"first-{partition}", StoreMemory())
        state = store.open()
        assert state is not None
        store.write((), position=state.position, now_ms=state.synced_at_ms - 61_000)
        store.close()
    async with running(installation, tmp_path, store_max_age_ms=60_000) as outdated:
        await outdated.until_running()
        assert outdated.metrics.restored["first"] >= len(KEYS)


async def test_a_shard_that_stays_runs_on_when_the_group_decides_again(
    installation: Installation, tmp_path: Path
) -> None:
    async with running(installation, tmp_path) as run:
        await run.until_running()
        before = {partition: run.of(partition) for partition in range(PARTITIONS)}
        run.shards.assign((installation.names["source"], partition) for partition in range(PARTITIONS))
        await installation.produce(*((key, b"x") for key in KEYS))
        await installation.dump_until("middle", lambda found: len(found) == len(KEYS))
        await run.until(lambda: not any(shard._counts_to_check or shard._count_check for shard in before.values()))
        assert {partition: run.of(partition) for partition in range(PARTITIONS)} == before
        assert run.metrics.reopened == []


async def test_a_former_owner_cannot_write_any_more(installation: Installation) -> None:
    source = TopicPartition(installation.names["source"], 0)
    changelog = TopicPartition(installation.names["first-changelog"], 0)
    producers = [installation.clients.transactional_producer("the-shard", request_timeout_ms=5_000) for _ in range(2)]
    former, owner = (
        BatchTransaction(
            producer, source=source, changelog=changelog, group_id="group", one_by_one=lambda _topic: False
        )
        for producer in producers
    )
    quieten_lost_futures(asyncio.get_running_loop())
    await producers[0].start()
    await former.report_position(1, applied=True)
    await producers[1].start()
    try:
        with pytest.raises(ProducerFenced):
            await former.report_position(2, applied=True)
        await owner.report_position(3, applied=True)
    finally:
        for producer in producers:
            await close_client(producer)


async def test_a_poisoned_record_pauses_its_partition_and_says_where(
    installation: Installation, tmp_path: Path
) -> None:
    poisoned = partition_for(KEYS[0], PARTITIONS)
    await installation.produce((KEYS[0], b"good"), (KEYS[0], b"poison"), (KEYS[0], b"later"))
    others = [key for key in KEYS if partition_for(key, PARTITIONS) != poisoned]
    async with running(installation, tmp_path, poison=b"poison") as run:
        await run.until(lambda: run.of(poisoned).state is ShardState.PAUSED)
        await installation.produce(*((key, b"after") for key in others))
        middle = await installation.dump_until("middle", lambda found: len(found) >= len(others))

        assert {record.key for record in middle} == set(others), "the whole batch is rolled back, its good records too"
        reason = run.of(poisoned).reason or ""
        assert f"{installation.names['source']}:{poisoned}:1" in reason
        assert "this record cannot be processed" in reason
        assert any(reason in problem for problem in run.shards.problems())
        assert run.deaths == []
    async with running(installation, tmp_path) as mended:
        await mended.until_running()
        middle = await installation.dump_until("middle", lambda found: len(found) >= len(others) + 3)
    assert counts(middle)[KEYS[0]] == [1, 2, 3]


async def test_a_header_name_that_is_no_text_stops_nothing(installation: Installation, tmp_path: Path) -> None:
    key = next(key for key in KEYS if partition_for(key, PARTITIONS) == 1)
    servers, log = installation.clients.bootstrap_servers, installation.names["source"]
    await produce_any_names(
        servers, log, (key, b"first", ()), (key, b"odd", [(ODD_NAME, b"")]), (key, b"last", ()), partition=1
    )
    async with running(installation, tmp_path) as run:
        await run.until_running()
        middle = await installation.dump_until("middle", lambda found: len(found) >= 3)
        assert run.deaths == []
    assert counts(middle) == {key: [1, 2, 3]}


async def test_a_log_whose_start_is_gone_is_not_begun_with(installation: Installation, tmp_path: Path) -> None:
    await installation.produce((KEYS[0], b"lost"))
    partition = TopicPartition(installation.names["source"], partition_for(KEYS[0], PARTITIONS))
    async with connect(installation.clients.bootstrap_servers) as admin:
        await admin.delete_records({partition: _records_to_delete(1)})

    async with running(installation, tmp_path) as run:
        await run.until(lambda: run.of(partition.partition).state is ShardState.CLOSED)
        assert "the log begins at offset 1" in (run.of(partition.partition).reason or "")
    async with running(installation, tmp_path / "lenient", needs_whole_log=False) as run:
        await run.until_running()


def _records_to_delete(before_offset: int) -> object:
    from aiokafka.admin import RecordsToDelete  # noqa: PLC0415

    return RecordsToDelete(before_offset=before_offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldClients(KafkaClients):
    """Clients of which one shard's batches wait, all sent, before their commit, until they are let go."""

    held: str = ""
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    held_up: asyncio.Event = field(default_factory=asyncio.Event)

    def transactional_producer(self, transactional_id: str, *, request_timeout_ms: int) -> AIOKafkaProducer:
        producer = KafkaClients.transactional_producer(self, transactional_id, request_timeout_ms=request_timeout_ms)
        if transactional_id.endswith(self.held):
            commit, send_batch = producer.commit_transaction, producer.send_batch
            carries_a_batch = False

            async def note_and_send(*arguments: object, **options: object) -> object:
                nonlocal carries_a_batch
                carries_a_batch = True
                return await send_batch(*arguments, **options)

            async def wait_and_commit() -> None:
                if carries_a_batch:
                    self.held_up.set()
                    await self.let_go.wait()
                await commit()

            producer.commit_transaction, producer.send_batch = wait_and_commit, note_and_send
        return producer


async def test_rows_reach_the_store_only_after_their_commit(installation: Installation, tmp_path: Path) -> None:
    clients = HeldClients(bootstrap_servers=installation.clients.bootstrap_servers, held="first-0")
    key = key_of(0)
    await installation.produce((key, b"x"))
    async with running(installation, tmp_path, clients=clients) as run:
        await run.until(clients.held_up.is_set)
        changelog = await installation.dump("first-changelog", read_committed=False)
        assert key in {record.key for record in changelog}, "the row is on the broker, and nothing is decided yet"
        assert run.of(0)._store.get(key) is None
        clients.let_go.set()
        await run.until(lambda: run.of(0).next_offset == 1)
        assert run.of(0)._store.get(key) == b"1"


async def test_a_slow_transaction_holds_up_no_other_partition(installation: Installation, tmp_path: Path) -> None:
    slow = partition_for(KEYS[0], PARTITIONS)
    clients = HeldClients(bootstrap_servers=installation.clients.bootstrap_servers, held=f"first-{slow}")
    others = [key for key in KEYS if partition_for(key, PARTITIONS) != slow]
    await installation.produce((KEYS[0], b"slow"))
    async with running(installation, tmp_path, clients=clients) as run:
        await run.until(clients.held_up.is_set)
        await installation.produce(*((key, b"x") for key in others))
        middle = await installation.dump_until("middle", lambda found: len(found) >= len(others))
        assert {record.key for record in middle} == set(others)
        clients.let_go.set()
        await installation.dump_until("middle", lambda found: len(found) >= len(others) + 1)


async def test_an_aborted_batch_is_nowhere_and_comes_again(installation: Installation, tmp_path: Path) -> None:
    """A process that dies between publishing and commit: neither rows nor outputs of it exist, on any side."""
    clients = HeldClients(bootstrap_servers=installation.clients.bootstrap_servers, held="first-0")
    key = key_of(0)
    await installation.produce((key, b"once"))
    async with running(installation, tmp_path / "first", clients=clients) as dying:
        await dying.until(clients.held_up.is_set)
        async with running(installation, tmp_path / "second") as successor:
            await successor.until_running()
            middle = await installation.dump_until("middle", bool)
            clients.let_go.set()
            await dying.until(lambda: bool(dying.metrics.reopened))
        assert counts(middle) == {key: [1]}
        assert ("first", "fenced") in dying.metrics.reopened
    assert counts(await installation.dump("middle")) == {key: [1]}
    assert counts(await installation.dump("middle", read_committed=False)) == {key: [1, 1]}
    stale = Store(tmp_path / "first" / f"{installation.prefix}app" / "first-0", StoreMemory())
    stale.open()
    assert stale.get(key) in {None, b"1"}
    stale.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusingClients(KafkaClients):
    """Clients of which one shard's first send is refused, as by a producer that was fenced between two sends."""

    refused: str = ""
    refusals: list[str] = field(default_factory=list)

    def transactional_producer(self, transactional_id: str, *, request_timeout_ms: int) -> AIOKafkaProducer:
        producer = KafkaClients.transactional_producer(self, transactional_id, request_timeout_ms=request_timeout_ms)
        send_batch = producer.send_batch

        async def refuse_once(*arguments: object, **options: object) -> object:
            if transactional_id.endswith(self.refused) and not self.refusals:
                self.refusals.append(transactional_id)
                raise IllegalOperation("Can't send messages while not in transaction")
            return await send_batch(*arguments, **options)

        producer.send_batch = refuse_once
        return producer


async def test_a_shard_that_is_fenced_between_two_sends_opens_again(installation: Installation, tmp_path: Path) -> None:
    clients = RefusingClients(bootstrap_servers=installation.clients.bootstrap_servers, refused="first-0")
    key = key_of(0)
    await installation.produce((key, b"once"))
    async with running(installation, tmp_path, clients=clients) as run:
        await run.until(lambda: run.of(0).next_offset == 1)
        assert run.metrics.reopened == [("first", "IllegalOperation")]
    assert clients.refusals
    assert counts(await installation.dump("middle")) == {key: [1]}
