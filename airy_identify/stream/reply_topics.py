"""What a shard has learnt of reply topics that do not take answers: those answers become dead letters.

A lesson is learnt from a batch that failed. The shard opens again, as after every failure, and the batch comes again,
this time without the answers that cannot be published. Lessons are forgotten, so that a mended topic is used again.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aiokafka.structs import TopicPartition

from airy_identify.stream.batch import Answer
from airy_identify.stream.errors import ReplyTopicError

LESSON_S = 300.0
"""How long a lesson holds. To learn it again costs a shard about two seconds at most."""


@dataclass(frozen=True, slots=True)
class _Lesson:
    why: str
    size_bytes_min: int
    until_s: float


class ReplyTopics:
    """The lessons of one shard. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lessons: dict[tuple[str, int | None], _Lesson] = {}
        self._one_by_one: set[str] = set()

    def learn(self, error: ReplyTopicError) -> None:
        """Remember why a batch failed."""
        if not error.alone:
            self._one_by_one.add(error.place.topic)
            return
        partition = None if error.whole_topic else error.place.partition
        lesson = _Lesson(error.why, error.size_bytes_min, self._clock() + LESSON_S)
        self._lessons[error.place.topic, partition] = lesson

    def one_by_one(self, topic: str) -> bool:
        """Return whether answers to this topic go in record batches of their own: together they were too large."""
        return topic in self._one_by_one

    def why_not(self, place: TopicPartition | None, answer: Answer) -> str | None:
        """Return why this answer cannot be published, or null when nothing is known against it."""
        if place is None:
            return f"the topic {answer.topic} is not among the reply topics of this worker's settings"
        for partition in (None, place.partition):
            lesson = self._lessons.get((place.topic, partition))
            if lesson is None or answer.size_bytes < lesson.size_bytes_min or self._clock() > lesson.until_s:
                continue
            return f"the reply topic {place.topic}, partition {place.partition}: it {lesson.why}"
        return None
