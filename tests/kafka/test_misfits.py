"""Log, changelog and store that do not fit together: noticed, named, and nothing is overwritten; the others go on."""

import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import NewPartitions, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition

from airy_identify.kafka import close_client, partition_for
from airy_identify.ops.admin import connect
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.stream.group import cluster_id
from airy_identify.stream.shard_parts import ShardState
from airy_identify.stream.store import Store, StoreMemory
from airy_identify.wire.rows import PROGRESS_KEY
from tests.kafka.engine import PARTITIONS, Installation, Running, counts, fold, running

KEYS = [b"key-%d" % number for number in range(40)]
HOUR_MS = 60 * 60 * 1000
HURT = partition_for(KEYS[0], PARTITIONS)
"""The partition that something happens to."""
HURT_KEYS = [key for key in KEYS if partition_for(key, PARTITIONS) == HURT]
OTHER_KEYS = [key for key in KEYS if partition_for(key, PARTITIONS) != HURT]


@pytest.fixture
async def installation(broker: LocalKafka) -> Installation:
    return await Installation.make(broker.bootstrap_servers)


async def apply(installation: Installation, data_dir: Path, *, times: int = 1, **options: Any) -> None:
    """Let every key be counted once more, `times` times in all so far, and stop."""
    await installation.produce(*((key, b"x") for key in KEYS))
    async with running(installation, data_dir, **options) as run:
        await installation.dump_until("middle", lambda found: len(found) == times * len(KEYS))
        await run.until(lambda: all(shard.next_offset == shard.read_to for shard in run.shards.shards))


def table(data_dir: Path, installation: Installation) -> tuple[int | None, dict[bytes, bytes]]:
    """Return what the store of the hurt partition holds, and where it stands."""
    store = Store(data_dir / f"{installation.prefix}app" / f"first-{HURT}", StoreMemory())
    state = store.open()
    rows = dict(store.rows())
    store.close()
    return None if state is None else state.position, rows


def stand_at(data_dir: Path, installation: Installation, position: int) -> None:
    """Let the store of the hurt partition stand elsewhere in its changelog."""
    store = Store(data_dir / f"{installation.prefix}app" / f"first-{HURT}", StoreMemory())
    state = store.open()
    assert state is not None
    store.write((), position=position, now_ms=state.synced_at_ms)
    store.close()


async def the_others_go_on(installation: Installation, run: Running, *, middle: int) -> None:
    """Count the keys of the other partitions once more."""
    await installation.produce(*((key, b"on") for key in OTHER_KEYS))
    await installation.dump_until("middle", lambda found: len(found) == middle + len(OTHER_KEYS))
    assert run.deaths == []


@asynccontextmanager
async def closed(
    installation: Installation, data_dir: Path, *words: str, middle: int = len(KEYS), **options: Any
) -> AsyncIterator[Running]:
    """Run; the hurt partition closes with these words, the others go on, and what there was is as it was."""
    before = table(data_dir, installation)
    changelog = [record for record in await installation.dump("first-changelog") if record.partition == HURT]
    async with running(installation, data_dir, **options) as run:
        await run.until(lambda: run.of(HURT).state is ShardState.CLOSED)
        reason = run.of(HURT).reason or ""
        for word in (f":{HURT}: ", "`airy-identify ", *words):
            assert word in reason, reason
        assert any(reason in problem for problem in run.shards.problems())
        await the_others_go_on(installation, run, middle=middle)
        assert run.of(HURT).state is ShardState.CLOSED
        yield run
    assert table(data_dir, installation) == before
    after = [record for record in await installation.dump("first-changelog") if record.partition == HURT]
    assert [(record.offset, record.value) for record in after] == [(each.offset, each.value) for each in changelog]


async def delete_records(installation: Installation, topic: str, before: int) -> None:
    async with connect(installation.clients.bootstrap_servers) as admin:
        await admin.delete_records({TopicPartition(installation.names[topic], HURT): RecordsToDelete(before)})


