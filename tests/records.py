"""Kafka records as a consumer hands them over; the only constructor of them in tests."""

from collections.abc import Iterable, Sequence

from aiokafka.structs import ConsumerRecord

from airy_identify.core.commands import Command, Observation
from airy_identify.wire.commands import decode_log_value


def make_record(
    *,
    topic: str = "log",
    partition: int = 0,
    offset: int = 0,
    key: bytes | None = b"key",
    value: bytes | None = b"value",
    headers: Sequence[tuple[str, bytes]] = (),
    timestamp: int = 1_700_000_000_000,
) -> ConsumerRecord:
    """Return a record."""
    return ConsumerRecord(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=timestamp,
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key or b""),
        serialized_value_size=len(value or b""),
        headers=tuple(headers),
    )


def asked_in(records: Iterable[ConsumerRecord]) -> list[Command]:
    """Return the commands among records of the log: all but what Airy told."""
    values = [decode_log_value(record.value or b"") for record in records]
    return [value for value in values if not isinstance(value, Observation)]
