"""A follower's store is a prefix of its changelog, whatever happens, and is made anew when tombstones may be gone."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airy_identify.stream import follower as follower_module
from airy_identify.stream.follower import Follower, FollowerState
from airy_identify.stream.shard_parts import ShardEnvironment, ShardSettings
from tests.kafka.engine import RecordingMetrics
from tests.simulation.agents import NAMES, PARTITIONS
from tests.simulation.broker import is_visible
from tests.simulation.clients import SimulatedClients, Wire
from tests.simulation.one_changelog import CHANGELOG, DAY_S, MAX_AGE_MS, RECORDS, World
from tests.simulation.workers import MEMORY

SEEDS = 10


class Following(World):
    """A follower of that changelog."""

    def __init__(self, directory: Path, seed: int = 1) -> None:
        super().__init__(directory)
        self.dice = random.Random(seed)
        self.wire = Wire(self.dice, self._step)
        self.lose_broker_at: int | None = None
        self.deaths: list[Any] = []
        self.behind: list[int | None] = []

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self.lose_broker_at:
            self.wire.connected.clear()

    def follow(self, previous: Follower | None = None) -> Follower:
        environment = ShardEnvironment(
            settings=ShardSettings(
                app_id=NAMES.app_id,
                data_dir=self.store.path,
                session_timeout_s=6.0,
                store_max_age_ms=MAX_AGE_MS,
                partition_counts=PARTITIONS,
            ),
            clients=SimulatedClients(bootstrap_servers="", broker=self.broker, wire=self.wire),
            memory=MEMORY,
            metrics=RecordingMetrics(),
            deliver=lambda *_: pytest.fail("a follower delivers nothing"),
            keep_answer=lambda *_: pytest.fail("a follower answers nobody"),
            clock_ms=self.clock.now_ms,
        )
        follower = Follower(
            CHANGELOG, self.store.path, environment, on_change=lambda each: self.behind.append(each.behind)
        )
        follower.start(previous=previous, on_death=lambda _, task: self.deaths.append(task))
        return follower

    async def up_to_date(self, follower: Follower) -> None:
        """Wait until it has read everything."""
        async with asyncio.timeout(600.0):
            while follower.state is not FollowerState.FOLLOWING or follower.position != self.end:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def end_of(self, follower: Follower) -> None:
        follower.end()
        await asyncio.wait_for(follower.ended(), 60.0)
        assert self.deaths == []

    @property
    def end(self) -> int:
        return self.broker.logs[CHANGELOG].end

    def rows(self) -> dict[bytes, bytes]:
        """What the store holds. Nobody may have it open."""
        self.store.open()
        found = dict(self.store.rows())
        self.store.close()
        return found

    def folded(self, before: int | None = None) -> dict[bytes, bytes]:
        """What everything that was ever written, up to an offset, comes to."""
        rows: dict[bytes, bytes] = {}
        for entry in self.broker.logs[CHANGELOG].archive[:before]:
            assert entry.record is not None
            if entry.record.value is None:
                rows.pop(entry.record.key, None)
            else:
                rows[entry.record.key] = entry.record.value
        return rows


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Following]:
    made = Following(tmp_path)
    yield made
    made.finish()


def test_it_follows_and_says_how_far_it_is_behind(world: Following) -> None:
    async def follow() -> None:
        world.write()
        follower = world.follow()
        await world.up_to_date(follower)
        assert [behind for behind in world.behind if behind], "there was something to catch up with"
        world.broker.append(CHANGELOG, b"key 0", b"new")
        world.broker.append(CHANGELOG, b"key 1", None)
        await world.up_to_date(follower)
        assert follower.behind == 0
        await world.end_of(follower)
        assert world.behind[-1] is None

    world.run(follow())
    assert world.rows() == world.folded()
    assert world.rows()[b"key 0"] == b"new"
    assert b"key 1" not in world.rows()


def test_it_notes_when_the_store_was_up_to_date(world: Following) -> None:
    async def follow() -> None:
        world.write()
        follower = world.follow()
        await world.up_to_date(follower)
        await asyncio.sleep(400.0)
        await world.end_of(follower)

    world.run(follow())
    state = world.store.open()
    assert state is not None
    assert world.clock.now_ms() - 70_000 < state.synced_at_ms < world.clock.now_ms()


@pytest.mark.parametrize("days", [2, 4])
def test_what_was_not_up_to_date_for_too_long_is_made_anew(world: Following, days: int) -> None:
    """Its process stood still; meanwhile a row was deleted, and its tombstone too when that is long ago."""

    async def freeze() -> None:
        world.write()
        follower = world.follow()
        await world.up_to_date(follower)
        world.wire.connected.clear()
        world.broker.append(CHANGELOG, b"key 1", None)
        world.clock.put_forward_s += days * DAY_S
        world.broker.append(CHANGELOG, b"key 2", b"new")
        world.broker.append(CHANGELOG, b"key 3", b"new")
        world.broker.compact(CHANGELOG, world.clock.now_ms() - MAX_AGE_MS)
        reads = world.steps
        world.wire.connected.set()
        await world.up_to_date(follower)
        assert (world.steps - reads > RECORDS / 8) == (days == 4), "everything is read again, or the rest only"
        await world.end_of(follower)

    world.run(freeze())
    assert world.rows() == world.folded()
    assert b"key 1" not in world.rows()


@pytest.mark.parametrize("sync_every_s", [60.0, 0.0])
def test_what_it_wrote_on_the_way_to_the_end_leaves_the_store_as_old_as_it_was(
    world: Following, monkeypatch: pytest.MonkeyPatch, sync_every_s: float
) -> None:
    monkeypatch.setattr(follower_module, "SYNC_EVERY_S", sync_every_s)

    async def end_on_the_way() -> int:
        world.write()
        follower = world.follow()
        await world.up_to_date(follower)
        synced_at_most_ms = world.clock.now_ms()
        world.write()
        world.clock.put_forward_s += 2 * DAY_S
        while (follower.position or 0) < RECORDS + 10:  # noqa: ASYNC110 - more than one fetch, and not all
            await asyncio.sleep(0.001)
        await world.end_of(follower)
        return synced_at_most_ms

    synced_at_most_ms = world.run(end_on_the_way())
    state = world.store.open()
    assert state is not None
    assert RECORDS < state.position < 2 * RECORDS
    assert state.synced_at_ms <= synced_at_most_ms


@pytest.mark.parametrize("steps", [1, 2, 4, 6, 9, 14, 20, 30])
def test_it_ends_at_once_when_the_broker_is_gone(world: Following, steps: int) -> None:
    async def end_without_a_broker() -> None:
        world.write()
        world.lose_broker_at = steps
        follower = world.follow()
        await asyncio.sleep(3.0)
        before = asyncio.get_running_loop().time()
        await world.end_of(follower)
        assert asyncio.get_running_loop().time() - before < 1.0

    world.run(end_without_a_broker())
    assert world.steps >= steps
    assert world.rows().items() <= world.folded().items()


def test_a_store_of_another_changelog_is_left_alone(world: Following) -> None:
    async def meet_it() -> None:
        world.write()
        world.store.open()
        world.store.write([(b"key", b"row")], position=RECORDS + 1, now_ms=world.clock.now_ms())
        world.store.close()
        follower = world.follow()
        await asyncio.sleep(60.0)
        assert follower.state is FollowerState.CLOSED
        assert follower.reason is not None
        assert f"stands at offset {RECORDS + 1}, but the changelog ends at {RECORDS}" in follower.reason
        await world.end_of(follower)

    world.run(meet_it())
    assert world.rows() == {b"key": b"row"}


def test_an_owner_may_know_of_a_commit_before_the_changelog_is_marked_with_it(world: Following) -> None:
    """Then the store of a former owner stands behind the last stable offset."""

    async def open_before_the_mark() -> None:
        world.write()
        epoch = world.broker.fence("owner")
        assert epoch is not None
        base = world.broker.append_in_transaction("owner", epoch, CHANGELOG, [(b"key 0", b"new", ())])
        assert base == RECORDS
        world.store.open()
        world.store.write([*world.folded().items()], position=RECORDS + 1, now_ms=world.clock.now_ms())
        world.store.close()
        follower = world.follow()
        await asyncio.sleep(5.0)
        assert (follower.state, follower.reason) == (FollowerState.FOLLOWING, None)
        world.broker.commit("owner", epoch)
        await asyncio.sleep(1.0)
        world.broker.append(CHANGELOG, b"key 1", b"newer")
        await world.up_to_date(follower)
        await world.end_of(follower)

    world.run(open_before_the_mark())
    assert world.rows()[b"key 0"] == b"new"
    assert world.rows()[b"key 1"] == b"newer"


def test_one_begins_when_the_other_has_ended(world: Following) -> None:
    async def take_turns() -> None:
        world.write()
        first = world.follow()
        await world.up_to_date(first)
        second = world.follow(previous=first)
        world.broker.append(CHANGELOG, b"key 0", b"new")
        await world.up_to_date(first)
        assert second.position is None
        first.end()
        await world.up_to_date(second)
        await world.end_of(second)

    world.run(take_turns())
    assert world.rows() == world.folded()


class Story(Following):
    """What happens to a follower, as the dice have it: rows, tombstones, compaction, freezes, trouble, restarts."""

    async def live(self) -> None:
        follower = self.follow()
        for _ in range(80):
            match self.dice.choices(
                ["write", "compact", "freeze", "trouble", "restart", "let it"], [12, 3, 1, 2, 2, 6]
            )[0]:
                case "write":
                    for _ in range(self.dice.randint(1, 6)):
                        row = None if self.dice.random() < 0.3 else b"%d" % self.dice.getrandbits(20)
                        self.broker.append(CHANGELOG, b"key %d" % self.dice.randrange(12), row)
                case "compact":
                    self.broker.compact(CHANGELOG, self.clock.now_ms() - 2 * MAX_AGE_MS)
                case "freeze":
                    self.wire.connected.clear()
                    for _ in range(2):
                        self.clock.put_forward_s += self.dice.choice([0, 1, 4]) * DAY_S
                        self.broker.append(CHANGELOG, b"key %d" % self.dice.randrange(12), None)
                        self.broker.compact(CHANGELOG, self.clock.now_ms() - 2 * MAX_AGE_MS)
                    self.wire.connected.set()
                case "trouble":
                    self.wire.trouble.append(OSError("connection lost"))
                case "restart":
                    await self.end_of(follower)
                    self.check()
                    follower = self.follow()
                case _:
                    await asyncio.sleep(self.dice.random() * 5)
        await self.up_to_date(follower)
        await self.end_of(follower)
        assert self.rows() == self.folded()

    def check(self) -> None:
        """Compare the store with its changelog up to where it says it stands."""
        state = self.store.open()
        rows = dict(self.store.rows())
        self.store.close()
        if state is not None and state.position == self.end:
            assert rows == self.folded()
        written = {
            (entry.record.key, entry.record.value) for entry in self.broker.logs[CHANGELOG].archive if entry.record
        }
        assert state is None or rows.items() <= written
        assert all(is_visible(entry) for entry in self.broker.logs[CHANGELOG].archive)


def test_whatever_happens_the_store_becomes_its_changelog(tmp_path: Path) -> None:
    for seed in range(SEEDS):
        story = Story(tmp_path / str(seed), seed)
        (tmp_path / str(seed)).mkdir()
        story.run(story.live())
        story.finish()
