"""The batch transaction: outputs, answers, changed rows and the progress row of one batch, all or nothing."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import OffsetAndMetadata, RecordMetadata, TopicPartition

from airy_identify.header_names import append, batch_with
from airy_identify.kafka import BATCH_BYTES
from airy_identify.stream.batch import Answer, Batch, Output
from airy_identify.stream.errors import OutcomeUnknownError, ReplyTopicError
from airy_identify.stream.group import NOTHING_APPLIED

OFFSETS_EVERY_S = 1.0
"""How often a busy shard writes the group's offset; one that has nothing left to read writes it then.

Offsets are for lag displays only, reading goes on by the progress row. Two more round trips are no part of a batch
that somebody waits for.
"""

REPLY_TOPIC_CHECK_S = 1.0
"""How long answers may be under way before the brokers are asked whether their topics still exist."""

_POLL_S = 0.05

Sent = asyncio.Future[RecordMetadata]


@dataclass(frozen=True, slots=True)
class _SentAnswers:
    """A record batch of answers on its way."""

    future: Sent
    place: TopicPartition
    answers: tuple[Answer, ...]


class BatchTransaction:
    """Commits the batches of one shard with its transactional producer.

    `one_by_one` says of which topics the answers go in record batches of their own.
    """

    def __init__(
        self,
        producer: AIOKafkaProducer,
        *,
        source: TopicPartition,
        changelog: TopicPartition,
        group_id: str,
        one_by_one: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._producer = producer
        self._source = source
        self._changelog = changelog
        self._group_id = group_id
        self._one_by_one = one_by_one
        self._reported_position = -1
        self._unreported_since: float | None = None

    async def commit(self, batch: Batch, *, position: int) -> int:
        """Publish the batch and return the changelog position after it.

        `position` is where the reader stands now. The last row of the batch is its progress row, so that the
        position of a store always follows one. Raises `KafkaError`, `asyncio.CancelledError` or `OutcomeUnknownError`: then
        nothing is known about the batch, and the shard has to be opened again; `ReplyTopicError` when this is because
        of an answer that its topic does not take.
        """
        rows: list[Output] = [(key, row, ()) for key, row in batch.rows.items()]
        answers = {place: answers for place, answers in batch.answers.items() if place is not None}
        for place in answers:
            await self._check(place)
        await self._producer.begin_transaction()
        sent_answers = [sent for place, listed in answers.items() for sent in await self._send_answers(place, listed)]
        sent = [await self._send(partition, records) for partition, records in batch.outputs.items()]
        sent.append(await self._send(self._changelog, rows))
        futures = [future for of_partition, _ in sent for future in of_partition]
        await self._published(futures, sent_answers)
        now_s = time.monotonic()
        if self._unreported_since is None:
            self._unreported_since = now_s
        if now_s - self._unreported_since > OFFSETS_EVERY_S:
            await self._report(position)
        await self._producer.commit_transaction()
        return self._position_after(futures[-1], sent[-1][1])

    def _position_after(self, last: Sent, records: int) -> int:
        """Return the changelog position after the last record batch."""
        base_offset = int(last.result().offset)
        if base_offset < 0:
            raise OutcomeUnknownError(f"{self._changelog}: the broker gave no offset for a committed batch")
        return base_offset + records

    async def report_position(self, position: int, *, applied: bool, again: bool = False) -> None:
        """Write the group's offset when nothing is left to read, so that lag displays show zero.

        With `again`, also if it is known already: what is committed shows that this producer still has the shard.
        `applied` is false while nothing of the log was applied: a log may begin with what nobody reads.
        """
        if position == self._reported_position and not again:
            return
        await self._producer.begin_transaction()
        await self._report(position, "" if applied else NOTHING_APPLIED)
        await self._producer.commit_transaction()

    async def write_rows(self, rows: Iterable[tuple[bytes, bytes | None]]) -> int:
        """Write rows to the changelog, in a transaction of their own; return the changelog position after them.

        Raises as `commit` does.
        """
        await self._producer.begin_transaction()
        futures, count = await self._send(self._changelog, [(key, row, ()) for key, row in rows])
        await asyncio.gather(*futures)
        await self._producer.commit_transaction()
        return self._position_after(futures[-1], count)

    async def write(self, place: TopicPartition, key: bytes, value: bytes) -> None:
        """Write one record in a transaction of its own.

        Nobody can but who has the shard: a former owner's producer is fenced.
        """
        await self._producer.begin_transaction()
        futures, _ = await self._send(place, [(key, value, ())])
        await asyncio.gather(*futures)
        await self._producer.commit_transaction()

    async def _report(self, position: int, metadata: str = "") -> None:
        offsets = {self._source: OffsetAndMetadata(position, metadata)}
        await self._producer.send_offsets_to_transaction(offsets, self._group_id)
        self._reported_position, self._unreported_since = position, None

    async def _send(self, partition: TopicPartition, records: Iterable[Output]) -> tuple[list[Sent], int]:
        """Send records as few batches; return a future for each batch, and the number of records in the last one."""
        futures: list[Sent] = []
        batch, count = self._producer.create_batch(), 0
        for output in records:
            if not append(batch, *output):
                if count:
                    sent = await self._producer.send_batch(batch, partition.topic, partition=partition.partition)
                    futures.append(sent)
                batch, count = batch_with(self._producer, BATCH_BYTES, *output), 0
            count += 1
        futures.append(await self._producer.send_batch(batch, partition.topic, partition=partition.partition))
        return futures, count

    async def _send_answers(self, place: TopicPartition, answers: list[Answer]) -> list[_SentAnswers]:
        """Send answers as few batches, or each in one of its own where that is called for."""
        groups = [[answer] for answer in answers] if self._one_by_one(place.topic) else [answers]
        sent: list[_SentAnswers] = []
        for group in groups:
            futures, _ = await self._send(place, [answer.output for answer in group])
            sent += [_SentAnswers(future, place, tuple(group)) for future in futures]
        return sent

    async def _published(self, futures: list[Sent], answers: list[_SentAnswers]) -> None:
        """Return when everything is with the brokers.

        An answer that cannot be published is looked for first: it fails the rest of its transaction too, in ways that
        do not tell why.
        """
        if not answers:
            await asyncio.gather(*futures)
            return
        everything = {*futures, *(sent.future for sent in answers)}
        while True:
            done, pending = await asyncio.wait(
                everything, timeout=REPLY_TOPIC_CHECK_S, return_when=asyncio.FIRST_EXCEPTION
            )
            failed = any(future.cancelled() or future.exception() is not None for future in done)
            if failed and (waiting := {sent.future for sent in answers} & pending):
                await asyncio.wait(waiting, timeout=REPLY_TOPIC_CHECK_S)
            for sent in answers:
                _raise_for(sent)
            if failed or not pending:
                for future in done:
                    future.result()
                return
            for place in {sent.place for sent in answers if not sent.future.done()}:
                await self._check(place, again=True)

    async def _check(self, place: TopicPartition, *, again: bool = False) -> None:
        """Raise `ReplyTopicError` when the brokers say that there is no such partition, and keep to it for a second.

        Unless it is asked `again`, what the client knows already will do.
        """
        client = self._producer.client
        if not again and place.partition in (client.cluster.partitions_for_topic(place.topic) or ()):
            return
        deadline = time.monotonic() + REPLY_TOPIC_CHECK_S
        client.add_topic(place.topic)
        while await client.force_metadata_update():
            partitions = client.cluster.partitions_for_topic(place.topic)
            if place.partition in (partitions or ()):
                return
            if place.topic in client.cluster.unauthorized_topics:
                raise ReplyTopicError(place, "may not be looked at by this service")
            if time.monotonic() > deadline:
                if partitions:
                    raise ReplyTopicError(place, "is no partition of that topic", whole_topic=False)
                raise ReplyTopicError(place, "does not exist")
            await asyncio.sleep(_POLL_S)
        # No broker answers, so nothing is known. The transaction will say what it says without them.


def _raise_for(sent: _SentAnswers) -> None:
    """Raise `ReplyTopicError` when the brokers have refused these answers for good."""
    if not sent.future.done() or sent.future.cancelled():
        return
    error = sent.future.exception()
    if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
        smallest = min(answer.size_bytes for answer in sent.answers)
        alone = len(sent.answers) == 1
        raise ReplyTopicError(sent.place, "takes no record as large as this", size_bytes_min=smallest, alone=alone)
    if isinstance(error, TopicAuthorizationFailedError):
        raise ReplyTopicError(sent.place, "may not be written by this service") from error
    if isinstance(error, InvalidTopicError | PolicyViolationError):
        raise ReplyTopicError(sent.place, f"does not take it ({type(error).__name__})") from error


def abandon(producer: AIOKafkaProducer) -> None:
    """Give up what a producer has not published, so that it can be closed.

    aiokafka goes on forever to add a partition that does not exist any more to the transaction, and closing it waits
    for that. The transaction is aborted by the next owner's fence.
    """
    producer._message_accumulator.fail_all(KafkaError("given up"))  # noqa: SLF001 - the client has no way to say it
