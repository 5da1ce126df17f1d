"""What is attached to a contact: a JSON object that grows by merge patches (RFC 7396). It is never searched."""

import json
from collections.abc import Mapping
from typing import cast

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import JsonValue

METADATA_BYTES_MAX = 64 * 1024
"""The most a contact may hold, as canonical JSON in UTF-8."""

_CANONICAL = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)


def patch_metadata(
    metadata: Mapping[str, JsonValue], patch: Mapping[str, JsonValue]
) -> Mapping[str, JsonValue] | Rejected:
    """Return the metadata with the patch applied, the very same object if that changes nothing.

    Rejected as `invalid_metadata` when the result is larger than `METADATA_BYTES_MAX`. Neither argument is changed, but
    the result may share parts with both.
    """
    merged = cast("Mapping[str, JsonValue]", merge_patch(cast("JsonValue", metadata), cast("JsonValue", patch)))
    if merged is metadata or len(canonical_json(merged)) <= METADATA_BYTES_MAX:
        return merged
    message = f"the contact's metadata would be larger than {METADATA_BYTES_MAX} bytes"
    return Rejected(reason=Reason.INVALID_METADATA, message=message, field="metadata")


def merge_patch(target: JsonValue, patch: JsonValue) -> JsonValue:
    """Apply a merge patch (RFC 7396, section 2): the patch wins, null deletes, arrays are taken as they are.

    Return the very same target if nothing changes. Values are equal as JSON: `1`, `1.0` and `true` are three values.
    """
    if not isinstance(patch, dict):
        return target if same_json(target, patch) else patch
    merged = dict(target) if isinstance(target, dict) else {}
    changed = not isinstance(target, dict)
    for name, value in patch.items():
        if value is None:
            if name in merged:
                del merged[name]
                changed = True
            continue
        before = merged.get(name)
        after = merge_patch(before, value)
        if after is not before:
            merged[name] = after
            changed = True
    return merged if changed else target


def canonical_json(value: Mapping[str, JsonValue]) -> bytes:
    """Return the one UTF-8 text of a JSON object: no white space, members sorted by name."""
    return _CANONICAL.encode(value).encode()


def same_json(one: JsonValue, other: JsonValue) -> bool:
    """Tell whether two values are the same JSON; Python's `==` takes `true` for `1`."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(value, other[name]) for name, value in one.items())
    return type(one) is type(other) and one == other
