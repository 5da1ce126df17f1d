"""Answers in Avro say what answers in JSON say: read with Apache's library, and with the text of JSON fields parsed."""

import json
from typing import Any

import pytest
from hypothesis import given

from airy_identify.core.answers import ContactInfo, Identified
from airy_identify.core.commands import AnswerFormat
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import RequestId
from airy_identify.wire import answers
from airy_identify.wire.answers import AnswerBody, encode_answer
from airy_identify.wire.plain_form import to_datum, to_members
from tests import builders as make
from tests.avro_form import read_by_apache
from tests.wire.golden_records import ANSWER, INFO
from tests.wire.strategies import ANSWERS, INFO_ANSWERS


def filled(answer: Any) -> Any:
    """Return an answer in JSON with the members that it leaves out."""
    for conversation in answer.get("conversations", ()):
        if conversation["last_message"] is not None:
            conversation["last_message"].setdefault("truncated", False)
    return answer | {"explanation": answer.get("explanation")} if "created" in answer else answer


def assert_both_formats_say_the_same(body: AnswerBody) -> None:
    assert read_by_apache(body.schema, encode_answer(body, AnswerFormat.AVRO)) == filled(
        json.loads(encode_answer(body))
    )


@given(ANSWERS)
def test_any_answer_to_identify_says_the_same_in_both_formats(identified: Identified) -> None:
    assert_both_formats_say_the_same(answers.identified_body(identified, lambda *_: "token"))


@given(INFO_ANSWERS)
def test_any_answer_to_info_says_the_same_in_both_formats(info: ContactInfo) -> None:
    assert_both_formats_say_the_same(answers.info_body(info))


BODIES = {
    "identify": answers.identified_body(ANSWER, lambda *_: "token"),
    "info": answers.info_body(INFO),
    "contact": answers.answered_body(make.make_contact_changed()),
    "unmerge": answers.answered_body(make.make_contact_restored()),
    "forget": answers.answered_body(make.make_contact_forgotten()),
    "token": answers.token_body(make.make_token_given(), lambda *_: "token"),
    "error": answers.error_body(Rejected(reason=Reason.INVALID_EMAIL, message="ü", field="email"), RequestId("r")),
    "error about no field": answers.error_body(Rejected(reason=Reason.TIMEOUT, message=""), RequestId("r")),
}


@pytest.mark.parametrize("name", BODIES)
def test_every_kind_of_answer_says_the_same_in_both_formats(name: str) -> None:
    assert_both_formats_say_the_same(BODIES[name])


def test_every_answer_is_among_these() -> None:
    assert {body.schema for body in BODIES.values()} == answers.ACCEPTED_SCHEMAS | {answers.ERROR_RESPONSE}


@pytest.mark.parametrize("content", ["null", '"text"', "text", '{"b":1,"a":[null]}', "1e999"])
def test_content_is_the_text_of_its_json(content: str) -> None:
    summary = make.make_conversation_summary(last_message=make.make_message(content=content))
    body = answers.identified_body(make.make_identified(conversations=(summary,)), lambda *_: "token")
    in_avro = read_by_apache(body.schema, encode_answer(body, AnswerFormat.AVRO))
    in_json = json.loads(encode_answer(body))
    assert (
        in_avro["conversations"][0]["last_message"]["content"] == in_json["conversations"][0]["last_message"]["content"]
    )


def test_members_that_no_field_has_and_fields_that_nothing_fills_are_refused() -> None:
    with pytest.raises(ValueError, match="no field more"):
        to_datum(answers.FORGET_RESPONSE, {"request_id": "r", "more": 1})
    with pytest.raises(ValueError, match="request_id is missing"):
        to_datum(answers.FORGET_RESPONSE, {})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (None, None),
        ('{"a":[1,null]}', {"a": [1, None]}),
        ("null", None),
        ("7", 7),
        ("", ""),
        ("{", "{"),
        ("[" * 65 + "]" * 65, "[" * 65 + "]" * 65),
    ],
)
def test_metadata_of_a_request_is_parsed_and_what_is_no_json_is_left_for_intake(text: Any, value: Any) -> None:
    assert to_members("airy_identify.IdentifyRequest", {"channel_id": "7", "metadata": text}) == {
        "channel_id": "7",
        "metadata": value,
    }


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_confluents_framing_holds_the_same_datum_behind_the_registrys_id(body: AnswerBody) -> None:
    framed = encode_answer(body, AnswerFormat.CONFLUENT, {body.schema: 0x01020304})

    assert framed[:5] == b"\x00\x01\x02\x03\x04"
    assert framed[5:] == encode_answer(body, AnswerFormat.AVRO)[10:]


def test_without_an_id_of_the_registry_the_answer_is_json() -> None:
    body = BODIES["identify"]

    assert encode_answer(body, AnswerFormat.CONFLUENT, {"airy_identify.ErrorResponse": 7}) == encode_answer(body)
    assert encode_answer(body, AnswerFormat.CONFLUENT) == encode_answer(body)
