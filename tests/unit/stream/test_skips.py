from airy_identify.stream.agents.replies import DeadLetters
from airy_identify.stream.batch import Batch
from airy_identify.stream.skips import SkipBook, Skipping
from airy_identify.wire.headers import DEAD_LETTER_CODE, DEAD_LETTER_TEXT
from airy_identify.wire.skips import Skip, decode_skip, encode_skip, encode_skip_key
from tests.builders import make_skip
from tests.records import make_record


class Counted:
    """Counts dead letters."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def dead_lettered(self, code: str) -> None:
        self.codes.append(code)


class NoRows:
    """An empty table."""

    def get(self, key: bytes) -> bytes | None:  # noqa: ARG002
        return None


def book_of(*skips: Skip) -> SkipBook:
    book = SkipBook()
    for skip in skips:
        book.apply(make_record(key=encode_skip_key(skip), value=encode_skip(skip)))
    return book


def test_asked_for_and_passed_are_two_things() -> None:
    skip = make_skip(topic="log", partition=0, offset=7)
    assert encode_skip_key(skip) != encode_skip_key(make_skip(topic="log", partition=0, offset=7, passed=True))
    book = book_of(skip)
    assert (book.asked("log", 0, 7), book.passed("log", 0, 7)) == (skip, None)

    book = book_of(skip, make_skip(topic="log", partition=0, offset=7, passed=True))

    assert book.passed("log", 0, 7) is not None
    for place in (("log", 0, 8), ("log", 1, 7), ("other", 0, 7)):
        assert book.asked(*place) is None


def test_whoever_listens_is_told_of_every_change() -> None:
    told = []
    book = SkipBook()
    book.listeners.add(lambda: told.append(1))
    skip = make_skip()
    book.apply(make_record(value=encode_skip(skip)))

    assert told == [1]


def test_what_is_no_skip_is_passed_by() -> None:
    book = SkipBook()
    book.apply(make_record(value=b"nonsense"))
    book.apply(make_record(value=None))
    assert book.asked("log", 0, 0) is None


def test_a_skipped_record_leaves_a_dead_letter_and_its_trace() -> None:
    skip, metrics = make_skip(topic="log", partition=0, offset=7), Counted()
    dead_letters = DeadLetters(topic="dead", partitions=1, metrics=metrics)
    skipping = Skipping(book=book_of(skip), topic="skips", dead_letters=dead_letters)
    records = [make_record(offset=number, value=b"%d" % number) for number in (6, 7, 8)]
    batch = Batch(records, NoRows(), {"dead": 1})
    for record in records:
        skipping.prepare(batch, record)

    assert [record.offset for record in batch] == [6, 8]
    assert batch.last_record.offset == 8
    sent = {partition.topic: outputs for partition, outputs in batch.outputs.items()}
    ((_, value, headers),) = sent["dead"]
    assert value == b"7"
    assert dict(headers)[DEAD_LETTER_CODE] == b"skipped"
    assert dict(headers)[DEAD_LETTER_TEXT] == b"skipped by ada@ops-1: a defect of the rules"
    ((key, value, _),) = sent["skips"]
    assert value is not None
    passed = decode_skip(value)
    assert (passed.passed, passed.place, key) == (True, skip.place, encode_skip_key(passed))
    assert metrics.codes == ["skipped"]


def test_a_batch_of_skipped_records_only_is_passed_too() -> None:
    skipping = Skipping(
        book=book_of(make_skip(topic="log", partition=0, offset=7)),
        topic="skips",
        dead_letters=DeadLetters(topic="dead", partitions=1, metrics=Counted()),
    )
    record = make_record(offset=7)
    batch = Batch([record], NoRows(), {"dead": 1})
    skipping.prepare(batch, record)

    assert list(batch) == []
    assert (batch.last_record.offset, len(batch)) == (7, 1)
