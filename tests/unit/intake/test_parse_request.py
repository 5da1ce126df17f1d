import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.core.commands import AnswerFormat
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.intake.accept import COMMANDS
from airy_identify.intake.requests import COMMAND_OF_RECORD, ParsedRequest, format_of, parse_request
from airy_identify.subjects import answer_subject, schema_text, subjects_of
from airy_identify.topics import TopicNames
from airy_identify.wire import schemas
from airy_identify.wire.answers import ANSWER_RECORDS
from airy_identify.wire.confluent import WriterSchemas, frame
from tests.wire.golden_records import RECORDS

REQUESTS = sorted(path.stem for path in schemas.schema_directory().glob("*Request.avsc"))


def avro_request(record: str, **fields: Any) -> bytes:
    schema = schemas.our_schemas().schema_of(f"airy_identify.{record}")
    return schemas.encode(
        f"airy_identify.{record}", dict.fromkeys(field["name"] for field in schema["fields"]) | fields
    )


def refused(value: bytes | None) -> Rejected:
    parsed = parse_request(value)
    assert isinstance(parsed, Rejected), parsed
    assert parsed.message.endswith(".")
    return parsed


def test_every_request_schema_names_its_command() -> None:
    assert {name.removeprefix("airy_identify.") for name in COMMAND_OF_RECORD} == set(REQUESTS)
    assert set(COMMAND_OF_RECORD.values()) == set(COMMANDS)


def test_json_says_its_command_in_a_field() -> None:
    assert parse_request(b'{"command":"info"}') == ParsedRequest(fields={"command": "info"}, command=None)
    assert format_of(b'{"command":"info"}') is AnswerFormat.JSON


@pytest.mark.parametrize("record", REQUESTS)
def test_the_fingerprint_says_the_command(record: str) -> None:
    value = RECORDS[f"airy_identify.{record}"]()
    parsed = parse_request(value)
    assert isinstance(parsed, ParsedRequest)
    assert parsed.command == COMMAND_OF_RECORD[f"airy_identify.{record}"]
    assert parsed.fields["request_id"] == "r-1"
    assert format_of(value) is AnswerFormat.AVRO


def test_metadata_in_avro_is_what_it_is_in_json() -> None:
    metadata = {"plan": "pro", "deep": {"ä": [1, 2.5, None]}}
    parsed = parse_request(avro_request("IdentifyRequest", channel_id="c", metadata=json.dumps(metadata)))
    assert isinstance(parsed, ParsedRequest)
    assert parsed.fields["metadata"] == metadata


def test_records_that_are_no_requests_are_refused() -> None:
    for record, produce in RECORDS.items():
        if record not in COMMAND_OF_RECORD and not record.startswith("co.airy"):
            assert refused(produce()).reason is Reason.MALFORMED_JSON


@pytest.mark.parametrize("value", [None, b"", b"\xc3", b"\xc3\x01", b"\xc3\x01" + bytes(8), b"\xc3\x02{}", b"[]"])
def test_what_is_no_request_is_refused(value: bytes | None) -> None:
    assert refused(value).reason is Reason.MALFORMED_JSON


@pytest.mark.parametrize("record", REQUESTS)
def test_avro_that_is_cut_or_too_long_is_refused(record: str) -> None:
    value = RECORDS[f"airy_identify.{record}"]()
    for length in range(2, len(value)):
        assert "Avro" in refused(value[:length]).message
    assert "left over" in refused(value + b"\x00").message


@given(st.sampled_from(REQUESTS), st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_flipped_byte_is_refused_or_read_and_never_raises(record: str, place: int, flipped: int) -> None:
    value = bytearray(RECORDS[f"airy_identify.{record}"]())
    value[place % len(value)] ^= flipped
    parse_request(bytes(value))


def registered(*records: str) -> WriterSchemas:
    """Return the schemas of these records under the ids 1, 2, …"""
    writers = WriterSchemas()
    for schema_id, record in enumerate(records, 1):
        writers.add(schema_id, schema_text(f"airy_identify.{record}"))
    return writers


@pytest.mark.parametrize("record", REQUESTS)
def test_the_schema_id_says_the_command(record: str) -> None:
    value = frame(2, RECORDS[f"airy_identify.{record}"]()[10:])
    writers = registered("ErrorResponse", record)
    parsed = parse_request(value, writers)
    assert parsed == parse_request(RECORDS[f"airy_identify.{record}"]())
    assert format_of(value, writers) is AnswerFormat.CONFLUENT


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (frame(1, b"x"), "airy_identify.ErrorResponse is no request"),
        (frame(2, b"x"), "do not fit"),
        (frame(2, b""), "do not fit"),
        (frame(9, b"x"), "schema id 9, which the schema registry does not know"),
    ],
)
def test_framed_values_that_are_no_requests_are_refused(value: bytes, why: str) -> None:
    refused = parse_request(value, registered("ErrorResponse", "IdentifyRequest"))
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.MALFORMED_JSON
    assert why in refused.message


def test_without_a_registry_a_zero_byte_begins_no_request() -> None:
    value = frame(1, RECORDS["airy_identify.IdentifyRequest"]()[10:])
    assert format_of(value) is AnswerFormat.JSON
    assert isinstance(parse_request(value), Rejected)


def test_with_a_registry_the_other_formats_are_read_as_before() -> None:
    writers = registered()
    for value in (b'{"command":"info"}', RECORDS["airy_identify.InfoRequest"](), b"\x00\x00", b"", None):
        assert parse_request(value, writers) == parse_request(value)
        assert format_of(value, writers) is format_of(value)


def test_the_registry_has_a_subject_for_every_request_and_every_answer() -> None:
    names = TopicNames(prefix="p-")
    subjects = subjects_of(names)
    assert set(subjects.values()) == {*COMMAND_OF_RECORD, *ANSWER_RECORDS}
    assert subjects["p-identify-requests-value"] == "airy_identify.IdentifyRequest"
    assert subjects["p-identify-requests-airy_identify.MergeRequest"] == "airy_identify.MergeRequest"
    assert subjects[answer_subject(names, "airy_identify.ErrorResponse")] == "airy_identify.ErrorResponse"
    for record in subjects.values():
        assert json.loads(schema_text(record))["name"] == record.removeprefix("airy_identify.")
