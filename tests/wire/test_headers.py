import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import RequestId
from airy_identify.wire.headers import (
    CORRELATION_ID,
    CORRELATION_ID_BYTES_MAX,
    REPLY_PARTITION,
    REPLY_TOPIC,
    Headers,
    ReplyHeaders,
    read_reply,
)
from tests import builders as make

ALLOWED = frozenset({"identify-responses", "team-answers"})
PARTITION_COUNTS = {"identify-responses": 8, "team-answers": 2}


def read(headers: Headers | None) -> ReplyHeaders | Rejected:
    return read_reply(
        headers, default_topic="identify-responses", allowed_topics=ALLOWED, partition_counts=PARTITION_COUNTS
    )


def accepted(headers: Headers | None) -> ReplyHeaders:
    reply = read(headers)
    assert isinstance(reply, ReplyHeaders)
    return reply


@pytest.mark.parametrize("headers", [None, (), [("other", b"x"), ("traceparent", None)]])
def test_without_headers_the_answer_goes_to_the_default_topic(headers: Headers | None) -> None:
    reply = accepted(headers)
    assert reply == ReplyHeaders(topic="identify-responses", partition=None, correlation_id=None)
    assert reply.reply_to(RequestId("r-ü")) == make.make_reply_to(correlation_id="r-ü".encode())


def test_springs_three_headers_are_read() -> None:
    correlation_id = bytes(range(240, 256))
    reply = accepted(
        [(REPLY_TOPIC, b"team-answers"), (REPLY_PARTITION, b"\x00\x00\x00\x01"), (CORRELATION_ID, correlation_id)]
    )
    expected = make.make_reply_to(topic="team-answers", partition=1, correlation_id=correlation_id)
    assert reply.reply_to(RequestId("r-1")) == expected


@given(st.binary())
def test_any_correlation_id_is_returned_unchanged(correlation_id: bytes) -> None:
    reply_to = accepted([(CORRELATION_ID, correlation_id)]).reply_to(RequestId("r-1"))
    assert reply_to.correlation_id == correlation_id


def test_of_doubled_headers_the_last_counts() -> None:
    reply = accepted(
        [
            (CORRELATION_ID, b"first"),
            (REPLY_TOPIC, b"elsewhere"),
            (CORRELATION_ID, b"last"),
            (REPLY_TOPIC, b"team-answers"),
        ]
    )
    assert reply == ReplyHeaders(topic="team-answers", partition=None, correlation_id=b"last")


def test_headers_whose_value_is_null_are_as_if_absent() -> None:
    assert accepted([(REPLY_TOPIC, None), (REPLY_PARTITION, None), (CORRELATION_ID, None)]) == accepted(None)


@pytest.mark.parametrize("topic", [b"", b"identity-commands", b"\xff\xfe", b"team-answers "])
def test_a_reply_topic_that_is_not_allowed_is_refused(topic: bytes) -> None:
    refused = read([(REPLY_TOPIC, topic), (CORRELATION_ID, b"x")])
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.field) == (Reason.FORBIDDEN, REPLY_TOPIC)


@pytest.mark.parametrize(
    ("value", "partition"),
    [
        (b"\x00\x00\x00\x00", 0),
        (b"\x00\x00\x00\x07", 7),
        (b"\x00\x00\x00\x08", None),
        (b"\x07\x00\x00\x00", None),
        (b"\xff\xff\xff\xff", None),
        (b"\x80\x00\x00\x00", None),
        (b"", None),
        (b"1", None),
        (b"\x00\x00\x01", None),
        (b"\x00\x00\x00\x00\x01", None),
    ],
)
def test_a_partition_is_four_bytes_in_range_or_as_if_absent(value: bytes, partition: int | None) -> None:
    assert accepted([(REPLY_PARTITION, value)]).partition == partition


def test_the_range_is_that_of_the_reply_topic() -> None:
    headers = [(REPLY_TOPIC, b"team-answers"), (REPLY_PARTITION, b"\x00\x00\x00\x07")]
    assert accepted(headers).partition is None


def test_a_partition_of_a_topic_of_unknown_size_is_as_if_absent() -> None:
    reply = read_reply(
        [(REPLY_PARTITION, bytes(4))], default_topic="a", allowed_topics=frozenset({"a"}), partition_counts={}
    )
    assert isinstance(reply, ReplyHeaders)
    assert reply.partition is None


def test_a_correlation_id_that_no_answer_could_carry_is_refused() -> None:
    longest = b"x" * CORRELATION_ID_BYTES_MAX
    assert accepted([(CORRELATION_ID, longest)]).correlation_id == longest
    refused = read([(CORRELATION_ID, longest + b"x")])
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.field) == (Reason.INVALID_FIELD, CORRELATION_ID)
