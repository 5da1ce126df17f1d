"""Names of headers that are not UTF-8, against aiokafka's own compiled reader and builder."""

import inspect
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import aiokafka.consumer.fetcher
import pytest
from aiokafka.consumer.fetcher import Fetcher, PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder, _DefaultRecordBatchBuilderPy
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.header_names import (
    AnyNameBatch,
    AnyNamePartitionRecords,
    _Fetched,
    _Name,
    _read_by_hand,
    append,
    batch_with,
    name_bytes,
    read_any_header_name,
    shown_name,
)
from airy_identify.kafka import KafkaClients, close_client

READ_AND_TRIED = "0.14.0"
ODD = b"a\xff\xed\xa0\x80".decode(errors="surrogateescape")
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
PLACE = TopicPartition("log", 0)

Record = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]
PLAIN: Record = (b"key", b"value", [("name", b"text"), ("", None)])
WITH_ODD: Record = (b"key", b"value" * 50, [("name", b"1"), (ODD, b"2"), (ODD, None)])


def make_batch(
    *records: Record, codec: str = "none", first_offset: int = 0, transactional: bool = False, producer_id: int = -1
) -> bytearray:
    """Return a batch as a broker would hand it out."""
    builder = _DefaultRecordBatchBuilderPy(2, CODECS[codec], transactional, producer_id, 0, 0, 1_000_000)
    for number, (key, value, headers) in enumerate(records):
        builder.append(number, 1_000 + number, key, value, [(_Name(name), text) for name, text in headers])
    return placed(builder.build(), first_offset)


def placed(data: bytearray, first_offset: int) -> bytearray:
    data[:8] = first_offset.to_bytes(8, "big")
    return data


def sealed(data: bytearray) -> bytearray:
    """Put the checksum right, of everything that comes after it."""
    data[17:21] = calc_crc32c(bytes(data[21:])).to_bytes(4, "big")
    return data


def fetched(
    *batches: bytes | bytearray, aborted: Sequence[tuple[int, int]] = (), committed: bool = True, begin: int = 0
) -> Any:
    """Return what aiokafka's fetcher reads of these batches."""
    level = aiokafka.consumer.fetcher.READ_COMMITTED if committed else aiokafka.consumer.fetcher.READ_UNCOMMITTED
    return AnyNamePartitionRecords(PLACE, _Fetched(b"".join(batches)), aborted, begin, None, None, True, level)  # noqa: FBT003


def forget_it() -> None:
    aiokafka.consumer.fetcher.MemoryRecords = MemoryRecords
    aiokafka.consumer.fetcher.PartitionRecords = PartitionRecords


def it_is_remembered() -> bool:
    names = vars(aiokafka.consumer.fetcher)
    return (names["MemoryRecords"], names["PartitionRecords"]) == (_Fetched, AnyNamePartitionRecords)


def plain(records: Any) -> list[tuple[object, ...]]:
    return [(each.offset, each.timestamp, each.key, each.value, tuple(each.headers)) for each in records]


def test_the_version_is_the_one_whose_internals_were_read() -> None:
    assert version("aiokafka") == READ_AND_TRIED


def test_the_fetcher_takes_its_reader_by_the_name_that_is_replaced() -> None:
    assert "MemoryRecords(part_data[-1])" in inspect.getsource(Fetcher._proc_fetch_request)
    assert "PartitionRecords(" in inspect.getsource(Fetcher._proc_fetch_request)
    forget_it()
    read_any_header_name()
    assert it_is_remembered()


async def test_every_consumer_of_ours_reads_any_name() -> None:
    forget_it()
    await close_client(KafkaClients(bootstrap_servers="localhost:1").consumer())
    assert it_is_remembered()


def test_aiokafka_still_needs_this() -> None:
    with pytest.raises(UnicodeDecodeError):
        list(DefaultRecordBatch(make_batch(WITH_ODD)))
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1_000)
    size = builder.size()
    with pytest.raises(UnicodeEncodeError):
        builder.append(0, 0, *WITH_ODD)
    assert builder.size() == size, "nothing was written when it fails"


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_records_around_an_odd_name_are_read_once_and_in_order(codec: str, place: int) -> None:
    records = [PLAIN, PLAIN, PLAIN]
    records[place] = WITH_ODD
    found = fetched(
        make_batch(PLAIN, codec=codec), make_batch(*records, codec=codec, first_offset=7), make_batch(first_offset=99)
    )

    expected = [(0, 1_000, *PLAIN)] + [(7 + number, 1_000 + number, *each) for number, each in enumerate(records)]
    assert plain(found) == [(*fields, tuple(headers)) for *fields, headers in expected]
    assert found.next_fetch_offset == 100


def test_a_fetch_from_the_middle_of_a_batch_begins_there() -> None:
    found = fetched(make_batch(WITH_ODD, WITH_ODD, PLAIN, first_offset=7), begin=8)
    assert [record.offset for record in found] == [8, 9]


def test_a_batch_that_is_cut_off_is_left_for_the_next_fetch() -> None:
    whole, cut = make_batch(WITH_ODD), make_batch(WITH_ODD, first_offset=1)[:-3]
    found = fetched(whole, cut)
    assert [record.offset for record in found] == [0]
    assert found.next_fetch_offset == 1
    reader = _Fetched(bytes(cut))
    assert (reader.has_next(), reader.size_in_bytes()) == (False, len(cut))


