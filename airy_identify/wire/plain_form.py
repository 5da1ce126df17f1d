"""Records between their two forms: JSON members as callers see them, and data as Avro has them.

The plain form has no union wrappers. A field that its schema marks `json_text` holds any JSON value there, and the text
of that value in Avro.
"""

import functools
from collections.abc import Mapping
from typing import Any

from airy_identify.core.values import JsonValue
from airy_identify.wire import json_text
from airy_identify.wire.schemas import Datum, our_schemas


def to_datum(record_name: str, members: Mapping[str, JsonValue]) -> Datum:
    """Return the datum of a record of ours from its JSON members.

    Members that JSON leaves out become the defaults of their fields. Raises ValueError for a member that is not in the
    schema, or is missing there without a default.
    """
    schema, named = _schema(record_name)
    return _record(schema, members, named)


def to_members(record_name: str, datum: Datum) -> dict[str, JsonValue]:
    """Return the JSON members of a request from its datum.

    Text that is no JSON where JSON is expected stays as it is, for intake to refuse.
    """
    schema, _ = _schema(record_name)
    texts = {field["name"] for field in schema["fields"] if field.get("json_text")}
    return {name: _read_text(value) if name in texts else value for name, value in datum.items()}


@functools.cache
def _schema(record_name: str) -> tuple[Any, dict[str, Any]]:
    """Return the schema of a record, and the records that are defined in it by their names."""
    schema = our_schemas().schema_of(record_name)
    named: dict[str, Any] = {}
    _collect(schema, named)
    return schema, named


def _collect(schema: Any, named: dict[str, Any]) -> None:  # noqa: ANN401 - fastavro's parsed schemas
    if isinstance(schema, list):
        for branch in schema:
            _collect(branch, named)
    elif isinstance(schema, dict):
        if schema["type"] == "record":
            named[schema["name"]] = schema
        for inner in (
            *(field["type"] for field in schema.get("fields", ())),
            schema.get("items"),
            schema.get("values"),
        ):
            _collect(inner, named)


def _record(schema: Any, members: Any, named: dict[str, Any]) -> Datum:  # noqa: ANN401 - both follow the schema
    fields = {field["name"]: field for field in schema["fields"]}
    if unknown := members.keys() - fields.keys():
        raise ValueError(f"{schema['name']} has no field {min(unknown)}")
    return {name: _field(field, members, named) for name, field in fields.items()}


def _field(field: Any, members: Any, named: dict[str, Any]) -> Any:  # noqa: ANN401 - both follow the schema
    name = field["name"]
    if name not in members:
        if "default" not in field:
            raise ValueError(f"the field {name} is missing")
        return field["default"]
    if field.get("json_text") and not (members[name] is None and isinstance(field["type"], list)):
        return json_text.plain_text(members[name])
    return _value(field["type"], members[name], named)


def _value(schema: Any, value: Any, named: dict[str, Any]) -> Any:  # noqa: ANN401 - both follow the schema
    if isinstance(schema, list):
        if value is None:
            return None
        (branch,) = (branch for branch in schema if branch != "null")
        found = named.get(branch, branch) if isinstance(branch, str) else branch
        plain = _value(found, value, named)
        # Told the branch of the union, fastavro need not try them all.
        return (found["name"], plain) if isinstance(found, dict) and found["type"] == "record" else plain
    schema = named.get(schema, schema) if isinstance(schema, str) else schema
    match schema:
        case {"type": "record"}:
            return _record(schema, value, named)
        case {"type": "array", "items": items}:
            return [_value(items, item, named) for item in value]
        case {"type": "map", "values": values}:
            return {key: _value(values, item, named) for key, item in value.items()}
    return value


def _read_text(text: str | None) -> JsonValue:
    if text is None:
        return None
    try:
        return json_text.read_strict(text)
    except ValueError:
        return text
