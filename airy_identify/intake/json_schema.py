"""Avro schemas as JSON Schema: the plain form of a record, as HTTP and JSON records on Kafka have it.

- A field that may be null is not required of a request, and always there in an answer.
- A field marked `json_text` is a JSON value here.
- What Avro cannot say, such as lengths and formats, is added by the name of the field: a name means the same everywhere.

The documents of both doors are made of it, so it is here, where the limits are that they tell.
"""

import json
import re
from functools import cache
from typing import Any, TypeAlias

from airy_identify.intake.contact_requests import ID_CHARACTERS_MAX
from airy_identify.intake.identifiers import KINDS_MAX, VALUE_CHARACTERS_MAX, VALUES_OF_A_KIND_MAX
from airy_identify.intake.requests import REQUEST_ID_CHARACTERS_MAX
from airy_identify.wire.schemas import schema_directory

JsonSchema: TypeAlias = dict[str, Any]

_PLAIN = {"string": "string", "boolean": "boolean", "int": "integer", "long": "integer"}
REQUEST_ID = "request_id"
"""A field of requests over Kafka; HTTP has it as the header `Idempotency-Key`."""
_LEFT_OUT = frozenset({("AnsweredMessage", "truncated"), ("IdentifyResponse", "explanation")})
"""Members of answers that JSON has only when there is something to say."""

_PLACE = re.compile(r" (?:A|The) value of identify-requests; JSON is its plain form\.")
_VALUE: JsonSchema = {"type": "string", "maxLength": VALUE_CHARACTERS_MAX}
_ID: JsonSchema = {"type": "string", "minLength": 1, "maxLength": ID_CHARACTERS_MAX}
_REQUEST_FIELDS: dict[str, JsonSchema] = {
    "channel_id": {"type": "string", "minLength": 1},
    "conversation_id": _ID,
    "contact_id": _ID,
    "source_id": _ID,
    "destination_id": _ID,
    "external_id": _VALUE,
    "kind": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,31}$"},
    "value": {"type": "string", "minLength": 1},
    "tenant": {"type": "string", "pattern": "^[a-z0-9_-]{1,64}$", "default": "default"},
    "identifiers": {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z][a-z0-9_]{0,31}$"},
        "maxProperties": KINDS_MAX,
        "additionalProperties": {
            "anyOf": [_VALUE, {"type": "array", "items": _VALUE, "maxItems": VALUES_OF_A_KIND_MAX}, {"type": "null"}],
        },
    },
    "metadata": {"type": "object"},
    "unverified": {"type": "array", "items": {"enum": ["email", "phone_number"]}},
    "attach": {"type": "string"},
    "on_conflict": {"type": "string", "enum": ["warn", "reject"], "default": "warn"},
    "dry_run": {"type": "boolean", "default": False},
    "explain": {"type": "boolean", "default": False},
    REQUEST_ID: {"type": "string", "minLength": 1, "maxLength": REQUEST_ID_CHARACTERS_MAX, "pattern": "^[ -~]+$"},
}
_ANSWER_FIELDS: dict[str, JsonSchema] = {
    name: {"type": "string", "format": "date-time"} for name in ("created_at", "updated_at", "sent_at", "merged_at")
} | {"request_id": {"type": "string", "maxLength": REQUEST_ID_CHARACTERS_MAX}}


def request_schema(record: str, *, over_kafka: bool = False) -> JsonSchema:
    """Return the schema of a request, by the name of its Avro record without namespace."""
    avro = avro_schema(record)
    fields = [field for field in avro["fields"] if over_kafka or field["name"] != REQUEST_ID]
    return {
        "type": "object",
        "description": _PLACE.sub("", avro["doc"]),
        "required": [field["name"] for field in fields if not _may_be_null(field)],
        "properties": {field["name"]: _request_field(field) for field in fields},
    }


def answer_schemas(record: str) -> dict[str, JsonSchema]:
    """Return the schema of an answer and those of the records inside it, by name."""
    found: dict[str, JsonSchema] = {}
    _add_record(avro_schema(record), found)
    return found


@cache
def avro_schema(record: str) -> JsonSchema:
    """Return an Avro schema as its file has it, by the name of the record without namespace. It is not to be changed."""
    text = (schema_directory() / f"{record}.avsc").read_text(encoding="utf-8")
    avro: JsonSchema = json.loads(text)
    return avro


def _may_be_null(field: JsonSchema) -> bool:
    return isinstance(field["type"], list)


def _request_field(field: JsonSchema) -> JsonSchema:
    schema = dict(_REQUEST_FIELDS.get(field["name"], {"type": "string"}))
    if _may_be_null(field):
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    return schema | {"description": field["doc"]}


def _add_record(avro: JsonSchema, found: dict[str, JsonSchema]) -> JsonSchema:
    name = avro["name"]
    if name not in found:
        schema = found[name] = {}  # there before its fields are, which may refer to it
        schema |= {
            "type": "object",
            "description": avro["doc"],
            "required": [field["name"] for field in avro["fields"] if (name, field["name"]) not in _LEFT_OUT],
            "properties": {field["name"]: _answer_field(field, found) for field in avro["fields"]},
        }
    return _reference(name)


def _answer_field(field: JsonSchema, found: dict[str, JsonSchema]) -> JsonSchema:
    described = {"description": field["doc"]}
    avro = next(branch for branch in field["type"] if branch != "null") if _may_be_null(field) else field["type"]
    if field.get("json_text"):
        # Metadata of people is an object; that of a message, and its content, is whatever Airy has.
        schema: JsonSchema = {} if _may_be_null(field) else {"type": "object"}
    else:
        schema = dict(_ANSWER_FIELDS.get(field["name"], {})) or _of_type(avro, found)
        if _may_be_null(field):
            schema = {"anyOf": [schema, {"type": "null"}]}
    return schema | described


def _of_type(avro: Any, found: dict[str, JsonSchema]) -> JsonSchema:  # noqa: ANN401 - text or object, as Avro has it
    if isinstance(avro, str):
        return {"type": _PLAIN[avro]} if avro in _PLAIN else _reference(avro)
    if avro["type"] == "array":
        return {"type": "array", "items": _of_type(avro["items"], found)}
    if avro["type"] == "map":
        return {"type": "object", "additionalProperties": _of_type(avro["values"], found)}
    return _add_record(avro, found)


def _reference(name: str) -> JsonSchema:
    return {"$ref": f"#/components/schemas/{name}"}
