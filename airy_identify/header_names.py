"""Record headers whose names are not UTF-8: read, and written again, byte for byte.

Kafka's protocol says that a header's name is a UTF-8 string, but no broker checks it, and some clients send any bytes.
aiokafka decodes names strictly and stops at such a record for ever, which would let one producer stop a partition.
Here such a name is text all the same: bytes that are no UTF-8 are lone surrogates in it, as Python has them in names of
files (`surrogateescape`), and `name_bytes` gives the bytes back.

aiokafka has no setting for that. What is replaced is two classes of its fetcher, by the names that it knows them by,
and the builder within a batch to be sent; all of it is written against aiokafka 0.14.0, to which `pyproject.toml` pins
it, and `tests/unit/test_header_names.py` fails when another version works differently. A fetch goes through aiokafka's
own compiled reader, as ever, until that meets such a name: only then, and for the rest of this fetch, is there more to
do than catching an exception. The same with what is sent: until a name is not UTF-8, aiokafka's builder builds.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import aiokafka.consumer.fetcher
from aiokafka import AIOKafkaProducer
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecord, _DefaultRecordBatchBuilderPy, _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint_py as decode_varint  # the compiled one reads past the end
from aiokafka.structs import ConsumerRecord

Headers = Sequence[tuple[str, bytes | None]]

_MAGIC = 2
"""The message format that has headers: https://kafka.apache.org/documentation/#recordbatch."""


def name_bytes(name: str) -> bytes:
    """Return the bytes of a header's name."""
    return name.encode(errors="surrogateescape")


def shown_name(name: str) -> str:
    r"""Return a header's name for people and JSON: bytes that are not UTF-8 as `\xff`."""
    return name_bytes(name).decode(errors="backslashreplace")


def read_any_header_name() -> None:
    """Let all consumers of this process read such records. To be called before one fetches; again does nothing."""
    aiokafka.consumer.fetcher.MemoryRecords = _Fetched
    aiokafka.consumer.fetcher.PartitionRecords = AnyNamePartitionRecords


class _Fetched:
    """The bytes of one fetch, and what aiokafka's compiled reader makes of them."""

    __slots__ = ("data", "has_next", "next_batch", "size_in_bytes")

    def __init__(self, data: bytes) -> None:
        records = MemoryRecords(data)
        self.data = data
        self.has_next = records.has_next
        self.next_batch = records.next_batch
        self.size_in_bytes = records.size_in_bytes


class AnyNamePartitionRecords(PartitionRecords):  # type: ignore[misc]
    """The records of one fetch. It begins anew, at the batch at hand, when a name turns out not to be UTF-8."""

    _records: Any
    _records_iterator: Any

    def __next__(self) -> ConsumerRecord:
        try:
            return next(self._records_iterator)
        except StopIteration:
            self._records_iterator = None  # as aiokafka does, so that there is no cycle
            raise
        except UnicodeDecodeError:
            self._records = _AnyNameRecords(self._records.data, self.next_fetch_offset)
            self._records_iterator = self._unpack_records()
            return next(self._records_iterator)


class _AnyNameRecords:
    """What `MemoryRecords` is, for the batches of a fetch that hold this offset or a later one.

    They are of message format 2, as all with headers are: aiokafka reads no other format in a fetch that begins with it.
    """

    __slots__ = ("_begin", "_data", "_records", "has_next")

    def __init__(self, data: bytes, offset: int) -> None:
        self._begin = 0
        while _next_offset(data, self._begin) <= offset:
            self._begin = _end(data, self._begin)
        self._data = data
        self._records = MemoryRecords(data[self._begin :])
        self.has_next = self._records.has_next

    def next_batch(self) -> Any:  # noqa: ANN401 - aiokafka's batches share no base class
        """Return the next batch."""
        batch, begin = self._records.next_batch(), self._begin
        self._begin = _end(self._data, begin)
        return batch if batch.is_control_batch else _Batch(batch, self._data[begin : self._begin])


def _end(data: bytes, begin: int) -> int:
    """Return where the batch that begins here ends."""
    return begin + 12 + int.from_bytes(data[begin + 8 : begin + 12], "big")


def _next_offset(data: bytes, begin: int) -> int:
    """Return the offset after the batch that begins here: its first, and how far the last is from it."""
    return 1 + int.from_bytes(data[begin : begin + 8], "big") + int.from_bytes(data[begin + 23 : begin + 27], "big")