def test_what_was_aborted_is_not_read_odd_names_or_not() -> None:
    data = make_batch(WITH_ODD, transactional=True, producer_id=5)
    marker = make_batch((b"\0\0\0\0", b"\0" * 6, ()), first_offset=1, producer_id=5)
    marker[22] |= 0x30  # transactional, control
    assert ControlRecord.parse(b"\0\0\0\0") == ABORT_MARKER
    after = make_batch(WITH_ODD, first_offset=2, transactional=True, producer_id=5)
    batches = (data, sealed(marker), after)

    assert [record.offset for record in fetched(*batches, aborted=[(5, 0)])] == [2]
    assert [record.offset for record in fetched(*batches, aborted=[(5, 0)], committed=False)] == [0, 2]


def test_time_stamps_of_the_broker_count_where_a_topic_wants_them() -> None:
    data = make_batch(WITH_ODD, WITH_ODD)
    data[22] |= 0x08
    data[35:43] = (77_000).to_bytes(8, "big")
    found = list(fetched(sealed(data)))
    assert [(record.timestamp, record.timestamp_type) for record in found] == [(77_000, 1), (77_000, 1)]


def test_old_message_formats_pass_by() -> None:
    builder = LegacyRecordBatchBuilder(1, 0, 1_000)
    for number in range(2):
        builder.append(number, timestamp=1_000, key=b"key", value=b"value")
    assert plain(fetched(builder.build())) == [(number, 1_000, b"key", b"value", ()) for number in range(2)]


def test_a_wrong_checksum_is_found() -> None:
    data = make_batch(WITH_ODD)
    data[-1] ^= 1
    with pytest.raises(CorruptRecordException):
        list(fetched(data))


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_record_that_ends_before_its_time_is_corrupt(cut: int) -> None:
    data = make_batch(WITH_ODD, (b"k", b"v", [(ODD, b"x" * 20)]))[:-cut]
    data[8:12] = (len(data) - 12).to_bytes(4, "big")
    with pytest.raises(CorruptRecordException):
        list(fetched(sealed(data)))


def test_bytes_after_the_last_record_are_corrupt() -> None:
    data = make_batch(WITH_ODD) + b"more"
    data[8:12] = (len(data) - 12).to_bytes(4, "big")
    with pytest.raises(CorruptRecordException, match="4 bytes after"):
        list(fetched(sealed(data)))


binaries = st.none() | st.binary(max_size=300)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
names = st.binary(max_size=20).map(lambda data: data.decode(errors="surrogateescape"))


def records_with(names: st.SearchStrategy[str]) -> st.SearchStrategy[list[Record]]:
    return st.lists(st.tuples(binaries, binaries, st.lists(st.tuples(names, binaries), max_size=4)), min_size=1)


@given(records_with(texts), st.sampled_from(sorted(CODECS)), st.integers(0, 3))
def test_reading_by_hand_is_reading_as_aiokafka_does(records: list[Record], codec: str, passed: int) -> None:
    data = bytes(make_batch(*records, codec=codec, first_offset=2**40))
    by_hand, compiled = list(_read_by_hand(data, passed)), list(DefaultRecordBatch(data))[passed:]
    assert plain(by_hand) == plain(compiled)
    assert [repr(record) for record in by_hand] == [repr(record) for record in compiled]


@given(records_with(texts))
def test_building_by_hand_is_building_as_aiokafka_does(records: list[Record]) -> None:
    compiled, by_hand = BatchBuilder(1_000_000, 0, is_transactional=True), AnyNameBatch(1_000_000, transactional=True)
    for key, value, headers in records:
        for batch in (compiled, by_hand):
            batch.append(timestamp=1_000, key=key, value=value, headers=list(headers))
    for batch in (compiled, by_hand):
        batch._set_producer_state(5, 6, 7)
    assert by_hand._build() == compiled._build()


def test_an_odd_name_is_written_as_the_bytes_that_it_is() -> None:
    compiled, by_hand = BatchBuilder(1_000, 0), AnyNameBatch(1_000, transactional=False)
    compiled.append(timestamp=1_000, key=None, value=b"value", headers=[("PLACE", b"text")])
    by_hand.append(timestamp=1_000, key=None, value=b"value", headers=[(ODD, b"text")])
    expected = sealed(bytearray(bytes(compiled._build()).replace(b"PLACE", name_bytes(ODD))))
    assert bytes(by_hand._build()) == bytes(expected)


@given(records_with(names))
def test_what_is_written_is_read(records: list[Record]) -> None:
    batch = AnyNameBatch(1_000_000, transactional=False)
    for key, value, headers in records:
        batch.append(timestamp=1_000, key=key, value=value, headers=headers)
    found = plain(fetched(bytes(batch._build())))
    assert found == [(number, 1_000, key, value, tuple(rest)) for number, (key, value, rest) in enumerate(records)]


class Producer:
    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(200, 0, is_transactional=True)


def test_a_batch_is_compiled_until_a_name_is_odd() -> None:
    batch = batch_with(Producer(), 200, b"key", b"value", [("name", b"text")])
    assert not isinstance(batch, AnyNameBatch)
    assert append(batch, b"key", b"value", [("name", b"text")])
    assert not append(batch, b"key", b"value", [(ODD, b"text")])
    assert batch.record_count() == 2
    assert append(batch, b"key", b"value", [("name", b"text")])
    assert not append(batch, b"key", b"x" * 200, [("name", b"text")]), "full"

    other = batch_with(Producer(), 200, b"key", b"value", [(ODD, b"text")])
    assert isinstance(other, AnyNameBatch)
    assert other.record_count() == 1
    assert append(other, b"key", b"value", [("name", b"text")])


def test_a_name_that_was_never_read_is_an_error_and_not_left_out() -> None:
    with pytest.raises(UnicodeEncodeError):
        batch_with(Producer(), 200, b"key", b"value", [("\ud800", b"text")])


def test_names_are_shown_as_text() -> None:
    assert shown_name("traceparent ü") == "traceparent ü"
    assert shown_name(ODD) == "a\\xff\\xed\\xa0\\x80"
