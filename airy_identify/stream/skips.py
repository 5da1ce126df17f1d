"""Records that are passed over by an operator's decision: the book of them, kept up to date from their topic.

A skip acts when a shard meets the record while it stands in the book. The transaction that passes the record holds
the record itself, for the dead letters, and the skip again, as passed: so a rebuild knows what the table was made without.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord

from airy_identify.kafka import partitions_of, read_to_end
from airy_identify.stream.agents.replies import DeadLetters
from airy_identify.stream.batch import Batch
from airy_identify.wire.errors import UndecodableError
from airy_identify.wire.skips import Skip, decode_skip, encode_skip, encode_skip_key

logger = logging.getLogger(__name__)

SKIPPED = "skipped"
"""The code of a dead letter that was passed over."""

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

    def pass_over_again(self, batch: Batch, record: ConsumerRecord) -> None:
        """Keep a record from the agent that a shard has passed over before, when the table was another generation's."""
        if self.book.passed(record.topic, record.partition, record.offset) is not None:
            batch.pass_over(record.offset)

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


async def read_skips(consumer: AIOKafkaConsumer, topic: str, book: SkipBook) -> None:
    """Read the whole topic into the book. Raises `KafkaError`."""
    async for records in read_to_end(consumer, await partitions_of(consumer, topic)):
        for record in records:
            book.apply(record)
