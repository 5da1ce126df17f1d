import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
import fastavro
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.wire import schemas
from airy_identify.wire.errors import UndecodableError
from tests.wire.golden_records import GOLDEN, RECORDS, golden_path, plain

DIRECTORY = schemas.schema_directory()
FILES = sorted(DIRECTORY.glob("*.avsc"))
EARLIER_FILES = sorted((DIRECTORY / "earlier").glob("*.avsc"))
OWN_NAMESPACE = "airy_identify"

HOW_TO_CHANGE = (
    "A golden record changed: bytes written before are no longer what this code writes. If that is meant, keep the old"
    " schema in schemas/earlier/ and follow tests/wire/golden_records.py; a golden file itself never changes."
)


def read(path: Path) -> dict[str, Any]:
    definition: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return definition


def named_types(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, list):
        for branch in schema:
            yield from named_types(branch)
    elif isinstance(schema, dict):
        if schema["type"] in {"record", "enum"}:
            yield schema
        for field in schema.get("fields", []):
            yield from named_types(field["type"])
        for inner in ("items", "values"):
            yield from named_types(schema.get(inner))


def own_types() -> list[dict[str, Any]]:
    files = [read(path) for path in FILES]
    return [found for file in files if file["namespace"] == OWN_NAMESPACE for found in named_types(file)]


def apache_bytes(schema: str, datum: dict[str, Any]) -> bytes:
    buffer = BytesIO()
    avro.io.DatumWriter(avro.schema.parse(schema)).write(datum, avro.io.BinaryEncoder(buffer))
    return buffer.getvalue()


def apache_datum(schema: str, body: bytes) -> Any:
    return avro.io.DatumReader(avro.schema.parse(schema)).read(avro.io.BinaryDecoder(BytesIO(body)))


def test_every_schema_has_a_golden_record() -> None:
    assert set(RECORDS) == set(schemas.our_schemas().record_names)
    assert {path.stem.rsplit("-", 1)[0] for path in GOLDEN.glob("*.json")} == set(RECORDS)


