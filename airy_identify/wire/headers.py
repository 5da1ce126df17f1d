"""Kafka headers: where a caller wants its answer (Spring's ReplyingKafkaTemplate 3.x), and what a dead letter tells."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from airy_identify.core.commands import AnswerFormat, ReplyTo
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import RequestId

REPLY_TOPIC = "kafka_replyTopic"
REPLY_PARTITION = "kafka_replyPartition"
CORRELATION_ID = "kafka_correlationId"

OURS = "airy_identify_ours"
"""On every record of Airy's topic `contacts` that this service wrote; Airy's own programs do not look at headers."""

REQUEST_ID = "airy_identify_request_id"
"""The id of a request that was a dead letter and comes again; the field `request_id` goes first."""

DEAD_LETTER_TOPIC = "airy_identify_topic"
DEAD_LETTER_PARTITION = "airy_identify_partition"
DEAD_LETTER_OFFSET = "airy_identify_offset"
DEAD_LETTER_CODE = "airy_identify_code"
DEAD_LETTER_TEXT = "airy_identify_text"
DEAD_LETTER_TIME = "airy_identify_time"
DEAD_LETTER_REPLY_TOPIC = "airy_identify_reply_topic"
"""Only of an answer that could not be published: where it was meant to go."""
DEAD_LETTER_REPLY_PARTITION = "airy_identify_reply_partition"
"""The same, when the caller had asked for a partition."""
DEAD_LETTER_BYTES_LOST = "airy_identify_bytes_lost"
"""Only of a record that was too large to be kept: its size."""
DEAD_LETTER_RETRIED = "airy_identify_retried"
"""Only of the note that a dead letter was sent again: `partition:offset` of it."""

UNDELIVERABLE_ANSWER = "undeliverable_answer"
"""The code of an answer that could not be published; no caller ever sees it."""

CORRELATION_ID_BYTES_MAX = 64 * 1024
"""A longer one would make commands and answers too large for their topics."""

_PARTITION_BYTES = 4

Headers = Iterable[tuple[str, bytes | None]]
"""Headers as Kafka has them: in order, names may be doubled, values may be null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyHeaders:
    """What a record's headers ask for, checked. `correlation_id` is null when there is none."""

    topic: str
    partition: int | None
    correlation_id: bytes | None

    def reply_to(self, request_id: RequestId, answer_format: AnswerFormat = AnswerFormat.JSON) -> ReplyTo:
        """Return where the answer goes; without a correlation id the request id's bytes stand in for it."""
        correlation_id = request_id.encode() if self.correlation_id is None else self.correlation_id
        return ReplyTo(topic=self.topic, partition=self.partition, correlation_id=correlation_id, format=answer_format)


def is_own_row(headers: Headers | None) -> bool:
    """Tell whether this service wrote a record of Airy's topic `contacts`."""
    return any(name == OURS for name, _ in headers or ())


def read_reply(
    headers: Headers | None,
    *,
    default_topic: str,
    allowed_topics: Collection[str],
    partition_counts: Mapping[str, int],
) -> ReplyHeaders | Rejected:
    """Return what the headers ask for, or why the reply topic or the correlation id is refused.

    A partition that is not 4 bytes, or out of the topic's range, is as if absent; so is one of a topic whose partition
    count is unknown. Of doubled headers the last counts; one whose value is null is as if absent.
    """
    last = dict(headers or ())
    topic_value = last.get(REPLY_TOPIC)
    topic = default_topic
    if topic_value is not None:
        topic = topic_value.decode(errors="replace")
        if topic not in allowed_topics:
            return Rejected(
                reason=Reason.FORBIDDEN,
                message=f"The topic in the header {REPLY_TOPIC} is not in the list of allowed reply topics.",
                field=REPLY_TOPIC,
            )
    correlation_id = last.get(CORRELATION_ID)
    if correlation_id is not None and len(correlation_id) > CORRELATION_ID_BYTES_MAX:
        return Rejected(
            reason=Reason.INVALID_FIELD,
            message=f"The header {CORRELATION_ID} has more than {CORRELATION_ID_BYTES_MAX} bytes.",
            field=CORRELATION_ID,
        )
    partition = _read_partition(last.get(REPLY_PARTITION), partition_counts.get(topic, 0))
    return ReplyHeaders(topic=topic, partition=partition, correlation_id=correlation_id)


def read_request_id(headers: Headers | None) -> str | None:
    """Return the id that a request has had before, null when there is none: text of ASCII, the last of several."""
    value = dict(headers or ()).get(REQUEST_ID)
    try:
        return None if value is None else value.decode("ascii")
    except UnicodeDecodeError:
        return None


def _read_partition(value: bytes | None, count: int) -> int | None:
    if value is None or len(value) != _PARTITION_BYTES:
        return None
    partition = int.from_bytes(value, "big", signed=True)
    return partition if 0 <= partition < count else None