class _Batch:
    """A record batch of aiokafka's, read by hand from the record on that it cannot read."""

    __slots__ = ("_batch", "_data")

    def __init__(self, batch: Any, data: bytes) -> None:  # noqa: ANN401 - see above
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the fetcher asks
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[DefaultRecord]:
        count = 0
        try:
            for count, record in enumerate(self._batch, 1):  # noqa: B007 - how many there were, when it fails
                yield record
        except UnicodeDecodeError:
            yield from _read_by_hand(self._data, count)


def _read_by_hand(data: bytes, passed: int) -> Iterator[DefaultRecord]:
    """Yield the records of a batch but those that are passed already. Raises `CorruptRecordException`."""
    batch = iter(_DefaultRecordBatchPy(data))  # decompressed now
    buffer, pos = batch._buffer, batch._pos  # noqa: SLF001 - it has no method that reads anything but text
    for number in range(batch._num_records):  # noqa: SLF001 - the same
        try:
            record, pos = _read_record(batch, buffer, pos)
        except (IndexError, ValueError) as error:
            raise CorruptRecordException("a record ends before its time") from error
        if number >= passed:
            yield record
    if pos != len(buffer):
        raise CorruptRecordException(f"{len(buffer) - pos} bytes after the last record")


def _read_record(batch: _DefaultRecordBatchPy, buffer: bytearray, pos: int) -> tuple[DefaultRecord, int]:
    """Return the record at this place, and the place behind it."""
    length, pos = decode_varint(buffer, pos)
    end = pos + length
    _, pos = decode_varint(buffer, pos)  # attributes: none are in use
    timestamp_delta, pos = decode_varint(buffer, pos)
    offset_delta, pos = decode_varint(buffer, pos)
    key, pos = _read_bytes(buffer, pos)
    value, pos = _read_bytes(buffer, pos)
    count, pos = decode_varint(buffer, pos)
    headers: list[tuple[str, bytes | None]] = []
    for _ in range(count):
        name, pos = _read_bytes(buffer, pos)
        text, pos = _read_bytes(buffer, pos)
        headers.append(((name or b"").decode(errors="surrogateescape"), text))
    if pos != end or end > len(buffer):
        raise CorruptRecordException(f"a record of {length} bytes does not end where it should")
    of_batch = batch.timestamp_type == batch.LOG_APPEND_TIME
    timestamp = batch.max_timestamp if of_batch else batch.first_timestamp + timestamp_delta
    offset = batch.base_offset + offset_delta
    return DefaultRecord(offset, timestamp, batch.timestamp_type, key, value, headers), pos


def _read_bytes(buffer: bytearray, pos: int) -> tuple[bytes | None, int]:
    length, pos = decode_varint(buffer, pos)
    if length < 0:
        return None, pos
    return bytes(buffer[pos : pos + length]), pos + length


class AnyNameBatch(BatchBuilder):  # type: ignore[misc]
    """A batch to be sent whose headers may have any names; built in Python, and slower."""

    def __init__(self, batch_size: int, *, transactional: bool) -> None:
        super().__init__(batch_size, 0, is_transactional=transactional)
        self._builder = _DefaultRecordBatchBuilderPy(
            _MAGIC,
            0,
            is_transactional=transactional,
            producer_id=-1,
            producer_epoch=-1,
            base_sequence=0,
            batch_size=batch_size,
        )

    def append(self, *, timestamp: int | None, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Any:  # noqa: ANN401 - aiokafka's
        """Add a record; return null when the batch is full."""
        names = [(_Name(name), text) for name, text in headers]
        return super().append(timestamp=timestamp, key=key, value=value, headers=names)

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        """Replaces a method that insists on the compiled builder."""
        self._builder.set_producer_state(producer_id, producer_epoch, base_sequence)


class _Name(str):
    """A header's name that becomes the bytes it was read from."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> bytes:
        return super().encode(encoding, errors)


def append(batch: BatchBuilder, key: bytes | None, value: bytes | None, headers: Headers) -> bool:
    """Add a record to a batch; return false when it has to go into another one: this is full, or a name is no UTF-8."""
    try:
        return batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is not None
    except UnicodeEncodeError:  # raised before anything is written
        return False


def batch_with(
    producer: AIOKafkaProducer, batch_size: int, key: bytes | None, value: bytes | None, headers: Headers
) -> BatchBuilder:
    """Return a batch for this transactional producer, with a first record in it, whatever names its headers have."""
    batch = producer.create_batch()
    if not append(batch, key, value, headers):
        batch = AnyNameBatch(batch_size, transactional=True)
        batch.append(key=key, value=value, timestamp=None, headers=headers)
    return batch
