"""Control topics, which a process reads to their end before it begins, and follows: skips, generations.

They have one partition, and are written in the transactions of many shards. A reader of committed records sees nothing
behind a transaction that is under way, whoever's it is. So the end that such a reader is told need not be the end of
what is committed: `up_to_date` takes the end that uncommitted readers see, and waits until everything before it is decided.
"""

import asyncio
import logging
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.kafka import KafkaClients, close_client

logger = logging.getLogger(__name__)

_POLL_MS = 50
_POLL_S = 0.005
_RETRY_S = 1.0

UP_TO_DATE_TIMEOUT_S = 20.0
"""More than `transaction.timeout.ms`: a killed worker's open transaction may be in the topic."""


class ControlReader:
    """Follows a control topic, and hands each record to `apply`."""

    def __init__(self, clients: KafkaClients, topic: str, apply: Callable[[ConsumerRecord], None]) -> None:
        self._clients = clients
        self._topic = topic
        self._partition = TopicPartition(topic, 0)
        self._apply = apply
        self._read = asyncio.Event()
        self._position = -1
        self._ends: AIOKafkaConsumer | None = None
        self._asking = asyncio.Lock()

    async def wait_until_ready(self) -> None:
        """Return once everything has been read that the topic held in the beginning."""
        await self._read.wait()

    async def up_to_date(self) -> None:
        """Return once everything has been read that was committed before this call. Raises `TimeoutError`, `KafkaError`."""
        async with asyncio.timeout(UP_TO_DATE_TIMEOUT_S):
            end = await self._end()
            while self._position < end:  # noqa: ASYNC110 - the consumer's position sets no event
                await asyncio.sleep(_POLL_S)

    async def run(self) -> None:
        """Read and follow the topic until cancelled; after any trouble with Kafka, from the start again."""
        try:
            while True:
                self._position = -1
                consumer = self._clients.consumer(retry_backoff_ms=100)
                try:
                    await consumer.start()
                    await self._follow(consumer)
                except (KafkaError, OSError, asyncio.CancelledError) as error:
                    # aiokafka raises `CancelledError` into its callers when a client closes under them.
                    if (task := asyncio.current_task()) is not None and task.cancelling():
                        raise
                    logger.warning("reading %s failed (%r); trying again", self._topic, error)
                finally:
                    await close_client(consumer)
                await asyncio.sleep(_RETRY_S)
        finally:
            if self._ends is not None:
                await close_client(self._ends)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        consumer.assign([self._partition])
        begin = int((await consumer.beginning_offsets([self._partition]))[self._partition])
        consumer.seek(self._partition, begin)
        end = await self._end()
        while True:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS, max_records=5_000)).values():
                for record in records:
                    self._apply(record)
            self._position = await consumer.position(self._partition)
            if self._position >= end:
                self._read.set()

    async def _end(self) -> int:
        """Return where the topic ends for those who read what is not committed."""
        async with self._asking:
            if self._ends is None:
                ends = self._clients.consumer(read_committed=False, retry_backoff_ms=100)
                try:
                    await ends.start()
                except BaseException:
                    await close_client(ends)
                    raise
                self._ends = ends
            try:
                return int((await self._ends.end_offsets([self._partition]))[self._partition])
            except BaseException:
                broken, self._ends = self._ends, None
                await close_client(broken)
                raise
