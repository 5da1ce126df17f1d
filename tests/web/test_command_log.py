"""A producer that failed once is never trusted again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka.errors import OutOfOrderSequenceNumber

from airy_identify.web.command_log import CommandLog
from airy_identify.web.kafka_link import KafkaLinkError
from tests.web.fake_kafka import TOPIC, InMemoryPartition
from tests.web.waiting import until


@asynccontextmanager
async def writing(partition: InMemoryPartition, *, append_timeout_s: float = 10) -> AsyncIterator[CommandLog]:
    log = CommandLog(partition.producer, TOPIC, append_timeout_s=append_timeout_s, retry_s=0)
    log.start()
    await until_well(log)
    try:
        yield log
    finally:
        await log.stop()
        assert not any(producer.connected for producer in partition.producers)
        with pytest.raises(KafkaLinkError):
            await log.append(b"key", b"too late")


async def until_well(log: CommandLog) -> None:
    await until(lambda: log.problem is None)


@pytest.mark.parametrize("failure", [OutOfOrderSequenceNumber(), asyncio.CancelledError(), OSError()])
async def test_after_a_failure_the_next_command_goes_through_a_new_producer(failure: BaseException) -> None:
    partition = InMemoryPartition(failures=[failure])
    async with writing(partition) as log:
        with pytest.raises(KafkaLinkError):
            await log.append(b"key", b"refused")
        with pytest.raises(KafkaLinkError):  # at once, not after a time-out
            await log.append(b"key", b"meanwhile")
        await until_well(log)
        assert not partition.producers[0].connected
        await log.append(b"key", b"accepted")
        assert partition.values == [b"accepted"]
        assert len(partition.producers) == 2


async def test_no_answer_is_a_failure_too() -> None:
    partition = InMemoryPartition(silent=True)
    async with writing(partition, append_timeout_s=0.01) as log:
        with pytest.raises(KafkaLinkError, match="no answer"):
            await log.append(b"key", b"refused")
        partition.silent = False
        await until_well(log)
        await log.append(b"key", b"accepted")
        assert partition.values == [b"accepted"]


async def test_a_caller_that_gives_up_does_not_cost_the_producer() -> None:
    partition = InMemoryPartition(silent=True)
    async with writing(partition) as log:
        append = asyncio.create_task(log.append(b"key", b"given up"))
        await asyncio.sleep(0)
        append.cancel()
        with pytest.raises(asyncio.CancelledError):
            await append
        assert log.problem is None
        assert len(partition.producers) == 1


async def test_many_failures_at_once_cost_one_producer() -> None:
    partition = InMemoryPartition(failures=[OSError() for _ in range(5)])
    async with writing(partition) as log:
        outcomes = await asyncio.gather(*(log.append(b"key", b"v") for _ in range(5)), return_exceptions=True)
        assert all(isinstance(outcome, KafkaLinkError) for outcome in outcomes)
        await until_well(log)
        assert len(partition.producers) == 2
