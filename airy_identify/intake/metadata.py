"""Metadata of a request: an RFC 7396 patch, held to limits. What it does to a contact is the core's business."""

from collections.abc import Mapping

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import JsonValue
from airy_identify.intake import fields as read
from airy_identify.wire import json_text

METADATA_BYTES_MAX = 16 * 1024
METADATA_LEVELS_MAX = 8


def metadata_patch(value: JsonValue) -> Mapping[str, JsonValue] | Rejected | None:
    """Return the patch, null when absent, or `invalid_metadata`.

    Its size is that of its compact JSON in UTF-8; its depth counts objects and arrays, itself included.
    """
    value = read.given(value)
    if value is None:
        return None
    if not isinstance(value, dict):
        return _refusal("must be an object")
    if json_text.nesting(value) > METADATA_LEVELS_MAX:
        return _refusal(f"must be at most {METADATA_LEVELS_MAX} levels deep")
    try:
        size_bytes = len(json_text.canonical_json(value).encode())
    except ValueError:
        return _refusal("must hold finite numbers and whole characters only")
    if size_bytes > METADATA_BYTES_MAX:
        return _refusal(f"must have at most {METADATA_BYTES_MAX} bytes as JSON")
    return value


def _refusal(must: str) -> Rejected:
    return Rejected(reason=Reason.INVALID_METADATA, message=f"metadata {must}.", field="metadata")
