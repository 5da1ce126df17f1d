"""A rebuild under traffic, killed on the way, of a table as large as one likes: `make rebuild CONTACTS= MESSAGES=`.

`verify` is well before, while and after it; no answer comes twice, nobody gets another id; and a second rebuild of the
same logs, elsewhere and all at once, gives the same digests.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from airy_identify.ops.topics import read_topics
from airy_identify.topics import CONVERSATION, IDENTITY
from airy_identify.wire.generations import WANTED
from tests.kafka.commands import call
from tests.kafka.rebuilding import PARTITION, PARTITIONS, Home, MakeInstallation, Rebuilding, home

CONTACTS = int(os.environ.get("REBUILD_CONTACTS", "150"))
MESSAGES = int(os.environ.get("REBUILD_MESSAGES", "300"))
TWICE = os.environ.get("REBUILD_TWICE", "1") != "0"
"""Whether a second rebuild is compared with the first, which takes as long again."""
WAIT_S = 60.0 + (CONTACTS + MESSAGES) / 100
TRAFFIC_EVERY_S = 0.25
POLL_S = 0.1


async def until(condition: Any, what: str) -> None:
    """Wait for a condition as long as so many records may take."""
    deadline = time.monotonic() + WAIT_S
    while not await condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(POLL_S)


@contextmanager
def told(what: str) -> Iterator[None]:
    began_s = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began_s:.1f} s")  # noqa: T201


async def test_under_traffic_and_killed_on_the_way(make_installation: MakeInstallation, tmp_path: Path) -> None:
    """A rebuild is killed while it builds, the worker when the switch is offered; nothing is lost, repeated or changed."""
    rebuilds: list[Rebuilding] = []
    async with home(make_installation, tmp_path, people=CONTACTS) as here:
        began_s = time.monotonic()
        await asyncio.gather(here.identify(CONTACTS), here.say(MESSAGES))
        await until(here.settled, "not applied")
        speed = CONTACTS / (time.monotonic() - began_s)
        with told("verify before"):
            await here.verdicts("--all-sides")
        stop = asyncio.create_task(asyncio.Event().wait())
        calling = asyncio.create_task(traffic(here, stop, speed / 4))
        try:
            with told("the rebuild, killed once, beside verify"):
                await killed_and_gone_on_with(here, tmp_path, rebuilds)
            assert not calling.done(), "requests came all the time"
        finally:
            stop.cancel()
            await asyncio.wait({calling})
            for each in rebuilds:
                each.kill()
        calling.result()
        await until(here.settled, "not applied any more")
        await here.assert_answered_once()
        current = await here.decided()
        assert {(each.agent, each.partition, each.generation) for each in current} == {
            (table, number, 2) for table in (IDENTITY, CONVERSATION) for number in range(PARTITIONS)
        }
        with told("verify after"):
            verdicts = await here.verdicts("--all-sides")
        _, metrics = await here.worker.status("/metrics")
        assert f'airy_identify_table_generation{{agent="{IDENTITY}",partition="{PARTITION}"}} 2.0' in metrics
        if TWICE:
            with told("a second rebuild, elsewhere, all at once"):
                await two_rebuilds_of_one_log_give_the_same(here, tmp_path, verdicts)
        await what_nobody_uses_is_thrown_away(here)
        assert_one_at_a_time(here)
        print(f"outages in seconds: {outages(here)}")  # noqa: T201


async def traffic(here: Home, stop: asyncio.Task[Any], requests_per_second: float) -> None:
    """Ask on and on."""
    while not stop.done():
        await here.identify(max(1, min(200, round(requests_per_second * TRAFFIC_EVERY_S))))
        await asyncio.wait({stop}, timeout=TRAFFIC_EVERY_S)


async def killed_and_gone_on_with(here: Home, directory: Path, rebuilds: list[Rebuilding]) -> None:
    chosen = ("--table", IDENTITY, "--partition", str(PARTITION))
    first = Rebuilding(here.beside, directory / "first.log", *chosen)
    rebuilds.append(first)

    async def building() -> bool:
        assert first.runs, first.said
        return f"{IDENTITY} {PARTITION}: building" in first.said

    await until(building, "it did not begin")
    first.kill()
    second = Rebuilding(here.beside, directory / "second.log", "--wait", str(WAIT_S))
    rebuilds.append(second)
    verifying = asyncio.create_task(here.verdicts())

    async def offered() -> bool:
        assert second.runs, second.said
        return any(each.partition == PARTITION for each in await here.decided(WANTED))

    await until(offered, "it was not offered")
    here.worker.kill()
    await here.worker.start().until_ready()
    assert await second.ended() == 0, second.said
    assert f"OK      {IDENTITY} {PARTITION}: generation 2" in second.said
    assert all(verdict["ok"] for verdict in await verifying)


async def two_rebuilds_of_one_log_give_the_same(here: Home, directory: Path, verdicts: list[dict[str, Any]]) -> None:
    """Another machine, other directories, all at once: the digests are those of before."""
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    code, output, errors = await here.rebuild("--all-at-once", "--json", "--work-dir", str(elsewhere))
    assert code == 0, errors
    rebuilt = json.loads(output)
    digests = {(each["table"], each["partition"]): each["digest"] for each in rebuilt if each["digest"]}
    before = {(each["table"], each["partition"]): each["digests"]["log"] for each in verdicts}
    assert digests == {place: before[place] for place in digests}
    assert len(digests) >= 3
    assert {each["generation"] for each in rebuilt} == {3}


async def what_nobody_uses_is_thrown_away(here: Home) -> None:
    names = here.settings.topic_names
    code, _, errors = await here.rebuild("--discard-old")
    assert code == 1, "nobody is there to say yes"
    assert "Delete them?" in errors
    code, output, errors = await here.rebuild("--discard-old", "--yes", "--json")
    assert code == 0, errors
    discarded = json.loads(output)
    generations = (1, 2) if TWICE else (1,)
    former = [names.changelog(table, number) for table in (IDENTITY, CONVERSATION) for number in generations]
    assert discarded["topics"] == former
    assert len(discarded["directories"]) == len(former) * PARTITIONS
    assert not any(map(os.path.exists, discarded["directories"]))
    for command in (("topics", "check"), ("topics", "create"), ("state", "stats")):
        code, _, errors = await call(here.settings, *command)
        assert code == 0, errors
    assert await read_topics(here.settings.kafka_bootstrap_servers, former) == {}, "and they are not made again"
    assert await here.worker.terminate() == 0
    here.worker.wipe()
    await here.worker.start().until_ready()
    await here.identify(20)
    await until(here.settled, "not applied")
    await here.assert_answered_once()


def said_by_shards(here: Home) -> Iterator[tuple[datetime, str, str]]:
    """Yield when, which shard and the next word of what it said, of the worker's log."""
    for line in here.worker.log_file.read_text().splitlines():
        said = json.loads(line) if line.startswith("{") else {}
        words = str(said.get("event", "")).split()
        if words[:1] == ["shard"] and len(words) > 2:
            yield datetime.fromisoformat(said["timestamp"]), words[1], words[2]


def assert_one_at_a_time(here: Home) -> None:
    """A shard turns when no other is on its way: opening shards would hold each other up."""
    turns = ""
    for _, shard, what in said_by_shards(here):
        if what == "turns":
            assert not turns, f"{shard} turned while {turns} did"
            turns = shard
        elif what == "open:" and shard == turns:
            turns = ""


def outages(here: Home) -> dict[str, list[float]]:
    """How many seconds each shard gave no answers each time it turned, by the worker's log.

    They end when it is open, or when it has applied again what was answered already, if there was any.
    """
    found: dict[str, list[float]] = {}
    turned: dict[str, datetime] = {}
    for at, shard, what in said_by_shards(here):
        if what == "turns":
            turned[shard] = at
            found.setdefault(shard, []).append(0.0)
        elif shard in turned and what in ("open:", "answers"):
            if what == "answers" or not found[shard][-1]:
                found[shard][-1] = (at - turned[shard]).total_seconds()
            else:
                del turned[shard]  # it was opened again, for another reason
    return found
