from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.intake.requests import is_request_id, parse_json, request_id_of


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        (b"{}", {}),
        (b' {"a": [1, 2.5, null, "\xc3\xbc"]}\n', {"a": [1, 2.5, None, "ü"]}),
        (rb'{"a":"\ud83d\ude00\u0000"}', {"a": "😀\x00"}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":' + b"[" * 63 + b"]" * 63 + b"}", None),
    ],
)
def test_an_object_is_read(value: bytes, fields: dict[str, Any] | None) -> None:
    parsed = parse_json(value)
    assert isinstance(parsed, dict)
    assert fields is None or parsed == fields


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b" ",
        b"x",
        b"null",
        b"1",
        b'"text"',
        b"[]",
        b"[{}]",
        b"{",
        b"{} {}",
        b"{'a':1}",
        b'{"a":1,}',
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        '{"a":1}'.encode("utf-16"),
        b'{"a":NaN}',
        b'{"a":[-Infinity]}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 400 + b"}",
        b'{"a":' + b"9" * 10_000 + b"}",
        rb'{"a":"\ud800"}',
        rb'{"\udfff":1}',
        b'{"a":"\n"}',
        b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * 100_000,
        bytes(1_000_000),
        b"\xc3\x01" + bytes(30),
    ],
)
def test_anything_else_is_malformed(value: bytes | None) -> None:
    refusal = parse_json(value)
    assert isinstance(refusal, Rejected)
    assert (refusal.reason, refusal.field) == (Reason.MALFORMED_JSON, None)
    assert len(refusal.message) < 120


@pytest.mark.parametrize("given_id", ["r-1", "x" * 255, "a b ~!", "{}"])
def test_a_request_id_is_taken_as_it_is(given_id: str) -> None:
    assert request_id_of({"request_id": given_id}) == given_id


@pytest.mark.parametrize("fields", [{}, {"request_id": None}, {"request_id": ""}, {"request_id": "  "}])
def test_no_request_id_is_null(fields: dict[str, Any]) -> None:
    assert request_id_of(fields) is None


@pytest.mark.parametrize("given_id", [1, True, [], {}, "x" * 256, "ü", "a\tb", "a\x00", "\x7f", "a\x1f"])
def test_another_request_id_is_refused(given_id: Any) -> None:
    refusal = request_id_of({"request_id": given_id})
    assert isinstance(refusal, Rejected)
    assert (refusal.reason, refusal.field) == (Reason.INVALID_FIELD, "request_id")


@given(st.text(max_size=5))
def test_request_ids_are_printable_ascii(text: str) -> None:
    assert is_request_id(text) == (len(text) > 0 and all(" " <= character <= "~" for character in text))
