"""Reading one partition of `identify-bridge-responses`, from what was its end when the bridge started.

Uncommitted: an answer is a function of the log, so an aborted batch is answered the same again, and neither a commit
nor a killed worker's open transaction holds up a caller.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from airy_identify.kafka import close_client, partitions_of
from airy_identify.web.kafka_link import KafkaLink, KafkaLinkError, bounded, retrieve

logger = logging.getLogger(__name__)

_OPEN_TIMEOUT_S = 5.0
_POLL_MS = 250
_PROBE_EVERY_S = 1.0
_PROBE_TIMEOUT_S = 3.0
_STUCK_AFTER_S = 10.0


class AnswerReader(KafkaLink):
    """The reader of this bridge's own partition. It goes on where it was, whatever happens to broker and client.

    Positions are kept here and not in Kafka: without a group there is nothing to commit and nothing to rebalance. A
    position that no longer exists (answers are kept for ten minutes) is replaced by the start of the log, for what
    was answered before is in nobody's way: correlation ids are random. An empty fetch looks the same whether nothing
    came or the broker is gone, so the end of the partition is asked for every second.
    """

    def __init__(
        self,
        make_consumer: Callable[[], AIOKafkaConsumer],
        topic: str,
        deliver: Callable[[ConsumerRecord], None],
        *,
        retry_s: float,
        choose: Callable[[Sequence[TopicPartition]], TopicPartition] = random.choice,
    ) -> None:
        """Read `topic` with consumers made by `make_consumer` and give each record to `deliver`.

        `choose` picks the partition, once; bridges that picked the same one just pass over each other's answers.
        """
        super().__init__("answer reader", retry_s=retry_s)
        self._make_consumer = make_consumer
        self._topic = topic
        self._deliver = deliver
        self._choose = choose
        self._partition: TopicPartition | None = None
        self._next: int | None = None

    @property
    def partition(self) -> int | None:
        """The number of the partition where answers are awaited; null until the reader was open once."""
        return None if self._partition is None else self._partition.partition

    async def _hold(self) -> None:
        consumer = self._make_consumer()
        probe: _Probe | None = None
        try:
            await bounded(consumer.start(), timeout_s=_OPEN_TIMEOUT_S)
            partition = await bounded(self._position(consumer), timeout_s=_OPEN_TIMEOUT_S)
            probe = _Probe(consumer, partition)
            self._well()
            while not self._stopping.is_set():
                await self._read(consumer, partition)
                probe.look(self._next or 0)
        finally:
            if probe is not None:
                probe.close()
            await close_client(consumer)

    async def _position(self, consumer: AIOKafkaConsumer) -> TopicPartition:
        partitions = await partitions_of(consumer, self._topic)
        if not partitions:
            raise KafkaLinkError(f"there is no topic {self._topic}")
        if self._partition is None or self._partition not in partitions:
            self._partition, self._next = self._choose(partitions), None
        partition = self._partition
        begin = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        if self._next is None:
            self._next = end
        elif not begin <= self._next <= end:
            logger.warning("answers up to offset %d of %s-%d are gone", begin, self._topic, partition.partition)
            self._next = begin
        consumer.assign([partition])
        consumer.seek(partition, self._next)
        return partition

    async def _read(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        # A fetch must not be cancelled: it could drop what it has. It ends by itself.
        for record in (await consumer.getmany(timeout_ms=_POLL_MS)).get(partition, ()):
            self._next = record.offset + 1
            self._deliver(record)
        self._next = await consumer.position(partition)  # it also passes the marks of transactions


class _Probe:
    """Asks every second where the partition ends, beside the fetches, and so whether broker and reader are alive."""

    def __init__(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        self._consumer = consumer
        self._partition = partition
        self._clock = asyncio.get_running_loop().time
        self._asked_at = self._clock()
        self._asking: asyncio.Future[Any] | None = None
        self._behind: tuple[int, float] | None = None

    def look(self, position: int) -> None:
        """Go on asking; it never waits.

        Raises:
            KafkaLinkError: The broker does not answer, or the reader stays where it is although there is more to
                read. Either way a new client is better than this one, which would only fill the log.
        """
        now = self._clock()
        if self._asking is None:
            if now - self._asked_at >= _PROBE_EVERY_S:
                self._asked_at = now
                self._asking = asyncio.ensure_future(self._consumer.end_offsets([self._partition]))
                self._asking.add_done_callback(retrieve)
        elif self._asking.done():
            if self._asking.cancelled():
                raise KafkaLinkError("the client was closed meanwhile")
            self._compare(position, self._asking.result()[self._partition], now)
            self._asking = None
        elif now - self._asked_at > _PROBE_TIMEOUT_S:
            raise KafkaLinkError(f"no answer from Kafka in {_PROBE_TIMEOUT_S:g} s")

    def _compare(self, position: int, end: int, now: float) -> None:
        if position >= end:
            self._behind = None
        elif self._behind is None or self._behind[0] != position:
            self._behind = (position, now)
        elif now - self._behind[1] > _STUCK_AFTER_S:
            raise KafkaLinkError(f"stays at offset {position} although there is more")

    def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
