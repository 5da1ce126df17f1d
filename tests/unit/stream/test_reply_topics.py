from aiokafka.structs import TopicPartition

from airy_identify.stream.batch import Answer, Batch
from airy_identify.stream.errors import ReplyTopicError
from airy_identify.stream.reply_topics import LESSON_S, ReplyTopics
from tests.records import make_record

ONE, OTHER = TopicPartition("team", 0), TopicPartition("team", 1)


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def answer(*, value: bytes = b"", topic: str = "team") -> Answer:
    return Answer(origin=make_record(), topic=topic, partition=None, key=b"key", value=value, headers=())


def test_nothing_is_held_against_a_topic_at_first() -> None:
    assert ReplyTopics(Clock()).why_not(ONE, answer()) is None


def test_a_topic_that_the_settings_do_not_name_takes_nothing() -> None:
    assert "elsewhere" in (ReplyTopics(Clock()).why_not(None, answer(topic="elsewhere")) or "")


def test_a_topic_that_is_gone_takes_nothing_until_the_lesson_is_forgotten() -> None:
    clock = Clock()
    topics = ReplyTopics(clock)
    topics.learn(ReplyTopicError(ONE, "does not exist"))
    why = topics.why_not(OTHER, answer())
    assert why is not None
    assert "does not exist" in why
    assert topics.why_not(TopicPartition("another", 0), answer()) is None
    clock.now_s += LESSON_S + 1
    assert topics.why_not(OTHER, answer()) is None


def test_a_partition_that_is_gone_says_nothing_of_the_others() -> None:
    topics = ReplyTopics(Clock())
    topics.learn(ReplyTopicError(OTHER, "is no partition of that topic", whole_topic=False))
    assert topics.why_not(OTHER, answer()) is not None
    assert topics.why_not(ONE, answer()) is None


def test_answers_that_were_too_large_together_go_one_by_one_first() -> None:
    topics = ReplyTopics(Clock())
    topics.learn(ReplyTopicError(ONE, "too large", size_bytes_min=10, alone=False))
    assert topics.one_by_one("team")
    assert not topics.one_by_one("another")
    assert topics.why_not(ONE, answer(value=bytes(1000))) is None


def test_only_answers_as_large_as_the_one_that_failed_are_kept_back() -> None:
    topics = ReplyTopics(Clock())
    large = answer(value=bytes(100))
    topics.learn(ReplyTopicError(ONE, "too large", size_bytes_min=large.size_bytes))
    assert topics.why_not(OTHER, large) is not None
    assert topics.why_not(ONE, answer(value=bytes(99))) is None


def test_answers_are_diverted_one_by_one_and_the_others_stay_in_order() -> None:
    record = make_record()
    batch = Batch([record], {}, {"team": 2})
    for _ in batch:
        for value in (b"a", b"bb", b"c"):
            batch.answer("team", b"key", value, ())
        batch.answer("team", b"key", b"dd", (), 1)
        batch.answer("unknown", b"key", b"e", ())

    diverted = batch.divert(lambda place, kept: "why" if place is None or len(kept.value) > 1 else None)

    assert [(kept.value, kept.topic, why) for kept, why in diverted] == [
        (b"bb", "team", "why"),
        (b"dd", "team", "why"),
        (b"e", "unknown", "why"),
    ]
    assert [[kept.value for kept in answers] for answers in batch.answers.values()] == [[b"a", b"c"]]
    assert diverted[0][0].origin is record
