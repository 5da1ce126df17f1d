"""Records in Avro single-object encoding as a foreign program reads and writes them: with Apache's library."""

import json
from io import BytesIO
from typing import Any

import avro.io
import avro.schema

from airy_identify.wire import schemas


def definition_of(record_name: str) -> str:
    """Return the text of the schema of a record, by its full name."""
    return (schemas.schema_directory() / f"{record_name.split('.')[1]}.avsc").read_text(encoding="utf-8")


def write_by_apache(record_name: str, members: dict[str, Any]) -> bytes:
    """Return a request with these members, given as in JSON; what is absent is null, or empty where null is not allowed.

    Raises `avro.errors.AvroTypeException` for members that the schema cannot hold.
    """
    text = definition_of(record_name)
    schema = avro.schema.parse(text)
    datum: dict[str, Any] = {}
    for field in json.loads(text)["fields"]:
        value = members.get(field["name"])
        if value is None and field["type"] == "string":
            value = ""
        datum[field["name"]] = json.dumps(value) if field.get("json_text") and value is not None else value
    buffer = BytesIO()
    avro.io.DatumWriter(schema).write(datum, avro.io.BinaryEncoder(buffer))
    fingerprint: bytes = schema.fingerprint("CRC-64-AVRO")
    return b"\xc3\x01" + fingerprint + buffer.getvalue()


def read_by_apache(record_name: str, data: bytes) -> Any:
    """Return the JSON form of an answer; fields that hold the text of JSON are parsed."""
    schema = avro.schema.parse(definition_of(record_name))
    assert data[:10] == b"\xc3\x01" + schema.fingerprint("CRC-64-AVRO")
    buffer = BytesIO(data[10:])
    datum = avro.io.DatumReader(schema).read(avro.io.BinaryDecoder(buffer))
    assert buffer.read() == b"", "bytes are left over"
    return _parsed(datum)


def _parsed(value: Any) -> Any:
    if isinstance(value, list):
        return [_parsed(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: json.loads(member) if name in {"metadata", "content"} and member is not None else _parsed(member)
        for name, member in value.items()
    }
