"""Rows of Airy's contacts topic as records: the key as text, the value in the Confluent wire format, our headers.

The headers say which records are ours, so that nothing that we wrote ourselves is ever taken for news from Airy. Airy's
own programs do not look at headers.
"""

from airy_identify.core.contacts_out import AiryWrite
from airy_identify.wire import schemas
from airy_identify.wire.airy import METADATA
from airy_identify.wire.confluent import frame
from airy_identify.wire.headers import OURS

_MARK = b"1"


def encode_write(write: AiryWrite, schema_id: int) -> tuple[bytes, bytes | None, tuple[tuple[str, bytes], ...]]:
    """Return key, value (null for a tombstone) and headers of a write. `schema_id` is the registry's for `METADATA`."""
    headers = ((OURS, _MARK),) if write.own else ()
    if write.value is None:
        return write.record_key.encode(), None, headers
    datum = {
        "subject": write.subject,
        "key": write.key,
        "value": write.value,
        "valueType": "text",
        "timestamp": write.timestamp_ms,
    }
    return write.record_key.encode(), frame(schema_id, schemas.our_schemas().encode_body(METADATA, datum)), headers
