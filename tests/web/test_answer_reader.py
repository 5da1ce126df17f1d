"""The reader of the answers goes on where it was, whatever breaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from airy_identify.web import answer_reader
from airy_identify.web.answer_reader import AnswerReader
from airy_identify.web.kafka_link import KafkaLinkError
from tests.web.fake_kafka import PARTITION, TOPIC, InMemoryPartition
from tests.web.waiting import until


@asynccontextmanager
async def reading(log: InMemoryPartition, *, poison: bytes | None = None) -> AsyncIterator["asyncio.Queue[bytes]"]:
    """Read the partition within the block; what was read is in the queue."""
    read: asyncio.Queue[bytes] = asyncio.Queue()

    def deliver(record: Any) -> None:
        if record.value == poison:
            raise ValueError("poison")
        read.put_nowait(record.value)

    reader = AnswerReader(log.consumer, TOPIC, deliver, retry_s=0)
    reader.start()
    await until(lambda: reader.problem is None)
    try:
        async with asyncio.timeout(10):
            yield read
    finally:
        await reader.stop()
        assert all(consumer.stopped for consumer in log.consumers)


async def test_it_begins_at_the_end() -> None:
    log = InMemoryPartition(begin=5, values=[b"old"])
    async with reading(log) as read:
        log.append(b"new")
        assert await read.get() == b"new"


@pytest.mark.parametrize(
    "failure", [KafkaConnectionError(), asyncio.CancelledError(), OSError(), ValueError("a defect")]
)
async def test_after_a_failure_it_goes_on_where_it_was(failure: BaseException) -> None:
    log = InMemoryPartition(values=[b"old"])
    async with reading(log) as read:
        log.append(b"1")
        assert await read.get() == b"1"
        log.failures.append(failure)
        log.append(b"2")
        log.append(b"3")
        assert [await read.get(), await read.get()] == [b"2", b"3"]
        assert len(log.consumers) == 2
        assert log.consumers[0].stopped


async def test_it_begins_where_the_log_begins_when_its_place_is_gone() -> None:
    log = InMemoryPartition(values=[b"old"] * 4)
    async with reading(log) as read:
        log.failures.append(KafkaConnectionError())
        for value in (b"lost", b"lost too", b"kept"):
            log.values.append(value)
        log.lose(6)
        log.changed.set()
        assert await read.get() == b"kept"


async def test_it_begins_where_the_log_begins_when_the_log_is_a_new_one() -> None:
    log = InMemoryPartition(values=[b"old"] * 9)
    async with reading(log) as read:
        log.values[:] = [b"first of the new"]
        log.changed.set()
        assert await read.get() == b"first of the new"


async def test_a_record_that_cannot_be_delivered_is_passed(caplog: pytest.LogCaptureFixture) -> None:
    log = InMemoryPartition()
    async with reading(log, poison=b"poison") as read:
        log.append(b"poison")
        log.append(b"good")
        assert await read.get() == b"good"
    assert "Traceback" in caplog.text


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_silent_broker_is_noticed_although_nothing_fails() -> None:
    log = InMemoryPartition(silent=True)
    probe, clock = answer_reader._Probe(log.consumer(), PARTITION), Clock()
    probe._clock, probe._asked_at = clock, 0.0
    for clock.now in (0.5, 1.0, 3.9):
        probe.look(0)
        await asyncio.sleep(0)
    clock.now = 4.1
    with pytest.raises(KafkaLinkError, match="no answer"):
        probe.look(0)
    probe.close()


async def test_a_reader_that_stands_still_before_the_end_is_noticed() -> None:
    log = InMemoryPartition(values=[b"1", b"2"])
    probe, clock = answer_reader._Probe(log.consumer(), PARTITION), Clock()
    probe._clock, probe._asked_at = clock, 0.0

    async def look(seconds: int, position: int) -> None:
        for _ in range(seconds):
            clock.now += 1
            probe.look(position)
            await asyncio.sleep(0)
            probe.look(position)

    await look(20, position=2)
    await look(9, position=0)
    await look(9, position=1)
    with pytest.raises(KafkaLinkError, match="stays at offset 1"):
        await look(9, position=1)
    probe.close()
