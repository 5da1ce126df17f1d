import json
from io import BytesIO
from typing import Any

import avro.io
import avro.schema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.wire import airy, schemas
from airy_identify.wire.confluent import WriterSchemas, frame, schema_id_of
from airy_identify.wire.errors import UndecodableError
from tests import builders as make

ID = 7
MESSAGE = make.make_message()


def published(name: str = "AiryMessage") -> dict[str, Any]:
    path = schemas.schema_directory() / f"{name}.avsc"
    definition: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return definition


def datum(**over: Any) -> dict[str, Any]:
    return schemas.decode(airy.encode_message(MESSAGE))[1] | over


def written(definition: dict[str, Any], values: dict[str, Any], schema_id: int = ID) -> bytes:
    """Return a value as Apache Avro writes it, framed."""
    body = BytesIO()
    avro.io.DatumWriter(avro.schema.parse(json.dumps(definition))).write(values, avro.io.BinaryEncoder(body))
    return frame(schema_id, body.getvalue())


def writers(definition: object, schema_id: int = ID) -> WriterSchemas:
    known = WriterSchemas()
    known.add(schema_id, json.dumps(definition))
    return known


def test_the_frame_is_confluents() -> None:
    assert frame(0x01020304, b"x") == b"\x00\x01\x02\x03\x04x"
    assert schema_id_of(b"\x00\x01\x02\x03\x04x") == 0x01020304
    assert schema_id_of(frame(0xFFFFFFFF, b"")) == 0xFFFFFFFF


@pytest.mark.parametrize("data", [None, b"", b"\x00", b"\x00\x00\x00\x00", b"{}", b"\xc3\x01" + bytes(8)])
def test_other_values_have_no_id(data: bytes | None) -> None:
    assert schema_id_of(data) is None


def test_the_published_schema_is_read() -> None:
    data = written(published(), datum())
    assert airy.decode_message(data, writers(published())) == MESSAGE


def test_airys_own_schema_with_java_strings_is_read() -> None:
    definition = published()
    for field in definition["fields"]:
        if field["type"] == "string":
            field["type"] = {"type": "string", "avro.java.string": "String"}
    definition["fields"][1]["type"][1] |= {"avro.java.string": "String"}
    assert airy.decode_message(written(definition, datum()), writers(definition)) == MESSAGE


def test_fields_in_another_order_and_more_of_them_are_read() -> None:
    definition = published()
    new = {"name": "sentiment", "type": ["null", "string"], "default": None}
    definition["fields"] = [new, *reversed(definition["fields"])]
    data = written(definition, datum(sentiment="happy"))
    assert airy.decode_message(data, writers(definition)) == MESSAGE


def test_an_older_writer_that_lacks_what_has_a_default_is_read() -> None:
    definition = published()
    definition["fields"] = [field for field in definition["fields"] if field["name"] != "updatedAt"]
    data = written(definition, {name: value for name, value in datum().items() if name != "updatedAt"})
    assert airy.decode_message(data, writers(definition)) == MESSAGE


def test_numbers_are_promoted_and_logical_types_are_numbers() -> None:
    definition = published()
    by_name = {field["name"]: field for field in definition["fields"]}
    by_name["sentAt"]["type"] = "int"
    by_name["updatedAt"]["type"] = ["null", {"type": "long", "logicalType": "timestamp-millis"}]
    plain = json.loads(json.dumps(definition).replace(', "logicalType": "timestamp-millis"', ""))
    data = written(plain, datum(sentAt=5, updatedAt=1_700_000_000_123))
    expected = make.make_message(sent_at_ms=5, updated_at_ms=1_700_000_000_123)
    assert airy.decode_message(data, writers(definition)) == expected


