import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.core.commands import AnswerFormat
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.intake.accept import COMMANDS
from airy_identify.intake.requests import COMMAND_OF_RECORD, ParsedRequest, format_of, parse_request
from airy_identify.wire import schemas
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
