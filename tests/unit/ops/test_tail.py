import json
from typing import Any

import pytest

from airy_identify.core.answers import ConversationSummary
from airy_identify.core.reasons import Reason, Rejected, Warned, WarningCode
from airy_identify.core.values import RequestId
from airy_identify.ops.tail import describe
from airy_identify.wire.answers import encode_answer, encode_error, identified_body
from tests.builders import make_contact_conversation, make_contact_view, make_identified
from tests.unit.ops.test_dead_letters import make_record


def line_of(value: bytes) -> str:
    return describe(make_record(value=value), door="HTTP")


def test_an_answer_is_one_line_without_personal_data_and_tokens() -> None:
    view = make_contact_view(email="ada@example.org", phone_number="+4915112345678", metadata={"plan": "pro"})
    identified = make_identified(
        contact=view,
        conversations=(ConversationSummary(conversation=make_contact_conversation(), last_message=None),),
        created_contact=True,
        warnings=(Warned(code=WarningCode.IDENTIFIER_CONFLICT, message="taken", field="email"),),
    )

    line = line_of(encode_answer(identified_body(identified, lambda *_: "the-token")))

    assert line == (
        f"HTTP   request {identified.request_id}  contact {view.id} created  1 conversations"
        "  warning: identifier_conflict (email)"
    )


def test_a_refusal_is_one_line() -> None:
    rejected = Rejected(reason=Reason.INVALID_EMAIL, message="ada@ is none", field="email")

    assert line_of(encode_error(rejected, RequestId("r-1"))) == "HTTP   request r-1  refused: invalid_email (email)"


@pytest.mark.parametrize(
    "value", [b"no json", json.dumps([1]).encode(), json.dumps({"request_id": "r"}).encode(), None]
)
def test_what_cannot_be_read_does_not_end_the_following(value: Any) -> None:
    assert "cannot be read, offset 5" in line_of(value)