async def make_anew(installation: Installation, topic: str) -> None:
    async with connect(installation.clients.bootstrap_servers) as admin:
        await admin.delete_topics([installation.names[topic]])
    await installation.create_topics(installation.names[topic])


async def configure(installation: Installation, topic: str, **config: str) -> None:
    settings = {name.replace("_", "."): value for name, value in config.items()}
    async with connect(installation.clients.bootstrap_servers) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, installation.names[topic], settings)])


async def test_a_log_truncated_below_the_progress(installation: Installation, tmp_path: Path) -> None:
    await apply(installation, tmp_path)
    last = len(HURT_KEYS) - 1
    await installation.produce(*((HURT_KEYS[0], b"lost") for _ in range(5)))
    await delete_records(installation, "source", last + 3)

    words = (
        installation.names["source"],
        f"offset {last} was applied last, but the log holds {last + 3} to {last + 5}",
        "`airy-identify verify`",
    )
    async with closed(installation, tmp_path, *words):
        pass


async def test_a_changelog_behind_the_store(installation: Installation, tmp_path: Path) -> None:
    """As after a broker's disk was lost, or an unclean election: the store may be the only copy of the rest."""
    await apply(installation, tmp_path)
    stand_at(tmp_path, installation, 1000)

    words = (installation.names["first-changelog"], "stands at offset 1000, but the changelog ends at", "verify`")
    async with closed(installation, tmp_path, *words):
        pass


async def test_a_changelog_ahead_of_the_store_is_read_on_from_there(installation: Installation, tmp_path: Path) -> None:
    await apply(installation, tmp_path)
    kept = shutil.copytree(tmp_path / f"{installation.prefix}app", tmp_path / "kept")
    await apply(installation, tmp_path, times=2)
    shutil.rmtree(tmp_path / f"{installation.prefix}app")
    shutil.move(kept, tmp_path / f"{installation.prefix}app")

    async with running(installation, tmp_path) as run:
        await run.until_running()
        restored = run.metrics.restored["first"]
        assert len(KEYS) <= restored < 2 * len(KEYS), "the tail, and not everything"
        await installation.produce(*((key, b"x") for key in KEYS))
        middle = await installation.dump_until("middle", lambda found: len(found) == 3 * len(KEYS))
    assert counts(middle) == {key: [1, 2, 3] for key in KEYS}


@pytest.mark.parametrize("wiped", [False, True], ids=["with its store", "and the store is gone too"])
async def test_a_changelog_made_anew(installation: Installation, tmp_path: Path, *, wiped: bool) -> None:
    """Nothing would say that the log was applied: every answer would be given again."""
    await apply(installation, tmp_path)
    async with running(
        installation, tmp_path
    ) as run:  # the group's offsets are written by shards that have nothing to do
        await run.until_running()
        await run.until(lambda: all(shard._transaction is not None and shard._transaction._reported_position >= 0 for shard in run.shards.shards))  # fmt: skip
    await make_anew(installation, "first-changelog")
    if wiped:
        shutil.rmtree(tmp_path / f"{installation.prefix}app")

    async with running(installation, tmp_path) as run:
        await run.until(lambda: all(shard.state is ShardState.CLOSED for shard in run.shards.shards))
        for shard in run.shards.shards:
            assert "made anew" in (shard.reason or "")
            assert "`airy-identify verify`" in (shard.reason or "")
            assert f"{installation.names['source' if wiped else 'first-changelog']}:{shard.source.partition}: " in (
                shard.reason or ""
            )
    assert await installation.dump("first-changelog") == []
    assert len(await installation.dump("middle")) == len(KEYS), "nothing is sent again"


async def test_a_log_that_begins_with_aborted_records_fits(installation: Installation, tmp_path: Path) -> None:
    """The group's offset lies behind them, and nothing was applied: this is no table whose changelog is lost."""
    producer = installation.clients.transactional_producer(f"{installation.prefix}other", request_timeout_ms=10_000)
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(installation.names["source"], value=b"aborted", key=HURT_KEYS[0], partition=HURT)
    await producer.abort_transaction()
    await close_client(producer)
    for _ in range(2):
        async with running(installation, tmp_path) as run:
            await run.until_running()
            await run.until(partial(passed, run, 2))
    await apply(installation, tmp_path)


