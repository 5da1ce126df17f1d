"""Bytes become the fields of a request: JSON as RFC 8259 has it, or Avro.

Over Kafka the first two bytes tell which: C3 01 begins Avro, and no JSON; so does a zero byte where there is a schema
registry (Confluent wire format). The record that an Avro fingerprint or a schema id names says which command it asks for.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from airy_identify.core.commands import AnswerFormat
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import JsonValue
from airy_identify.intake import fields as read
from airy_identify.wire import json_text, schemas
from airy_identify.wire.confluent import WriterSchemas, schema_id_of
from airy_identify.wire.errors import UndecodableError
from airy_identify.wire.plain_form import to_members

REQUEST_ID_CHARACTERS_MAX = 255

COMMAND_OF_RECORD = {
    "airy_identify.IdentifyRequest": "identify",
    "airy_identify.InfoRequest": "info",
    "airy_identify.MergeRequest": "merge",
    "airy_identify.UnmergeRequest": "unmerge",
    "airy_identify.ReleaseRequest": "release",
    "airy_identify.ForgetRequest": "forget",
    "airy_identify.ResumeTokenRequest": "resume_token",
}
"""The Avro records that are requests, and the command that each asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """A request as its bytes say it. `command` is null where a field has to name it."""

    fields: dict[str, JsonValue]
    command: str | None


def format_of(value: bytes | None, writers: WriterSchemas | None = None) -> AnswerFormat:
    """Return the format of a value, and so of its answer. `writers` is null when there is no registry."""
    if value is not None and value.startswith(schemas.SINGLE_OBJECT_MARKER):
        return AnswerFormat.AVRO
    return AnswerFormat.JSON if writers is None or schema_id_of(value) is None else AnswerFormat.CONFLUENT


def parse_request(value: bytes | None, writers: WriterSchemas | None = None) -> ParsedRequest | Rejected:
    """Return the request that a value of `identify-requests` is, or why it is none (`malformed_json`, Avro too)."""
    answer_format = format_of(value, writers)
    if value is not None and answer_format is AnswerFormat.AVRO:
        return _parse_avro(value)
    if value is not None and writers is not None and answer_format is AnswerFormat.CONFLUENT:
        return _parse_confluent(value, writers)
    fields = _NO_VALUE if value is None else parse_json(value)
    return fields if isinstance(fields, Rejected) else ParsedRequest(fields=fields, command=None)


def _parse_avro(value: bytes) -> ParsedRequest | Rejected:
    try:
        name, datum = schemas.decode(value)
    except UndecodableError as error:
        return _undecodable("Avro single-object encoding", str(error))
    if name not in COMMAND_OF_RECORD:
        return _undecodable("Avro single-object encoding", f"{name} is no request")
    return ParsedRequest(fields=to_members(name, datum), command=COMMAND_OF_RECORD[name])


def _parse_confluent(value: bytes, writers: WriterSchemas) -> ParsedRequest | Rejected:
    try:
        name = writers.record_name(schema_id_of(value) or 0)
        if name not in COMMAND_OF_RECORD:
            return _undecodable("the Confluent wire format", f"{name} is no request")
        datum = writers.decode(name, value)
    except UndecodableError as error:
        return _undecodable("the Confluent wire format", str(error))
    return ParsedRequest(fields=to_members(name, datum), command=COMMAND_OF_RECORD[name])


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


def _undecodable(encoding: str, why: str) -> Rejected:
    message = f"The request begins as {encoding}, but is no request of a schema known here: {why}."
    return Rejected(reason=Reason.MALFORMED_JSON, message=message)


_NO_VALUE = _malformed("the record has no value")
