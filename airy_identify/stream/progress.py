"""The progress row: which record of its log a table has applied last, written in the transaction that applied it."""

import hashlib
import struct

from aiokafka.structs import ConsumerRecord

_FINGERPRINT_BYTES = 16
_NULL = -1


def fingerprint(record: ConsumerRecord) -> bytes:
    """Return 16 bytes that tell this record from any other at its offset: of its time stamp, key and value."""
    digest = hashlib.blake2b(digest_size=_FINGERPRINT_BYTES)
    digest.update(struct.pack(">q", record.timestamp))
    for part in (record.key, record.value):
        digest.update(struct.pack(">q", _NULL if part is None else len(part)))
        digest.update(part or b"")
    return digest.digest()
