"""Clients of the broker in memory, with the methods of aiokafka's that shards call, and its ways to fail.

Everything goes over a worker's `Wire`: each request and each response takes a moment, in which anything may happen
to the worker, and may fail on the way there (nothing was done) or on the way back (it was done).
"""

import asyncio
import copy
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

from aiokafka.errors import ConsumerStoppedError, IllegalOperation, KafkaConnectionError, KafkaError, ProducerFenced
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, RecordMetadata, TopicPartition

from airy_identify.kafka import KafkaClients
from airy_identify.stream.batch import Headers, Output
from tests.simulation.broker import Broker

Result = TypeVar("Result")

RETRY_S = 0.01
REQUEST_TIMEOUT_S = 40.0
FETCH_RECORDS_MAX = 8
BATCH_RECORDS_MAX = 6
REPLY_PARTITIONS_MAX = 100


@dataclass
class Wire:
    """The way between one worker and the broker.

    `on_step` is told of each request and each response. `trouble` are errors that the next of them will end with.
    """

    dice: random.Random
    on_step: Callable[[], None]
    trouble: deque[BaseException] = field(default_factory=deque)
    connected: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.connected.set()

    async def step(self) -> None:
        """Take one way, there or back."""
        self.on_step()
        await asyncio.sleep(self.dice.random() * 0.004)
        if not self.connected.is_set():
            await self.connected.wait()
        if self.trouble:
            raise self.trouble.popleft()

    async def step_within(self, timeout_s: float) -> bool:
        """Take one way, or give it up after the time-out when nothing goes through; return whether it was taken."""
        self.on_step()
        await asyncio.sleep(self.dice.random() * 0.004)
        if not self.connected.is_set():
            await asyncio.sleep(timeout_s)
            return False
        if self.trouble:
            raise self.trouble.popleft()
        return True

    async def ask(self, request: Callable[[], Result]) -> Result:
        """Ask the broker something. Raises `KafkaConnectionError` when nothing goes through for a while."""
        if not await self.step_within(REQUEST_TIMEOUT_S):
            raise KafkaConnectionError("no broker answers")
        result = request()
        if not await self.step_within(REQUEST_TIMEOUT_S):
            raise KafkaConnectionError("no broker answers")
        return result

    async def exchange(self, request: Callable[[], Result]) -> Result:
        """Do something at the broker."""
        await self.step()
        result = request()
        await self.step()
        return result


class _Builder:
    """A batch of records that is being filled; it is full after a few records."""

    def __init__(self, records_max: int) -> None:
        self.outputs: list[Output] = []
        self._records_max = records_max

    def append(
        self, *, key: bytes | None, value: bytes | None, timestamp: int | None, headers: Headers
    ) -> object | None:
        assert timestamp is None
        if len(self.outputs) == self._records_max:
            return None
        self.outputs.append((key, value, tuple(headers)))
        return self


class _State(StrEnum):
    """The states of aiokafka's `TransactionManager` that a shard can meet."""

    UNINITIALIZED = "uninitialized"
    READY = "ready"
    IN_TRANSACTION = "in transaction"
    COMMITTING = "committing"
    FATAL_ERROR = "fatal error"


