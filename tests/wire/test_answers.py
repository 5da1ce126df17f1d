import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.core.answers import Identified
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import ChannelId, ConversationId, RequestId
from airy_identify.wire import schemas
from airy_identify.wire.answers import encode_answer, encode_error, identified_body, iso_time
from tests import builders as make
from tests.wire.golden_records import ANSWER
from tests.wire.strategies import ANSWERS


def sign(conversation_id: ConversationId, channel_id: ChannelId, issued_at_s: int) -> str:
    return f"{conversation_id} {channel_id} {issued_at_s}"


def refuse_constant(constant: str) -> None:
    raise AssertionError(constant)


def read(data: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(data.decode(), parse_constant=refuse_constant)
    return answer


def content_of(text: str | None) -> Any:
    summary = make.make_conversation_summary(last_message=make.make_message(content=text))
    answer = read(encode_answer(identified_body(make.make_identified(conversations=(summary,)), sign)))
    return answer["conversations"][0]["last_message"]["content"]


def test_the_answer_is_the_documented_one() -> None:
    assert read(encode_answer(identified_body(ANSWER, sign))) == {
        "request_id": "r-1",
        "contact": {
            "id": "k-1",
            "external_id": "e-1",
            "email": "anna@example.org",
            "phone_number": "+491701234567",
            "identifiers": {"device_id": ["d-1", "d-2"]},
            "display_name": "display",
            "first_name": "first",
            "last_name": "last",
            "avatar_url": "avatar",
            "metadata": {"plan": "pro", "deep": {"ä": [1, 2.5, True, None]}},
            "unverified": ["email"],
            "created_at": "1970-01-01T00:00:01.002Z",
            "updated_at": "1970-01-01T00:00:01.003Z",
        },
        "conversations": [
            {
                "id": "c-1",
                "created_at": "1970-01-01T00:00:01.001Z",
                "channel": {"id": "ch-1", "source": "chatplugin"},
                "resume_token": "c-1 ch-1 1700000000",
                "last_message": {
                    "id": "m-1",
                    "content": {"text": "Grüße"},
                    "sent_at": "2023-11-14T22:13:20.123Z",
                    "delivery_state": "failed",
                    "from_contact": True,
                    "source": "chatplugin",
                    "metadata": None,
                    "sender": {"id": "s-1", "name": None, "avatar_url": None},
                },
            },
            {
                "id": "c-2",
                "created_at": "2023-11-14T22:13:20.000Z",
                "channel": {"id": make.CHANNEL_ID, "source": "chatplugin"},
                "resume_token": f"c-2 {make.CHANNEL_ID} 1700000000",
                "last_message": {
                    "id": make.make_message().id,
                    "content": None,
                    "sent_at": "2023-11-14T22:13:20.000Z",
                    "delivery_state": "delivered",
                    "from_contact": True,
                    "source": "chatplugin",
                    "metadata": None,
                    "sender": {"id": make.NEW_ID, "name": None, "avatar_url": None},
                    "truncated": True,
                },
            },
        ],
        "created": {"contact": False, "conversation": True},
        "merged": ["k-2"],
        "warnings": [{"code": "identifier_conflict", "message": "Belongs to somebody else.", "field": "email"}],
        "truncated": True,
        "explanation": {
            "target": "found",
            "by": "email",
            "keys": [{"field": "email", "level": "known", "outcome": "matched", "why": "words"}],
        },
    }


def test_what_is_absent_is_null() -> None:
    contact = make.make_contact_view(id=None, created_at_ms=None, updated_at_ms=None)
    answer = read(encode_answer(identified_body(make.make_identified(contact=contact), sign)))
    assert {name for name, value in answer["contact"].items() if value is None} == {
        "id",
        "external_id",
        "email",
        "phone_number",
        "display_name",
        "first_name",
        "last_name",
        "avatar_url",
        "created_at",
        "updated_at",
    }


def test_a_conversation_without_messages_has_last_message_null() -> None:
    identified = make.make_identified(conversations=(make.make_conversation_summary(),))
    assert read(encode_answer(identified_body(identified, sign)))["conversations"][0]["last_message"] is None


def test_a_dry_run_gets_no_tokens() -> None:
    identified = make.make_identified(conversations=(make.make_conversation_summary(),), dry_run=True)
    assert read(encode_answer(identified_body(identified, sign)))["conversations"][0]["resume_token"] is None


def test_tokens_are_issued_at_the_second_of_acceptance() -> None:
    summary = make.make_conversation_summary()
    identified = make.make_identified(conversations=(summary,), accepted_at_ms=1_700_000_000_999)
    token = read(encode_answer(identified_body(identified, sign)))["conversations"][0]["resume_token"]
    assert token.endswith(" 1700000000")


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ('{"text":"Hello"}', {"text": "Hello"}),
        ("[1,2.5,null]", [1, 2.5, None]),
        ("42", 42),
        ("null", None),
        ('"quoted"', "quoted"),
        (r'{"a":"\ud83d\ude00"}', {"a": "😀"}),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_content_that_is_json_is_answered_as_json(text: str, content: Any) -> None:
    assert content_of(text) == content


@pytest.mark.parametrize(
    "text",
    [
        "Hello",
        "",
        "42 is the answer",
        "{'a': 1}",
        "NaN",
        '{"a":Infinity}',
        "[-Infinity]",
        "1e999",
        "-1e999",
        "1" * 400,
        "1" * 5000,
        r'{"a":"\ud800"}',
        r'{"\udc00":1}',
        "[" * 65 + "]" * 65,
        "[" * 5000 + "]" * 5000,
        '{"a":' * 5000,
        "[" * 100_000,
    ],
)
def test_content_that_cannot_be_passed_on_as_json_is_answered_as_text(text: str) -> None:
    assert content_of(text) == text


@given(st.text(alphabet='[]{}":,\\ud80e9+-.NaIfinty ', max_size=30) | st.text(max_size=30))
def test_any_content_makes_an_answer(text: str) -> None:
    content_of(text)


@given(ANSWERS)
def test_any_answer_is_json_in_utf_8_of_its_schema(identified: Identified) -> None:
    answer = read(encode_answer(identified_body(identified, sign)))
    assert_plain_form(answer, "IdentifyResponse")


def test_an_error_is_the_documented_one() -> None:
    rejected = Rejected(reason=Reason.INVALID_EMAIL, message="Mend it: ü.", field="email")
    error = read(encode_error(rejected, RequestId("r-1")))
    assert error == {"message": "Mend it: ü.", "code": "invalid_email", "field": "email", "request_id": "r-1"}
    assert_plain_form(error, "ErrorResponse")


def test_an_error_about_no_field_has_field_null() -> None:
    rejected = Rejected(reason=Reason.MISSING_IDENTIFIER, message="")
    assert read(encode_error(rejected, RequestId("r")))["field"] is None


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (1_700_000_000_120, "2023-11-14T22:13:20.120Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_iso_8601_with_milliseconds(time_ms: int, text: str) -> None:
    assert iso_time(time_ms) == text


OPTIONAL = {"truncated", "explanation"}
"""Members that JSON leaves out where Avro has the default."""


def assert_plain_form(answer: dict[str, Any], record: str) -> None:
    path = schemas.schema_directory() / f"{record}.avsc"
    _assert_fits(answer, json.loads(path.read_text(encoding="utf-8")))


def _assert_fits(value: Any, schema: Any) -> None:
    """Check that a JSON value is the plain form of the schema: every field, no other, each of its type."""
    if isinstance(schema, list):
        if value is not None:
            _assert_fits(value, next(branch for branch in schema if branch != "null"))
        return
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind == "record":
        fields = {field["name"]: field for field in schema["fields"]}
        assert set(value) | OPTIONAL == set(fields) | OPTIONAL
        for name, member in value.items():
            if not fields[name].get("json_text"):
                _assert_fits(member, fields[name]["type"])
    elif kind in {"array", "map"}:
        for member in value if kind == "array" else value.values():
            _assert_fits(member, schema["items" if kind == "array" else "values"])
    else:
        assert type(value) is {"string": str, "boolean": bool}[kind]
