"""Bytes become the fields of a request: JSON as RFC 8259 has it, and nothing that could not be written again."""

from collections.abc import Mapping

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import JsonValue
from airy_identify.intake import fields as read
from airy_identify.wire import json_text

REQUEST_ID_CHARACTERS_MAX = 255


def parse_json(value: bytes | None) -> dict[str, JsonValue] | Rejected:
    """Return the object's members, the last of doubled ones, or why it is `malformed_json`.

    Refused, besides what is no JSON: anything but an object, bytes that are not UTF-8, lone surrogates, NaN and
    infinities, numbers beyond a double, more than 64 levels.
    """
    if value is None:
        return _malformed("there is no body")
    try:
        parsed = json_text.read_strict(value.decode())
    except UnicodeDecodeError:
        return _malformed("not UTF-8")
    except ValueError as error:
        return _malformed(str(error))
    if not isinstance(parsed, dict):
        return _malformed("not an object")
    return parsed


def request_id_of(fields: Mapping[str, JsonValue]) -> str | Rejected | None:
    """Return the field `request_id` of a request over Kafka, null when it is absent, or why it is refused."""
    given = read.text(fields.get("request_id"), "request_id")
    if isinstance(given, str) and not is_request_id(given):
        return Rejected(
            reason=Reason.INVALID_FIELD,
            message=f"request_id must be 1 to {REQUEST_ID_CHARACTERS_MAX} printable ASCII characters.",
            field="request_id",
        )
    return given


def is_request_id(text: str) -> bool:
    """Return whether the text can be a request id (an `Idempotency-Key`): 1 to 255 printable ASCII characters."""
    return 0 < len(text) <= REQUEST_ID_CHARACTERS_MAX and text.isascii() and text.isprintable()


def _malformed(why: str) -> Rejected:
    return Rejected(reason=Reason.MALFORMED_JSON, message=f"The request must be a JSON object in UTF-8: {why}.")
