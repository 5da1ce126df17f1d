import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from aiokafka.structs import ConsumerRecord

from airy_identify.stream.airy_pace import APPLIED_AFTER_MS, AiryPace
from tests.records import make_record

NOW_MS = 1_000_000


class Slept:
    """Notes how long it was to sleep, and does not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        monkeypatch.setattr("airy_identify.stream.airy_pace.asyncio.sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)


class Prepared:
    """What is done after the wait."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, records: Sequence[ConsumerRecord], waits: Callable[[str], None]) -> Awaitable[None] | None:
        waits("looks")
        return self._note(len(records))

    async def _note(self, count: int) -> None:
        self.batches.append(count)


def a_record(*, age_ms: int, value: bytes | None = None) -> ConsumerRecord:
    return make_record(value=value, timestamp=NOW_MS - age_ms)


def prepare(*records: ConsumerRecord, after: Prepared | None = None) -> bool:
    """Tell whether anything was to be awaited, and await it."""
    to_do = AiryPace(after, clock_ms=lambda: NOW_MS)(records, lambda _: None)
    if to_do is None:
        return False
    asyncio.run(_await(to_do))
    return True


async def _await(to_do: Awaitable[None]) -> None:
    await to_do


def test_the_newest_tombstone_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = Slept(monkeypatch)
    assert prepare(a_record(age_ms=4_000), a_record(age_ms=1_000), a_record(age_ms=0, value=b"x"))
    assert slept.seconds == [APPLIED_AFTER_MS / 1000 - 1]


def test_a_clock_that_is_ahead_does_not_make_it_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = Slept(monkeypatch)
    assert prepare(a_record(age_ms=-60_000))
    assert slept.seconds == [APPLIED_AFTER_MS / 1000]


def test_nothing_else_waits() -> None:
    assert not prepare(a_record(age_ms=APPLIED_AFTER_MS), a_record(age_ms=0, value=b"x"))


def test_what_is_to_be_done_is_done_after_the_wait_or_without(monkeypatch: pytest.MonkeyPatch) -> None:
    Slept(monkeypatch)
    after = Prepared()
    assert prepare(a_record(age_ms=APPLIED_AFTER_MS), after=after)
    assert prepare(a_record(age_ms=0), a_record(age_ms=0), after=after)
    assert after.batches == [1, 2]
