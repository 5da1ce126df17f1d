import asyncio

import pytest

from airy_identify.kafka import partition_for
from airy_identify.stream.batch import Batch, Delivery
from tests.records import make_record

COUNTS = {"out": 4}


class Table:
    def __init__(self, **rows: bytes) -> None:
        self.rows = {key.encode(): row for key, row in rows.items()}

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)


def make_batch(**rows: bytes) -> Batch:
    return Batch([make_record(offset=7), make_record(offset=9)], Table(**rows), COUNTS)


def test_rows_are_read_through_the_batch_itself() -> None:
    batch = make_batch(a=b"old", b=b"old")
    batch.put(b"a", b"new")
    batch.put(b"b", None)

    assert [batch.get(b"a"), batch.get(b"b"), batch.get(b"c")] == [b"new", None, None]
    assert batch.rows == {b"a": b"new", b"b": None}


def test_a_key_decides_the_partition_as_with_any_producer() -> None:
    batch = make_batch()
    batch.send("out", b"key", b"1")
    batch.send("out", b"key", b"2", partition=3)

    sent = {partition.partition: records for partition, records in batch.outputs.items()}
    assert (b"key", b"1", ()) in sent[partition_for(b"key", 4)]
    assert (b"key", b"2", ()) in sent[3]


def test_a_key_has_the_partition_that_kafkas_own_producer_gives_it() -> None:
    """Computed with Kafka 3.9.1's `Utils.toPositive(Utils.murmur2(bytes)) % 8`."""
    keys = ("default", "north", "a", "91b0f8a6-0000-4000-8000-000000000001", "ключ")
    assert [partition_for(key.encode(), 8) for key in keys] == [3, 2, 4, 7, 0]


def test_the_batch_ends_with_its_last_record() -> None:
    batch = make_batch()
    seen = [(record.offset, batch.current is record) for record in batch]

    assert seen == [(7, True), (9, True)]
    assert batch.last_record.offset == 9
    assert len(batch) == 2


async def test_a_delivery_hands_what_the_agent_raised_to_the_shard() -> None:
    delivery = Delivery(make_batch())
    with delivery as batch:
        for _ in batch:
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        await delivery.processed
    assert batch.current is not None
    assert batch.current.offset == 7


async def test_a_delivery_does_not_swallow_a_cancellation() -> None:
    delivery = Delivery(make_batch())
    with pytest.raises(asyncio.CancelledError), delivery:
        raise asyncio.CancelledError
    with pytest.raises(asyncio.CancelledError):
        await delivery.processed
