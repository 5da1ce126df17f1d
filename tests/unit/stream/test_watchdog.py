import asyncio
import threading
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from aiokafka.structs import TopicPartition

from airy_identify.stream.shard_parts import ShardSpec
from airy_identify.stream.watchdog import LoopGuard, Since, Watchdog, WatchdogLimits, stuck_in_agent


def test_a_symptom_counts_only_when_it_lasts() -> None:
    since = Since()

    assert since.lasting(["a", "b"], 10, 100) == []
    assert since.lasting(["a"], 10, 105) == []
    assert since.lasting(["a", "b"], 10, 111) == ["a"], "b was away in between"
    assert since.lasting(["a", "b"], 10, 122) == ["a", "b"]
    assert since.lasting([], 10, 123) == []
    assert since.lasting(["a"], 10, 124) == []


SPEC = ShardSpec(agent="identity", log="log", changelog="changelog")
SOURCE = TopicPartition("log", 3)


@dataclass
class FakeShard:
    processing_since: float | None
    spec: ShardSpec = SPEC
    source: TopicPartition = SOURCE


def test_an_agent_that_does_not_come_back_is_named() -> None:
    shards = [FakeShard(None), FakeShard(95.0), FakeShard(10.0)]

    assert stuck_in_agent(shards, 60, 100) == ["the agent identity has not finished a batch of log:3"]  # type: ignore[arg-type]


def test_a_loop_that_stands_still_is_noticed_and_one_that_beats_is_not() -> None:
    stalls: list[str] = []
    noticed = threading.Event()

    def note(reason: str) -> None:
        stalls.append(reason)
        noticed.set()

    guard = LoopGuard(0.2, note)
    guard.start()
    assert noticed.wait(30), "nobody beats"
    assert stalls == ["the event loop has stood still for 0 s"]
    guard.stop()


async def test_a_check_that_waits_for_kafka_is_no_loop_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    waits, beats = asyncio.Event(), asyncio.Queue[None]()
    monkeypatch.setattr(LoopGuard, "beat", lambda _: beats.put_nowait(None))

    async def start() -> None:
        waits.set()
        await asyncio.Event().wait()

    async def stop() -> None:
        pass

    watching = asyncio.create_task(
        Watchdog(
            clients=SimpleNamespace(consumer=lambda **_: SimpleNamespace(start=start, stop=stop)),  # type: ignore[arg-type]
            shards=SimpleNamespace(shards=[], logs=[]),  # type: ignore[arg-type]
            group_id="group",
            limits=WatchdogLimits(check_every_s=0.0),
            fatal=pytest.fail,
        ).run()
    )
    async with asyncio.timeout(30):
        await waits.wait()
        before = beats.qsize()
        for _ in range(before + 2):
            await beats.get()
    watching.cancel()
    await asyncio.wait({watching})
