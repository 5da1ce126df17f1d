"""Avro in single-object encoding: C3 01, the schema's fingerprint, the datum. So every byte string names its schema.

The schemas of `schemas/*.avsc` are what we write. Files in `schemas/earlier/*.avsc`, older versions of the same records
under any file name, are read and resolved to today's (Avro 1.12, "Single-object encoding" and "Schema Resolution").
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import fastavro
from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

from airy_identify.wire.errors import UndecodableError

Datum: TypeAlias = dict[str, Any]
"""A record as fastavro has it: field names to plain values."""

Branch: TypeAlias = tuple[str, Datum] | None
"""An optional record, with the name of its type: told the branch of the union, fastavro need not try them all."""

SINGLE_OBJECT_MARKER = b"\xc3\x01"
_PREFIX_BYTES = 10

_PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class _Writer:
    schema: Any
    prefix: bytes


@dataclass(frozen=True, slots=True)
class _Reader:
    record_name: str
    schema: Any
    today: Any
    """Today's version of the record, or null when `schema` is it."""


class Schemas:
    """The records we know: today's by name, for writing, and all versions by fingerprint, for reading."""

    def __init__(self, today: list[Datum], earlier: list[Datum] | None = None) -> None:
        self._writers: dict[str, _Writer] = {}
        self._readers: dict[bytes, _Reader] = {}
        for definition in today:
            schema: Any = parse_schema(definition)
            mark = fingerprint_of(definition)
            self._writers[schema["name"]] = _Writer(schema, SINGLE_OBJECT_MARKER + mark)
            self._readers[mark] = _Reader(schema["name"], schema, None)
        for definition in earlier or []:
            schema = parse_schema(definition)
            name = schema["name"]
            if name not in self._writers:
                continue  # a record of a newer version, after a rollback: nobody here reads it
            reader = _Reader(name, schema, self._writers[name].schema)
            self._readers.setdefault(fingerprint_of(definition), reader)

    @property
    def record_names(self) -> tuple[str, ...]:
        """The full names of the records that can be written."""
        return tuple(self._writers)

    def schema_of(self, record_name: str) -> Any:  # noqa: ANN401 - fastavro's parsed schemas
        """Return today's schema of a record, parsed: names are full, attributes of ours are kept."""
        return self._writers[record_name].schema

    def encode(self, record_name: str, datum: Mapping[str, Any]) -> bytes:
        """Return the datum in single-object encoding.

        Every field must be there and no other, or ValueError: a forgotten field never becomes its default by accident.
        """
        writer = self._writers[record_name]
        buffer = BytesIO()
        buffer.write(writer.prefix)
        fastavro.schemaless_writer(buffer, writer.schema, datum, strict=True)
        return buffer.getvalue()

    def decode(self, data: bytes) -> tuple[str, Datum]:
        """Return the record's full name and its datum in today's shape. Raises `UndecodableError`."""
        if data[:2] != SINGLE_OBJECT_MARKER:
            raise UndecodableError("not in Avro single-object encoding")
        reader = self._readers.get(data[2:_PREFIX_BYTES])
        if reader is None:
            raise UndecodableError("written with an unknown Avro schema")
        return reader.record_name, _read(data, _PREFIX_BYTES, reader.schema, reader.today)

    def decode_body(self, record_name: str, data: bytes, start: int) -> Datum:
        """Return the datum that fills `data` from `start` on, written with today's schema. Raises `UndecodableError`."""
        return _read(data, start, self._writers[record_name].schema, None)

    def resolve(self, record_name: str, writer: Any, data: bytes, start: int) -> Datum:  # noqa: ANN401 - fastavro's
        """Return the datum that fills `data` from `start` on in today's shape, whatever fits it the writer's schema is.

        Raises `UndecodableError`, also when the writer's record cannot become ours.
        """
        return _read(data, start, writer, self._writers[record_name].schema)

    def encode_body(self, record_name: str, datum: Mapping[str, Any]) -> bytes:
        """Return the datum of today's record without a prefix; see `encode`."""
        buffer = BytesIO()
        fastavro.schemaless_writer(buffer, self._writers[record_name].schema, datum, strict=True)
        return buffer.getvalue()


def fingerprint_of(definition: Datum) -> bytes:
    """Return the CRC-64-AVRO fingerprint of the schema's parsing canonical form, 8 bytes, little-endian."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(definition), "CRC-64-AVRO"))


def load_schemas(directory: Path) -> Schemas:
    """Read every schema of the directory, and the earlier versions in its folder `earlier`."""
    return Schemas(_definitions(directory), _definitions(directory / "earlier"))


def schema_directory() -> Path:
    """Return where the schemas are: in the installed package, or at the root of a checkout."""
    installed = _PACKAGE / "schemas"
    return installed if installed.is_dir() else _PACKAGE.parent / "schemas"


@functools.cache
def our_schemas() -> Schemas:
    """Return the schemas of this installation, read once."""
    return load_schemas(schema_directory())


def encode(record_name: str, datum: Mapping[str, Any]) -> bytes:
    """Return the datum of the record with this full name, in single-object encoding."""
    return our_schemas().encode(record_name, datum)


def decode(data: bytes) -> tuple[str, Datum]:
    """Return the full name and the datum of bytes in single-object encoding. Raises `UndecodableError`."""
    return our_schemas().decode(data)


def decode_as(record_name: str, data: bytes) -> Datum:
    """Return the datum of bytes that must be this record. Raises `UndecodableError`."""
    name, datum = decode(data)
    if name != record_name:
        raise UndecodableError(f"{name} where {record_name} belongs")
    return datum


def _definitions(directory: Path) -> list[Datum]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(directory.glob("*.avsc"))]


def _read(data: bytes, start: int, schema: Any, today: Any) -> Datum:  # noqa: ANN401 - fastavro's parsed schemas
    buffer = BytesIO(data)
    buffer.seek(start)
    try:
        datum = fastavro.schemaless_reader(buffer, schema, today)
    except Exception as error:  # fastavro has no error of its own: garbage raises whatever it runs into
        raise UndecodableError(f"its bytes do not fit its Avro schema ({type(error).__name__})") from error
    if buffer.tell() != len(data):
        raise UndecodableError("bytes are left over after the Avro datum")
    if not isinstance(datum, dict):
        raise UndecodableError("not an Avro record")
    return datum
