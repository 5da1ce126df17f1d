"""Kafka clients in memory, for what a real broker does not do on demand: break in a chosen moment and a chosen way."""

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

TOPIC = "topic"
PARTITION = TopicPartition(TOPIC, 0)


@dataclass
class InMemoryPartition:
    """The only partition of a topic. `failures` are raised by the next fetches or appends, one each."""

    begin: int = 0
    values: list[bytes] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    consumers: list["InMemoryConsumer"] = field(default_factory=list)
    producers: list["InMemoryProducer"] = field(default_factory=list)
    silent: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def end(self) -> int:
        return self.begin + len(self.values)

    def append(self, value: bytes) -> None:
        self.values.append(value)
        self.changed.set()

    def lose(self, count: int) -> None:
        """Delete the oldest records, as retention does."""
        del self.values[:count]
        self.begin += count

    async def metadata(self) -> Any:
        return SimpleNamespace(partitions_for_topic=lambda _topic: {0})

    def consumer(self) -> "InMemoryConsumer":
        self.consumers.append(InMemoryConsumer(self))
        return self.consumers[-1]

    def producer(self) -> "InMemoryProducer":
        self.producers.append(InMemoryProducer(self))
        return self.producers[-1]


class InMemoryConsumer:
    """What `AnswerReader` uses of an `AIOKafkaConsumer`."""

    def __init__(self, partition: InMemoryPartition) -> None:
        self._partition = partition
        self._position = 0
        self.stopped = False
        self._client = SimpleNamespace(force_metadata_update=self.start, fetch_all_metadata=partition.metadata)

    async def start(self) -> None:
        """Connect, which always works."""

    async def stop(self) -> None:
        self.stopped = True

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self._partition.begin)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self._partition.silent:
            await asyncio.Event().wait()
        return dict.fromkeys(partitions, self._partition.end)

    def assign(self, _partitions: list[TopicPartition]) -> None:
        """Take the only partition there is."""

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self._position = offset

    async def position(self, _partition: TopicPartition) -> int:
        return self._position

    async def getmany(self, *, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        log = self._partition
        if self._position == log.end and not log.failures:
            log.changed.clear()
            waiting = asyncio.ensure_future(log.changed.wait())
            await asyncio.wait({waiting}, timeout=timeout_ms / 1000)
            waiting.cancel()
        if log.failures:
            raise log.failures.pop(0)
        if not log.begin <= self._position <= log.end:
            raise OffsetOutOfRangeError({PARTITION: self._position})
        offsets = range(self._position, log.end)
        self._position = log.end
        return {PARTITION: [SimpleNamespace(offset=at, value=log.values[at - log.begin]) for at in offsets]}


class InMemoryProducer:
    """What `CommandLog` uses of an `AIOKafkaProducer`."""

    def __init__(self, partition: InMemoryPartition) -> None:
        self._partition = partition
        self._sender = SimpleNamespace(sender_task=None)
        self._closed = False
        self.client = SimpleNamespace(fetch_all_metadata=partition.metadata, close=self._close)
        self.connected = True

    async def start(self) -> None:
        """Connect, which always works."""

    async def _close(self) -> None:
        self.connected = False

    async def send(self, _topic: str, *, value: bytes, key: bytes, partition: int) -> "asyncio.Future[None]":  # noqa: ARG002
        delivered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._partition.failures:
            delivered.set_exception(self._partition.failures.pop(0))
        elif not self._partition.silent:
            self._partition.append(value)
            delivered.set_result(None)
        return delivered
