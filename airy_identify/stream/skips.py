"""Records that are passed over by an operator's decision: the book of them, kept up to date from their topic.

A skip acts when a shard meets the record while it stands in the book. The transaction that passes the record holds
the record itself, for the dead letters, and the skip again, as passed: so a rebuild knows what the table was made without.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from airy_identify.kafka import KafkaClients, close_client, partitions_of, read_to_end
from airy_identify.stream.agents.replies import DeadLetters
from airy_identify.stream.batch import Batch
from airy_identify.wire.errors import UndecodableError
from airy_identify.wire.skips import Skip, decode_skip, encode_skip, encode_skip_key

logger = logging.getLogger(__name__)

SKIPPED = "skipped"
"""The code of a dead letter that was passed over."""

_POLL_MS = 500
_RETRY_S = 1.0

_Place = tuple[str, int, int]


class SkipBook:
    """What was asked for, and what was passed. `listeners` are called after every change."""

    def __init__(self) -> None:
        self._asked: dict[_Place, Skip] = {}
        self._passed: dict[_Place, Skip] = {}
        self.listeners: set[Callable[[], object]] = set()

    def apply(self, record: ConsumerRecord) -> None:
        """Take in a record of the topic. One that is no skip is passed by and said: nothing rests on it."""
        if record.value is None:
            return
        try:
            skip = decode_skip(record.value)
        except UndecodableError as error:
            logger.error("%s:%d:%d is no skip: %s", record.topic, record.partition, record.offset, error)  # noqa: TRY400 - the traceback says nothing more
            return
        book = self._passed if skip.passed else self._asked
        book.setdefault((skip.topic, skip.partition, skip.offset), skip)
        for listener in tuple(self.listeners):
            listener()

    def asked(self, topic: str, partition: int, offset: int) -> Skip | None:
        """Return the skip of this record, if there is one: what a shard acts on."""
        return self._asked.get((topic, partition, offset))

    def passed(self, topic: str, partition: int, offset: int) -> Skip | None:
        """Return the skip of this record if a shard has passed it: what a table at or after it was made without."""
        return self._passed.get((topic, partition, offset))


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipping:
    """How shards pass records over: by which book, to which topic, and where the records go."""

    book: SkipBook
    topic: str
    dead_letters: DeadLetters

    def prepare(self, batch: Batch, record: ConsumerRecord) -> None:
        """Keep a record that is to be skipped from the agent, and put it and its skip into the batch's outputs."""
        skip = self.book.asked(record.topic, record.partition, record.offset)
        if skip is None:
            return
        batch.pass_over(record.offset)
        text = f"skipped by {skip.by}: {skip.reason}"
        self.dead_letters.send_as(batch, record, SKIPPED, text, skip.asked_at_ms)
        passed = replace(skip, passed=True)
        batch.send(self.topic, encode_skip_key(passed), encode_skip(passed), partition=0)
        logger.warning("%s is skipped, as %s decided: %s", skip.place, skip.by, skip.reason)


class SkipReader:
    """Keeps a `SkipBook` up to date: read to its end before the first batch, and followed from then on."""

    def __init__(self, clients: KafkaClients, topic: str, book: SkipBook) -> None:
        self._clients = clients
        self._topic = topic
        self._book = book
        self._read = asyncio.Event()

    async def wait_until_ready(self) -> None:
        """Return once the book is complete."""
        await self._read.wait()

    async def run(self) -> None:
        """Read and follow the topic until cancelled; after any trouble with Kafka, from the start again."""
        while True:
            consumer = self._clients.consumer(retry_backoff_ms=100)
            try:
                await consumer.start()
                await self._follow(consumer)
            except (KafkaError, OSError, asyncio.CancelledError) as error:
                # aiokafka raises `CancelledError` into its callers when a client closes under them.
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                logger.warning("reading the skips from %s failed (%r); trying again", self._topic, error)
            finally:
                await close_client(consumer)
            await asyncio.sleep(_RETRY_S)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        await read_skips(consumer, self._topic, self._book)
        self._read.set()
        while True:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    self._book.apply(record)


async def read_skips(consumer: AIOKafkaConsumer, topic: str, book: SkipBook) -> None:
    """Read the whole topic into the book. Raises `KafkaError`."""
    async for records in read_to_end(consumer, await partitions_of(consumer, topic)):
        for record in records:
            book.apply(record)