@pytest.mark.parametrize("record", RECORDS)
def test_bytes_of_today_are_the_golden_ones(record: str) -> None:
    data = RECORDS[record]()
    path = golden_path(data)
    assert path.exists(), HOW_TO_CHANGE
    assert data.hex() == read(path)["hex"], HOW_TO_CHANGE


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_golden_bytes_of_every_version_are_read(path: Path) -> None:
    golden = read(path)
    record, datum = schemas.decode(bytes.fromhex(golden["hex"]))
    assert record == golden["record"]
    assert plain(datum) | golden["datum"] == plain(datum)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_apache_avro_agrees_on_bytes_and_fingerprint(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    definition = read(path)
    data = RECORDS[f"{definition['namespace']}.{definition['name']}"]()
    datum = schemas.decode(data)[1]
    assert data[:2] == b"\xc3\x01"
    assert data[2:10] == avro.schema.parse(text).fingerprint("CRC-64-AVRO")
    assert apache_datum(text, data[10:]) == datum
    assert apache_bytes(text, datum) == data[10:]


def test_fingerprint_is_the_specified_one_little_endian() -> None:
    # Avro's own test vectors (share/test/data/schema-tests.txt): the schema "int" has 0x7275d51a3f395c8f.
    assert fastavro.schema.fingerprint('"int"', "CRC-64-AVRO") == (0x7275D51A3F395C8F).to_bytes(8, "little").hex()


def test_everything_of_ours_is_documented() -> None:
    for found in own_types():
        assert found["doc"].endswith("."), found["name"]
        for field in found.get("fields", []):
            assert field["doc"].endswith("."), (found["name"], field["name"])


def test_own_enums_have_a_default_for_symbols_yet_to_come() -> None:
    for found in own_types():
        if found["type"] == "enum":
            assert found["default"] in found["symbols"], found["name"]


def test_fields_that_can_be_null_default_to_null() -> None:
    for found in own_types():
        for field in found.get("fields", []):
            if isinstance(field["type"], list):
                assert field["type"][0] == "null", (found["name"], field["name"])
                assert field["default"] is None, (found["name"], field["name"])


def test_a_name_means_the_same_in_every_schema() -> None:
    seen: dict[str, dict[str, Any]] = {}
    for found in own_types():
        definition = {name: member for name, member in found.items() if name != "namespace"}  # inside: the outer one's
        assert seen.setdefault(found["name"], definition) == definition, found["name"]


def test_earlier_versions_are_fully_compatible() -> None:
    for earlier in map(read, EARLIER_FILES):
        for other in map(read, (*FILES, *EARLIER_FILES)):
            if other["name"] == earlier["name"]:
                assert is_fully_compatible(earlier, other), earlier["name"]


def is_fully_compatible(one: dict[str, Any], other: dict[str, Any]) -> bool:
    first, second = avro.schema.parse(json.dumps(one)), avro.schema.parse(json.dumps(other))
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    return all(
        checker.get_compatibility(reader, writer).compatibility is SchemaCompatibilityType.compatible
        for reader, writer in ((first, second), (second, first))
    )


def test_compatibility_check_can_fail() -> None:
    today = read(DIRECTORY / "OwnerRow.avsc")
    optional = today | {"fields": [*today["fields"], {"name": "new", "type": ["null", "string"], "default": None}]}
    required = today | {"fields": [*today["fields"], {"name": "new", "type": "string"}]}
    assert is_fully_compatible(today, optional)
    assert not is_fully_compatible(today, required)


def test_bytes_of_an_earlier_version_are_read_as_todays_record() -> None:
    earlier = read(DIRECTORY / "OwnerRow.avsc")
    added = {"name": "since_ms", "type": ["null", "long"], "default": None}
    today = earlier | {"fields": [*earlier["fields"], added]}
    old = schemas.Schemas([earlier])
    both = schemas.Schemas([today], [earlier])
    data = old.encode("airy_identify.OwnerRow", {"contact_id": "k-1"})
    assert both.decode(data) == ("airy_identify.OwnerRow", {"contact_id": "k-1", "since_ms": None})
    with pytest.raises(UndecodableError, match="unknown Avro schema"):
        schemas.Schemas([today]).decode(data)


@pytest.mark.parametrize("datum", [{}, {"contact_id": "k", "extra": 1}, {"contact_id": 1}, {"contact_id": None}])
def test_a_datum_that_is_not_exactly_the_record_is_not_written(datum: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        schemas.encode("airy_identify.OwnerRow", datum)


@pytest.mark.parametrize("record", RECORDS)
def test_bytes_too_many_or_too_few_are_refused(record: str) -> None:
    data = RECORDS[record]()
    with pytest.raises(UndecodableError, match="left over"):
        schemas.decode(data + b"\x00")
    for length in range(len(data)):
        with pytest.raises(UndecodableError):
            schemas.decode(data[:length])


@pytest.mark.parametrize("data", [b"", b"{}", b"\xc3", b"\xc3\x01", b"\xc3\x01" + bytes(8), b"\x00\x00\x00\x00\x01"])
def test_bytes_that_name_no_schema_are_refused(data: bytes) -> None:
    with pytest.raises(UndecodableError):
        schemas.decode(data)


def test_another_record_is_refused() -> None:
    owner = schemas.encode("airy_identify.OwnerRow", {"contact_id": "k-1"})
    with pytest.raises(UndecodableError, match=r"OwnerRow where .*ContactRow belongs"):
        schemas.decode_as("airy_identify.ContactRow", owner)


@given(st.sampled_from(sorted(RECORDS)), st.binary(max_size=60))
def test_garbage_behind_a_good_prefix_never_raises_anything_else(record: str, garbage: bytes) -> None:
    data = RECORDS[record]()
    for body in (garbage, data[10:-8] + garbage, garbage + data[10:]):
        try:
            assert schemas.decode(data[:10] + body)[0] == record
        except UndecodableError:
            continue