class SimulatedProducer:
    """A transactional producer: sends go on by themselves, one after the other, and fail it for good."""

    def __init__(self, broker: Broker, wire: Wire, transactional_id: str) -> None:
        self._broker = broker
        self._wire = wire
        self._id = transactional_id
        self._epoch = -1
        self._state = _State.UNINITIALIZED
        self._error: BaseException | None = None
        self._sending: asyncio.Task[None] | None = None

    @property
    def client(self) -> Any:
        """What this client knows of the cluster: every reply topic is there."""
        return SimpleNamespace(cluster=SimpleNamespace(partitions_for_topic=lambda _: range(REPLY_PARTITIONS_MAX)))

    async def start(self) -> None:
        while (epoch := await self._wire.exchange(lambda: self._broker.fence(self._id))) is None:  # noqa: ASYNC110 - as clients do
            await asyncio.sleep(RETRY_S)
        self._epoch = epoch
        self._state = _State.READY

    async def stop(self) -> None:
        if self._sending is not None:
            await asyncio.wait({self._sending})

    async def begin_transaction(self) -> None:
        await asyncio.sleep(0)
        self._enter(_State.IN_TRANSACTION, source=_State.READY)

    def create_batch(self) -> _Builder:
        return _Builder(self._wire.dice.randint(1, BATCH_RECORDS_MAX))

    async def send_batch(self, batch: _Builder, topic: str, *, partition: int) -> "asyncio.Future[RecordMetadata]":
        await asyncio.sleep(0)
        if self._state is not _State.IN_TRANSACTION:
            raise IllegalOperation("Can't send messages while not in transaction")
        return asyncio.shield(self._then(partial(self._append, TopicPartition(topic, partition), batch.outputs)))

    async def send_offsets_to_transaction(
        self, offsets: dict[TopicPartition, OffsetAndMetadata], group_id: str
    ) -> None:
        assert group_id
        if self._state is not _State.IN_TRANSACTION:
            raise IllegalOperation("Not in the middle of a transaction")
        await asyncio.shield(self._then(partial(self._add_offsets, offsets)))

    async def commit_transaction(self) -> None:
        self._enter(_State.COMMITTING, source=_State.IN_TRANSACTION)
        await asyncio.shield(self._then(self._commit))
        self._enter(_State.READY, source=_State.COMMITTING)

    def _then(self, work: Callable[[], Awaitable[Any]]) -> "asyncio.Task[Any]":
        """Do something after everything that was asked for before. Nobody but the end of the worker cancels it."""
        before = self._sending

        async def after() -> Any:
            if before is not None:
                await asyncio.wait({before})
            if self._error is not None:
                raise copy.copy(self._error)
            try:
                return await work()
            except Exception as error:
                self._state, self._error = _State.FATAL_ERROR, error
                raise

        task = asyncio.ensure_future(after())
        self._sending = task
        return task

    async def _append(self, partition: TopicPartition, outputs: Sequence[Output]) -> RecordMetadata:
        def append() -> int | None:
            return self._broker.append_in_transaction(self._id, self._epoch, partition, outputs)

        while (base := await self._wire.exchange(append)) is None:  # noqa: ASYNC110 - as clients do
            await asyncio.sleep(RETRY_S)
        return RecordMetadata(partition.topic, partition.partition, partition, base, -1, 0, 0)

    async def _add_offsets(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        for source, offset in offsets.items():

            def add(source: TopicPartition = source, offset: OffsetAndMetadata = offset) -> bool:
                return self._broker.add_offset(self._id, self._epoch, source, offset)

            while not await self._wire.exchange(add):  # noqa: ASYNC110 - as clients do
                await asyncio.sleep(RETRY_S)

    async def _commit(self) -> None:
        await self._wire.exchange(lambda: self._broker.commit(self._id, self._epoch))

    def _enter(self, state: _State, *, source: _State) -> None:
        if self._state is not source:
            raise AssertionError(f"Invalid state transition {self._state} -> {state}")  # as aiokafka does
        self._state = state


class SimulatedConsumer:
    """A consumer without a group: what it reads is assigned and sought by hand."""

    def __init__(self, broker: Broker, wire: Wire, *, read_committed: bool) -> None:
        self._broker = broker
        self._wire = wire
        self._read_committed = read_committed
        self._positions: dict[TopicPartition, int | None] = {}
        self._stopped = False

    async def start(self) -> None:
        await self._wire.ask(lambda: None)

    async def stop(self) -> None:
        self._stopped = True

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._wire.ask(lambda: dict.fromkeys(partitions, 0))

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        def ends() -> dict[TopicPartition, int]:
            return {each: self._broker.end(each, read_committed=self._read_committed) for each in partitions}

        return await self._wire.ask(ends)

    @property
    def _client(self) -> Any:
        """The client below, whose metadata `partitions_of` asks for."""
        return SimpleNamespace(
            force_metadata_update=lambda: self._wire.step_within(REQUEST_TIMEOUT_S),
            fetch_all_metadata=self._fetch_all_metadata,
        )

    async def _fetch_all_metadata(self) -> Any:
        counts = await self._wire.ask(lambda: dict(self._broker.partitions))
        return SimpleNamespace(
            partitions_for_topic=lambda topic: set(range(counts[topic])) if topic in counts else None
        )

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        self._positions = dict.fromkeys(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        assert partition in self._positions
        self._positions[partition] = offset

    async def position(self, partition: TopicPartition) -> int:
        position = self._positions[partition]
        assert position is not None, "the reader has no position and no policy to find one"
        return position

    def last_stable_offset(self, partition: TopicPartition) -> int:
        return self._broker.end(partition, read_committed=True)

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[ConsumerRecord]]:
        if self._stopped:
            raise ConsumerStoppedError
        ((partition, position),) = self._positions.items()
        assert position is not None
        if not await self._wire.step_within(timeout_ms / 1000):
            return {}
        if self._broker.end(partition, read_committed=self._read_committed) <= position:
            await self._broker.wait_for_change(partition, timeout_ms / 1000)
        limit = min(max_records, self._wire.dice.randint(1, FETCH_RECORDS_MAX))
        records, after = self._broker.fetch(partition, position, limit, read_committed=self._read_committed)
        if not await self._wire.step_within(timeout_ms / 1000):
            return {}
        self._positions[partition] = after
        return {partition: records} if records else {}


class SimulatedAdmin:
    """What shards ask an admin client."""

    def __init__(self, broker: Broker, wire: Wire) -> None:
        self._broker = broker
        self._wire = wire

    async def start(self) -> None:
        await self._wire.ask(lambda: None)

    async def close(self) -> None:
        pass

    async def list_consumer_group_offsets(
        self, group_id: str, *, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        assert group_id
        nothing = OffsetAndMetadata(-1, "")
        return await self._wire.ask(
            lambda: {each: self._broker.group_offsets.get(each, nothing) for each in partitions}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedClients(KafkaClients):
    """Makes clients of the broker in memory."""

    broker: Broker
    wire: Wire

    def consumer(
        self,
        *,
        read_committed: bool = True,
        retry_backoff_ms: int = 10,  # noqa: ARG002
        fetch_max_wait_ms: int = 500,  # noqa: ARG002
    ) -> Any:
        return SimulatedConsumer(self.broker, self.wire, read_committed=read_committed)

    def admin(self) -> Any:
        return SimulatedAdmin(self.broker, self.wire)

    def transactional_producer(self, transactional_id: str, *, request_timeout_ms: int) -> Any:  # noqa: ARG002
        return SimulatedProducer(self.broker, self.wire, transactional_id)


def troubles(dice: random.Random) -> BaseException:
    """Return one of the errors that the clients have been seen to raise, or can by their source."""
    errors: list[BaseException] = [
        KafkaError("Unexpected error during batch delivery"),
        ProducerFenced(),
        IllegalOperation("Can't send messages while not in transaction"),
        AssertionError("Invalid state transition"),
        asyncio.CancelledError(),
        asyncio.InvalidStateError(),
        ConsumerStoppedError(),
        TimeoutError(),
        OSError("connection lost"),
        EOFError("a batch that cannot be unpacked"),
    ]
    return dice.choice(errors)