def test_two_versions_of_one_record_are_read_side_by_side() -> None:
    older, newer = published(), published()
    newer["fields"] = list(reversed(newer["fields"]))
    known = writers(older, 1)
    known.add(2, json.dumps(newer))
    for definition, schema_id in ((older, 1), (newer, 2), (older, 1)):
        assert airy.decode_message(written(definition, datum(), schema_id), known) == MESSAGE


def test_a_writer_without_what_we_need_is_refused_and_named() -> None:
    definition = published()
    definition["fields"] = [field for field in definition["fields"] if field["name"] != "conversationId"]
    data = written(definition, {name: value for name, value in datum().items() if name != "conversationId"})
    with pytest.raises(UndecodableError, match="schema id 7"):
        airy.decode_message(data, writers(definition))


def test_a_writer_with_another_type_is_refused() -> None:
    definition = published()
    by_name = {field["name"]: field for field in definition["fields"]}
    by_name["sentAt"]["type"] = "string"
    with pytest.raises(UndecodableError, match="schema id 7"):
        airy.decode_message(written(definition, datum(sentAt="yesterday")), writers(definition))


def test_an_unknown_symbol_is_refused() -> None:
    definition = published()
    by_name = {field["name"]: field for field in definition["fields"]}
    by_name["deliveryState"]["type"]["symbols"].append("READ")
    with pytest.raises(UndecodableError):
        airy.decode_message(written(definition, datum(deliveryState="READ")), writers(definition))


def test_another_record_is_refused_also_one_of_the_same_shape() -> None:
    renamed = published() | {"name": "Reaction"}
    with pytest.raises(UndecodableError, match=r"Reaction \(schema id 7\) where .*Message belongs"):
        airy.decode_message(written(renamed, datum()), writers(renamed))


def test_bytes_left_over_or_missing_are_refused() -> None:
    data = written(published(), datum())
    for spoilt in (data + b"\x00", data[:-1]):
        with pytest.raises(UndecodableError):
            airy.decode_message(spoilt, writers(published()))


def test_an_id_that_the_registry_does_not_know_is_refused() -> None:
    known = writers(published(), 1)
    known.add_unknown(ID, 0.0)
    with pytest.raises(UndecodableError, match="schema id 7, which the schema registry does not know"):
        airy.decode_message(written(published(), datum()), known)


def test_an_id_that_becomes_known_is_read() -> None:
    known = WriterSchemas()
    known.add_unknown(ID, 3.0)
    assert ID not in known
    assert known.unknown_since(ID) == 3.0
    known.add(ID, json.dumps(published()))
    assert ID in known
    assert known.unknown_since(ID) is None
    assert airy.decode_message(written(published(), datum()), known) == MESSAGE


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "7", '"string"', '{"type":"array","items":"int"}', '{"type":"record"}']
)
def test_what_is_no_schema_of_a_record_is_refused_with_its_values(text: str) -> None:
    known = WriterSchemas()
    known.add(ID, text)
    assert ID in known
    with pytest.raises(UndecodableError, match="schema id 7, which is no Avro record"):
        airy.decode_message(frame(ID, b"x"), known)


def test_only_so_many_unknown_ids_are_remembered() -> None:
    known = WriterSchemas()
    for number in range(10_001):
        known.add_unknown(number, float(number))
    assert known.unknown_since(0) is None
    assert known.unknown_since(1) == 1.0
    assert known.unknown_since(10_000) == 10_000.0


def test_channels_and_the_single_object_encoding_are_read_as_well() -> None:
    channel = make.make_channel()
    data = airy.encode_channel(channel)
    known = writers(published("AiryChannel"))
    assert airy.decode_channel(data, known) == channel
    assert airy.decode_channel(frame(ID, data[10:]), known) == channel


@given(st.binary(max_size=80))
def test_garbage_never_raises_anything_else(garbage: bytes) -> None:
    known = writers(published())
    for data in (garbage, b"\x00" + garbage, frame(ID, garbage)):
        try:
            airy.decode_message(data, known)
        except UndecodableError:
            continue
