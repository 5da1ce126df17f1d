"""The values of the topic `<app>-skips`: which records of a log are passed over, who decided it, when and why.

A skip is written twice, under two keys: when it is asked for, and by the shard in the transaction that passes the
record. Only the second says that the table was made without that record; the first may have come too late.
"""

from dataclasses import dataclass

from airy_identify.wire import schemas

SKIP_RECORD = "airy_identify.SkipRecord"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A record of a log that is passed over. `passed` by a shard, or only asked for."""

    topic: str
    partition: int
    offset: int
    reason: str
    by: str
    asked_at_ms: int
    passed: bool = False

    @property
    def place(self) -> str:
        """Where the record is: topic:partition:offset."""
        return f"{self.topic}:{self.partition}:{self.offset}"


def encode_skip_key(skip: Skip) -> bytes:
    """Return the key, which tells what was asked for from what was done: compaction keeps both."""
    return f"{'passed' if skip.passed else 'asked'}:{skip.place}".encode()


def encode_skip(skip: Skip) -> bytes:
    """Return the skip in single-object encoding."""
    return schemas.encode(SKIP_RECORD, {name: getattr(skip, name) for name in Skip.__slots__})


def decode_skip(data: bytes) -> Skip:
    """Return the skip that `encode_skip` wrote. Raises `UndecodableError`."""
    return Skip(**schemas.decode_as(SKIP_RECORD, data))
