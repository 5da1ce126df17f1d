"""Answers and dead letters, as every agent writes them."""

from dataclasses import dataclass
from typing import Protocol

from aiokafka.structs import ConsumerRecord

from airy_identify.core.commands import ReplyTo
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import RequestId
from airy_identify.kafka import partition_for
from airy_identify.stream.batch import Batch, Headers
from airy_identify.wire.answers import ANSWER_SCHEMA_HEADER, AnswerBody, encode_answer, error_body, iso_time
from airy_identify.wire.headers import (
    CORRELATION_ID,
    DEAD_LETTER_CODE,
    DEAD_LETTER_OFFSET,
    DEAD_LETTER_PARTITION,
    DEAD_LETTER_TEXT,
    DEAD_LETTER_TIME,
    DEAD_LETTER_TOPIC,
)


def send_answer(batch: Batch, reply_to: ReplyTo, request_id: RequestId, body: AnswerBody) -> None:
    """Publish an answer: keyed by request id, with the caller's correlation id unchanged and the name of its schema."""
    headers: Headers = ((CORRELATION_ID, reply_to.correlation_id), (ANSWER_SCHEMA_HEADER, body.schema.encode()))
    batch.send(reply_to.topic, request_id.encode(), encode_answer(body), headers, reply_to.partition)


def send_error(batch: Batch, reply_to: ReplyTo, request_id: RequestId, rejected: Rejected) -> None:
    """Publish a refusal."""
    send_answer(batch, reply_to, request_id, error_body(rejected, request_id))


class DeadLetterMetrics(Protocol):
    """Where dead letters are counted."""

    def dead_lettered(self, code: str) -> None:
        """Count one, by its code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetters:
    """Where records go that could not be processed: the topic, and its number of partitions."""

    topic: str
    partitions: int
    metrics: DeadLetterMetrics

    def send(self, batch: Batch, record: ConsumerRecord, rejected: Rejected, now_ms: int) -> None:
        """Publish a record that is no request, or no value."""
        self.send_as(batch, record, rejected.reason.value, rejected.message, now_ms)

    def send_as(self, batch: Batch, record: ConsumerRecord, code: str, text: str, now_ms: int) -> None:
        """Publish a record byte for byte, its own headers first, then where it came from and why it is here."""
        ours = (
            (DEAD_LETTER_TOPIC, record.topic),
            (DEAD_LETTER_PARTITION, str(record.partition)),
            (DEAD_LETTER_OFFSET, str(record.offset)),
            (DEAD_LETTER_CODE, code),
            (DEAD_LETTER_TEXT, text),
            (DEAD_LETTER_TIME, iso_time(now_ms)),
        )
        headers: Headers = (*record.headers, *((name, value.encode()) for name, value in ours))
        number = record.partition if record.key is None else partition_for(record.key, self.partitions)
        batch.send(self.topic, record.key, record.value, headers, number % self.partitions)
        self.metrics.dead_lettered(code)
