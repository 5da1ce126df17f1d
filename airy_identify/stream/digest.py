"""The digest of a table partition: one number of 256 bits that stands for its rows, whatever order they are read in.

It is the sum, modulo 2^256, of a hash of each key with its row, so a changed row costs two hashes: subtract the old,
add the new. The progress row is no part of it. A digest is a function of the rows alone: equal tables have equal
digests, on any machine and whatever the assignment of partitions was.
"""

import hashlib
from collections.abc import Iterable, Mapping

from airy_identify.stream.batch import ReadableTable
from airy_identify.wire.rows import PROGRESS_KEY

DIGEST_BYTES = 32

_MODULUS = 1 << (8 * DIGEST_BYTES)
_PURPOSE = b"airy-table-row"
_KEY_LENGTH_BYTES = 4


def row_hash(key: bytes, row: bytes) -> int:
    """Return the part of the digest that one row is."""
    hashed = hashlib.blake2b(len(key).to_bytes(_KEY_LENGTH_BYTES, "big"), digest_size=DIGEST_BYTES, person=_PURPOSE)
    hashed.update(key)
    hashed.update(row)
    return int.from_bytes(hashed.digest(), "big")


class Digest:
    """A digest that rows are added to and taken from."""

    def __init__(self, value: bytes | None = None) -> None:
        """Begin with the digest of an empty table, or with one that `value` returned."""
        self._sum = 0 if value is None else int.from_bytes(value, "big")

    @property
    def value(self) -> bytes:
        """The digest as 32 bytes."""
        return self._sum.to_bytes(DIGEST_BYTES, "big")

    def replace(self, key: bytes, old: bytes | None, new: bytes | None) -> None:
        """Note that the row of a key was `old` and is `new`; null where there is none."""
        if old == new or key == PROGRESS_KEY:
            return
        gone = 0 if old is None else row_hash(key, old)
        come = 0 if new is None else row_hash(key, new)
        self._sum = (self._sum + come - gone) % _MODULUS


def digest_of(rows: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the digest of a table by reading all of it."""
    digest = Digest()
    for key, row in rows:
        digest.replace(key, None, row)
    return digest.value


class RowsBefore:
    """A table that remembers each row as it was read, so that a batch's digest needs no second look at the disk."""

    def __init__(self, table: ReadableTable) -> None:
        self._table = table
        self._read: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """Return the row, or null."""
        if key not in self._read:
            self._read[key] = self._table.get(key)
        return self._read[key]

    def digest_after(self, digest: bytes, rows: Mapping[bytes, bytes | None]) -> bytes:
        """Return the digest of the table with these rows written, when the table as it is has `digest`."""
        after = Digest(digest)
        for key, row in rows.items():
            after.replace(key, self.get(key), row)
        return after.value
