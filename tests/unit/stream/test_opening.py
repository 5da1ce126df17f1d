import pytest
from aiokafka.structs import TopicPartition

from airy_identify.stream.errors import ShardClosedError
from airy_identify.stream.opening import LogRange, check_progress
from airy_identify.stream.progress import fingerprint
from airy_identify.wire.rows import Progress
from tests.records import make_record

SOURCE = TopicPartition("log", 3)


def progress(offset: int) -> Progress:
    return Progress(offset=offset, fingerprint=b"f" * 16)


@pytest.mark.parametrize(("begin", "end", "applied"), [(0, 10, 4), (5, 10, 4), (0, 5, 4), (0, 1, 0)])
def test_reading_goes_on_after_what_was_applied(begin: int, end: int, applied: int) -> None:
    assert check_progress(progress(applied), LogRange(SOURCE, begin, end), needs_whole_log=True) == applied + 1


@pytest.mark.parametrize(("begin", "end", "applied"), [(6, 10, 4), (0, 4, 4), (0, 0, 0)])
def test_a_log_that_does_not_reach_from_there_on_closes_the_shard(begin: int, end: int, applied: int) -> None:
    with pytest.raises(ShardClosedError, match=rf"log:3: offset {applied} was applied last.*{begin} to {end - 1}"):
        check_progress(progress(applied), LogRange(SOURCE, begin, end), needs_whole_log=False)


def test_without_progress_a_fold_needs_the_start_of_its_log() -> None:
    assert check_progress(None, LogRange(SOURCE, 0, 10), needs_whole_log=True) == 0
    assert check_progress(None, LogRange(SOURCE, 7, 10), needs_whole_log=False) == 7
    with pytest.raises(ShardClosedError, match="begins at offset 7"):
        check_progress(None, LogRange(SOURCE, 7, 10), needs_whole_log=True)


def test_a_fingerprint_tells_records_apart() -> None:
    records = [
        make_record(),
        make_record(value=b"other"),
        make_record(key=b"other"),
        make_record(timestamp=5),
        make_record(key=None),
        make_record(key=b""),
        make_record(value=None),
        make_record(key=b"ke", value=b"yvalue"),
    ]

    assert len({fingerprint(record) for record in records}) == len(records)
    assert fingerprint(make_record()) == fingerprint(make_record(offset=99)), "the offset stands beside it"
    assert len(fingerprint(make_record())) == 16


def test_a_log_that_was_read_and_a_table_that_has_nothing_do_not_fit() -> None:
    """The group's offset tells that the changelog is lost: to begin again would give every answer again."""
    for needs_whole_log in (True, False):
        with pytest.raises(ShardClosedError, match=r"log:3: offsets up to 6 have been applied.*airy-identify verify"):
            check_progress(None, LogRange(SOURCE, 0, 10), needs_whole_log=needs_whole_log, committed=7)
