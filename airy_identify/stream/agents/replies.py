"""Answers and dead letters, as every agent writes them."""

from dataclasses import dataclass
from typing import Protocol

from aiokafka.structs import ConsumerRecord

from airy_identify.core.commands import ReplyTo
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import RequestId
from airy_identify.header_names import name_bytes
from airy_identify.kafka import partition_for
from airy_identify.stream.agents import trail
from airy_identify.stream.batch import Answer, Batch, Headers, Output
from airy_identify.topics import DEAD_LETTER_BYTES_MAX
from airy_identify.wire.answers import (
    ANSWER_SCHEMA_HEADER,
    NO_SCHEMA_IDS,
    AnswerBody,
    SchemaIds,
    encode_answer,
    error_body,
    iso_time,
)
from airy_identify.wire.headers import (
    CORRELATION_ID,
    DEAD_LETTER_BYTES_LOST,
    DEAD_LETTER_CODE,
    DEAD_LETTER_OFFSET,
    DEAD_LETTER_PARTITION,
    DEAD_LETTER_REPLY_PARTITION,
    DEAD_LETTER_REPLY_TOPIC,
    DEAD_LETTER_TEXT,
    DEAD_LETTER_TIME,
    DEAD_LETTER_TOPIC,
    UNDELIVERABLE_ANSWER,
)

_BYTES_KEPT_MAX = DEAD_LETTER_BYTES_MAX - 64 * 1024
"""What of a record is kept: our own headers have to fit too."""


def send_answer(
    batch: Batch, reply_to: ReplyTo, request_id: RequestId, body: AnswerBody, schema_ids: SchemaIds = NO_SCHEMA_IDS
) -> None:
    """Publish an answer: keyed by request id, with the caller's correlation id unchanged and the name of its schema."""
    trail.passed(batch, request_id, "answer sent")
    headers: Headers = ((CORRELATION_ID, reply_to.correlation_id), (ANSWER_SCHEMA_HEADER, body.schema.encode()))
    value = encode_answer(body, reply_to.format, schema_ids)
    batch.answer(reply_to.topic, request_id.encode(), value, headers, reply_to.partition)


def send_error(
    batch: Batch, reply_to: ReplyTo, request_id: RequestId, rejected: Rejected, schema_ids: SchemaIds = NO_SCHEMA_IDS
) -> None:
    """Publish a refusal."""
    trail.refused(batch, request_id, rejected)
    send_answer(batch, reply_to, request_id, error_body(rejected, request_id), schema_ids)


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
        output: Output = (record.key, record.value, tuple(record.headers))
        self._send(batch, record, output, _Why(code, text, now_ms))

    def send_answer(self, batch: Batch, answer: Answer, why: str, now_ms: int) -> None:
        """Publish an answer that its reply topic does not take, with the record it answers and where it should go."""
        meant_for = [(DEAD_LETTER_REPLY_TOPIC, answer.topic)]
        if answer.partition is not None:
            meant_for.append((DEAD_LETTER_REPLY_PARTITION, str(answer.partition)))
        self._send(batch, answer.origin, answer.output, _Why(UNDELIVERABLE_ANSWER, why, now_ms, tuple(meant_for)))

    def _send(self, batch: Batch, origin: ConsumerRecord, output: Output, why: "_Why") -> None:
        key, value, own_headers = output
        number = origin.partition if key is None else partition_for(key, self.partitions)
        more = why.meant_for
        if (size_bytes := _size_bytes(output)) > _BYTES_KEPT_MAX:
            # A record that was compressed may be larger than any that we can write. Nothing may stop for it.
            key, value, own_headers = None, None, ()
            more = (*more, (DEAD_LETTER_BYTES_LOST, str(size_bytes)))
        ours = (
            (DEAD_LETTER_TOPIC, origin.topic),
            (DEAD_LETTER_PARTITION, str(origin.partition)),
            (DEAD_LETTER_OFFSET, str(origin.offset)),
            (DEAD_LETTER_CODE, why.code),
            (DEAD_LETTER_TEXT, why.text),
            (DEAD_LETTER_TIME, iso_time(why.now_ms)),
            *more,
        )
        headers: Headers = (*own_headers, *((name, said.encode()) for name, said in ours))
        batch.send(self.topic, key, value, headers, number % self.partitions)
        self.metrics.dead_lettered(why.code)
        trail.dead_lettered(origin, why.code)


@dataclass(frozen=True, slots=True)
class _Why:
    """What our headers of a dead letter say besides where it came from."""

    code: str
    text: str
    now_ms: int
    meant_for: tuple[tuple[str, str], ...] = ()


def _size_bytes(output: Output) -> int:
    key, value, headers = output
    return (
        len(key or b"")
        + len(value or b"")
        + sum(len(name_bytes(name)) + len(text or b"") + 10 for name, text in headers)
    )