def passed(run: Running, position: int) -> bool:
    """Whether the group's offset of the hurt partition is written."""
    transaction = run.of(HURT)._transaction
    return transaction is not None and transaction._reported_position == position


async def test_a_changelog_whose_start_is_gone(installation: Installation, tmp_path: Path) -> None:
    await apply(installation, tmp_path)
    await configure(installation, "first-changelog", cleanup_policy="delete")
    await delete_records(installation, "first-changelog", 2)

    words = (installation.names["first-changelog"], "the changelog begins at offset 2", "verify`")
    async with closed(installation, tmp_path, *words):
        pass


async def test_the_store_of_another_changelog(installation: Installation, tmp_path: Path) -> None:
    """As long as ours, so that only its rows tell."""
    await apply(installation, tmp_path)
    store = Store(tmp_path / f"{installation.prefix}app" / f"first-{HURT}", StoreMemory())
    state, progress = store.open(), store.get(PROGRESS_KEY)
    assert state is not None
    assert progress is not None
    store.write([(PROGRESS_KEY, progress + b"\0")], position=state.position, now_ms=state.synced_at_ms)
    store.close()

    place = f"{installation.names['first-changelog']}:{HURT}: the row at offset {state.position - 1} is not what"
    async with closed(installation, tmp_path, place, "verify`"):
        pass


async def test_a_changelog_deleted_under_running_shards(installation: Installation, tmp_path: Path) -> None:
    """They wait and say so, and make nothing anew; when it is there again, and empty, they close."""
    await apply(installation, tmp_path)
    changelog = installation.names["first-changelog"]
    before = table(tmp_path, installation)
    async with running(installation, tmp_path) as run:
        await run.until_running()
        async with connect(installation.clients.bootstrap_servers) as admin:
            await admin.delete_topics([changelog])
        await installation.produce(*((key, b"later") for key in KEYS))

        def all_say(state: ShardState, *words: str) -> bool:
            return all(
                shard.state is state and all(word in (shard.reason or "") for word in words)
                for shard in run.shards.shards
            )

        await run.until(
            lambda: all_say(ShardState.WAITING, f"{changelog} is not there", "`airy-identify topics check`")
        )
        assert sum(f"{changelog} is not there" in problem for problem in run.shards.problems()) == PARTITIONS
        async with connect(installation.clients.bootstrap_servers) as admin:
            assert changelog not in {topic["topic"] for topic in await admin.describe_topics()}, "nobody makes it anew"
        await installation.create_topics(changelog)
        await run.until(lambda: all_say(ShardState.CLOSED, changelog, "`airy-identify rebuild --check`"))
        assert run.deaths == []
    assert table(tmp_path, installation) == before
    assert await installation.dump("first-changelog") == []
    assert len(await installation.dump("middle")) == len(KEYS)


async def test_a_log_deleted_and_created_again(installation: Installation, tmp_path: Path) -> None:
    await apply(installation, tmp_path)
    before = fold(await installation.dump("first-changelog"))
    await make_anew(installation, "source")
    shorter = HURT_KEYS[:1]
    await installation.produce(*((key, b"new") for key in [*shorter, *OTHER_KEYS]))

    async with running(installation, tmp_path) as run:
        await run.until(lambda: all(shard.state is ShardState.CLOSED for shard in run.shards.shards))
        reasons = {shard.source.partition: shard.reason or "" for shard in run.shards.shards}
    assert f"offset {len(HURT_KEYS) - 1} was applied last, but the log holds 0 to 0" in reasons.pop(HURT)
    assert all("is not the one that the table applied last" in reason for reason in reasons.values())
    assert all("`airy-identify verify`" in reason for reason in reasons.values())
    assert fold(await installation.dump("first-changelog")) == before


