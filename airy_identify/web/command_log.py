"""Appending commands to `identity-commands`: one idempotent producer, replaced as soon as it cannot be trusted."""

import asyncio
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from airy_identify.kafka import close_client, partition_for
from airy_identify.web.kafka_link import KafkaLink, KafkaLinkError, bounded

_START_TIMEOUT_S = 5.0


class CommandLog(KafkaLink):
    """The end of the log at which the bridge writes.

    A producer that failed or did not answer in time is dropped together with what it still holds: after a failed
    batch an idempotent producer refuses the next ones too, and it would go on sending for ever what the callers were
    told is refused. What was on its way to the broker at that moment may still be applied.
    """

    def __init__(
        self, make_producer: Callable[[], AIOKafkaProducer], topic: str, *, append_timeout_s: float, retry_s: float
    ) -> None:
        """Write to `topic` with producers made by `make_producer`; an append takes `append_timeout_s` at most."""
        super().__init__("command log", retry_s=retry_s)
        self._make_producer = make_producer
        self._topic = topic
        self._append_timeout_s = append_timeout_s
        self._producer: AIOKafkaProducer | None = None
        self._partitions = 0
        self._doubtful = asyncio.Event()

    async def append(self, key: bytes, value: bytes) -> None:
        """Append one command and wait until Kafka has it. Cancelling it gives up the waiting, not the producer.

        Raises:
            KafkaLinkError: There is no producer now, or it did not take the command. The next attempt gets a new one.
        """
        producer = self._producer
        if producer is None:
            raise KafkaLinkError(self.problem or f"{self.name}: being opened")
        try:
            await bounded(self._send(producer, key, value), timeout_s=self._append_timeout_s)
        except (KafkaError, KafkaLinkError, OSError) as error:
            if producer is self._producer:
                self._broke(error)
                self._producer = None
                self._doubtful.set()
            raise KafkaLinkError(str(error) or type(error).__name__) from error

    async def _send(self, producer: AIOKafkaProducer, key: bytes, value: bytes) -> None:
        partition = partition_for(key, self._partitions)
        await (await producer.send(self._topic, value=value, key=key, partition=partition))

    async def _hold(self) -> None:
        producer = self._make_producer()
        try:
            await bounded(producer.start(), timeout_s=_START_TIMEOUT_S)
            self._partitions = await self._count_partitions(producer)
            self._doubtful.clear()
            self._producer = producer
            self._well()
            await self._until_doubtful()
        finally:
            self._producer = None
            await _drop(producer)

    async def _count_partitions(self, producer: AIOKafkaProducer) -> int:
        # Asking for all topics, because asking for one may create it with the broker's defaults.
        cluster = await bounded(producer.client.fetch_all_metadata(), timeout_s=_START_TIMEOUT_S)
        partitions = cluster.partitions_for_topic(self._topic)
        if not partitions:
            raise KafkaLinkError(f"there is no topic {self._topic}")
        return len(partitions)

    async def _until_doubtful(self) -> None:
        waiting = [asyncio.ensure_future(event.wait()) for event in (self._doubtful, self._stopping)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()


async def _drop(producer: Any) -> None:  # noqa: ANN401 - aiokafka has no types
    """Close a producer without sending what it still holds.

    Its own `stop` waits until everything is delivered, for ever when the broker is gone, and the task behind it goes
    on for as long. So that task is ended and the connections are closed; what was queued has no one waiting for it.
    """
    sender = producer._sender.sender_task  # noqa: SLF001 - see above
    if sender is not None:
        sender.cancel()
        await asyncio.wait({sender}, timeout=_START_TIMEOUT_S)
    producer._closed = True  # noqa: SLF001 - else it complains when it is collected
    await close_client(producer.client)
