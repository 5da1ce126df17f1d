"""The Confluent wire format: 0, a schema id of 4 bytes (big-endian), the datum. Which schema an id means, a registry says.

Schemas are resolved as Avro has it ("Schema Resolution"): what the writer has and we do not know is read over, what it
lacks has our default, and a writer whose record does not fit ours is refused.
"""

import json
from typing import Any

from fastavro.schema import fullname, parse_schema

from airy_identify.wire import schemas
from airy_identify.wire.errors import UndecodableError
from airy_identify.wire.schemas import Datum

MARKER = b"\x00"
PREFIX_BYTES = 5
_UNKNOWN_MAX = 10_000
"""How many ids are remembered that the registry does not know: whoever writes garbage makes up many."""


def schema_id_of(data: bytes | None) -> int | None:
    """Return the schema id of a value in the Confluent wire format, null for any other value."""
    if data is None or data[:1] != MARKER or len(data) < PREFIX_BYTES:
        return None
    return int.from_bytes(data[1:PREFIX_BYTES], "big")


def frame(schema_id: int, body: bytes) -> bytes:
    """Return a datum in the Confluent wire format."""
    return MARKER + schema_id.to_bytes(4, "big") + body


class WriterSchemas:
    """The schemas that values were written with, by the id that the registry gave them. An id never changes its schema.

    `registry.SchemaResolver` fills it before values are decoded: an id that is not here is one the registry does not know.
    """

    def __init__(self) -> None:
        self._schemas: dict[int, Any] = {}
        self._refused: dict[int, str] = {}
        self._unknown_since: dict[int, float] = {}

    def __contains__(self, schema_id: int) -> bool:
        return schema_id in self._schemas or schema_id in self._refused

    def add(self, schema_id: int, text: str) -> None:
        """Take in the schema of an id; one that is no schema of a record is kept as refused, with the reason."""
        self._unknown_since.pop(schema_id, None)
        try:
            schema = parse_schema(_without_logical_types(json.loads(text)))
            fullname(schema)
        except Exception as error:  # noqa: BLE001 - fastavro raises whatever it runs into
            self.refuse(schema_id, f"is no Avro record ({type(error).__name__})")
        else:
            self._schemas[schema_id] = schema

    def refuse(self, schema_id: int, why: str) -> None:
        """Note that values of this schema cannot be read."""
        self._refused[schema_id] = why

    def add_unknown(self, schema_id: int, now_s: float) -> None:
        """Note that the registry did not know this id at that time."""
        while len(self._unknown_since) >= _UNKNOWN_MAX:
            del self._unknown_since[next(iter(self._unknown_since))]
        self._unknown_since[schema_id] = now_s

    def unknown_since(self, schema_id: int) -> float | None:
        """Return when the registry last said that it does not know the id; null when it has not been asked."""
        return self._unknown_since.get(schema_id)

    def record_name(self, schema_id: int) -> str:
        """Return the full name of the record that an id means. Raises `UndecodableError`."""
        return str(fullname(self._find(schema_id)))

    def decode(self, record_name: str, data: bytes) -> Datum:
        """Return the datum of a value in today's shape of the record. Raises `UndecodableError`."""
        schema_id = schema_id_of(data)
        if schema_id is None:
            raise UndecodableError("too short for the Confluent wire format")
        writer = self._find(schema_id)
        written_name = str(fullname(writer))
        if written_name != record_name:
            raise UndecodableError(f"{written_name} (schema id {schema_id}) where {record_name} belongs")
        try:
            return schemas.our_schemas().resolve(record_name, writer, data, PREFIX_BYTES)
        except UndecodableError as error:
            raise UndecodableError(f"schema id {schema_id}: {error}") from error

    def _find(self, schema_id: int) -> Any:  # noqa: ANN401 - fastavro's parsed schemas
        if schema_id in self._refused:
            raise UndecodableError(f"written with schema id {schema_id}, which {self._refused[schema_id]}")
        if schema_id not in self._schemas:
            raise UndecodableError(f"written with schema id {schema_id}, which the schema registry does not know")
        return self._schemas[schema_id]


def _without_logical_types(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Return the schema without annotations by which fastavro would make dates and decimals of plain numbers and bytes."""
    if isinstance(schema, list):
        return [_without_logical_types(branch) for branch in schema]
    if isinstance(schema, dict):
        return {
            name: member if name == "default" else _without_logical_types(member)
            for name, member in schema.items()
            if name != "logicalType"
        }
    return schema