@pytest.mark.parametrize(("topic", "assigned"), [("source", PARTITIONS + 2), ("first-changelog", PARTITIONS)])
async def test_a_topic_with_more_partitions_than_before(
    installation: Installation, tmp_path: Path, topic: str, assigned: int
) -> None:
    """Keys go elsewhere from then on: all shards close, also those that run when the group is told."""
    await apply(installation, tmp_path)
    grown, source = installation.names[topic], installation.names["source"]
    async with running(installation, tmp_path) as run:
        await run.until_running()
        async with connect(installation.clients.bootstrap_servers) as admin:
            await admin.create_partitions({grown: NewPartitions(PARTITIONS + 2)})
        run.shards.assign((source, partition) for partition in range(assigned))
        await run.until(lambda: all(shard.state is ShardState.CLOSED for shard in run.shards.shards))
        for shard in run.shards.shards:
            assert f"{grown} has {PARTITIONS + 2} partitions, not {PARTITIONS}" in (shard.reason or "")
            assert "`airy-identify topics check`" in (shard.reason or "")
        assert len(run.shards.shards) == assigned
        await installation.produce(*((key, b"elsewhere") for key in KEYS))
        assert run.deaths == []
    assert len(await installation.dump("middle")) == len(KEYS)


async def test_the_directory_of_another_cluster(installation: Installation, tmp_path: Path) -> None:
    ours = await cluster_id(installation.clients)
    assert ours
    await apply(installation, tmp_path, cluster_id="another-cluster")
    before = table(tmp_path, installation)

    async with running(installation, tmp_path, cluster_id=ours) as run:
        await run.until(lambda: all(shard.state is ShardState.CLOSED for shard in run.shards.shards))
        reason = run.of(HURT).reason or ""
        for word in (installation.names["first-changelog"], "another-cluster", ours, "AIRY_IDENTIFY_DATA_DIR"):
            assert word in reason
    assert table(tmp_path, installation) == before
    async with running(installation, tmp_path, cluster_id="another-cluster") as run:
        await run.until_running()


async def test_a_limit_lowered_under_a_row(installation: Installation, tmp_path: Path) -> None:
    await apply(installation, tmp_path)
    await configure(installation, "first-changelog", cleanup_policy="compact", max_message_bytes="200")
    large = next(key for key in (b"k" * 500 + b"%d" % n for n in range(99)) if partition_for(key, PARTITIONS) == HURT)
    async with running(installation, tmp_path) as run:
        await run.until_running()
        await installation.produce((large, b"x"))
        await run.until(lambda: run.of(HURT).state is ShardState.CLOSED)
        reason, offset = run.of(HURT).reason or "", len(HURT_KEYS)
        for word in (
            f"{installation.names['source']}:{HURT}: offsets {offset} to {offset} cannot be applied",
            f"bytes for {installation.names['first-changelog']}",
            "`airy-identify topics check`",
        ):
            assert word in reason, reason
        for key in OTHER_KEYS[:3]:
            await installation.produce((key, b"small"))
            await run.until(lambda: all(shard.next_offset == shard.read_to for shard in run.shards.shards if shard.source.partition != HURT))  # fmt: skip
        assert run.deaths == []
    assert large not in fold(await installation.dump("first-changelog"))
    await configure(installation, "first-changelog", cleanup_policy="compact")
    async with running(installation, tmp_path):
        middle = await installation.dump_until("middle", lambda found: large in counts(found))
    assert counts(middle)[large] == [1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 24 MiB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(directory)], check=True)
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def may_mount() -> bool:
    probe = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False, capture_output=True
    )
    return probe.returncode == 0


@pytest.mark.skipif(not may_mount(), reason="only root may mount; the test below fakes the disk's answer")
async def test_a_full_disk(installation: Installation, small_disk: Path) -> None:
    await apply(installation, small_disk)
    async with running(installation, small_disk) as run:
        await run.until_running()
        filler = small_disk / "filler"
        with filler.open("wb") as file:
            while _write(file, bytes(64 * 1024)):
                pass
        large = [b"%d-" % n + b"k" * 8000 for n in range(400)]
        large = [key for key in large if partition_for(key, PARTITIONS) == HURT]
        await installation.produce(*((key, b"x") for key in large))
        await run.until(lambda: run.of(HURT).state is ShardState.CLOSED)
        the_full_disk_is_named(run, small_disk, installation)
        filler.unlink()
        await installation.produce(*((key, b"x") for key in OTHER_KEYS))
        expected = len(KEYS) + len(OTHER_KEYS)
        await installation.dump_until("middle", lambda found: sum(len(each.key) < 100 for each in found) >= expected)
        assert run.deaths == []
    async with running(installation, small_disk) as again:
        await again.until_running()
        middle = await installation.dump_until("middle", lambda found: len(found) >= expected + len(large))
    assert counts(middle) == (
        {key: [1] for key in large} | {key: [1] for key in HURT_KEYS} | {key: [1, 2] for key in OTHER_KEYS}
    )
    rows = {key: row for key, row in table(small_disk, installation)[1].items() if key != b"progress"}
    assert rows == {key: row for key, row in fold(await installation.dump("first-changelog")).items() if key in rows}
    assert set(large) <= set(rows)


def _write(file: Any, data: bytes) -> bool:
    try:
        file.write(data)
        file.flush()
    except OSError:
        return False
    return True


def the_full_disk_is_named(run: Running, directory: Path, installation: Installation) -> None:
    reason = run.of(HURT).reason or ""
    for word in (str(directory), "No space left", "`df -h "):
        assert word in reason, reason
    assert any(f"{installation.names['source']}:{HURT} is closed" in problem for problem in run.shards.problems())


class FullDisk:
    """A RocksDB whose disk is full, as rocksdict says it."""

    def __init__(self, db: Any) -> None:
        self._db = db

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    def write(self, _batch: object) -> None:
        raise Exception("IO error: No space left on device: While appending to file")  # noqa: TRY002 - as rocksdict


async def test_a_store_that_takes_no_more(installation: Installation, tmp_path: Path) -> None:
    await apply(installation, tmp_path)
    async with running(installation, tmp_path) as run:
        await run.until_running()
        run.of(HURT)._store._db = FullDisk(run.of(HURT)._store._db)  # type: ignore[assignment]
        await installation.produce(*((key, b"x") for key in KEYS))
        await run.until(lambda: run.of(HURT).state is ShardState.CLOSED)
        the_full_disk_is_named(run, tmp_path, installation)
        await installation.dump_until("middle", lambda found: len(found) == 2 * len(KEYS))
        assert run.deaths == []
    await apply(installation, tmp_path, times=3)
    assert counts(await installation.dump("middle")) == {key: [1, 2, 3] for key in KEYS}


@pytest.mark.parametrize("jump_ms", [HOUR_MS, -HOUR_MS], ids=["forward", "back"])
async def test_a_clock_that_jumps_by_an_hour(installation: Installation, tmp_path: Path, jump_ms: int) -> None:
    jumped = 0

    def clock_ms() -> int:
        return int(time.time() * 1000) + jumped

    await installation.produce(*((key, b"x") for key in KEYS))
    async with running(installation, tmp_path, clock_ms=clock_ms) as run:
        await installation.dump_until("middle", lambda found: len(found) == len(KEYS))
        jumped = jump_ms
        await installation.produce(*((key, b"x") for key in KEYS))
        await installation.dump_until("middle", lambda found: len(found) == 2 * len(KEYS))
        assert (run.deaths, run.metrics.reopened) == ([], [])
    jumped = 0
    async with running(installation, tmp_path, clock_ms=clock_ms) as run:
        await run.until_running()
        assert run.metrics.restored["first"] <= PARTITIONS, "a clean restart reads only the tail"
        await installation.produce(*((key, b"x") for key in KEYS))
        middle = await installation.dump_until("middle", lambda found: len(found) == 3 * len(KEYS))
    assert counts(middle) == {key: [1, 2, 3] for key in KEYS}
