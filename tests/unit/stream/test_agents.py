import json
from typing import Any

from airy_identify.core.answers import ResumeSlip
from airy_identify.core.commands import AnswerFormat, Identify
from airy_identify.core.reasons import Reason
from airy_identify.core.values import ConversationId
from airy_identify.intake.policy import IntakePolicy, Stamp
from airy_identify.kafka import partition_for
from airy_identify.stream.agents.conversation import ConversationAgent
from airy_identify.stream.agents.identity import IdentityAgent
from airy_identify.stream.agents.intake import IntakeAgent
from airy_identify.stream.agents.messages import MessagesAgent
from airy_identify.stream.agents.replies import DeadLetters
from airy_identify.stream.batch import Batch, Output
from airy_identify.topics import DEAD_LETTER_BYTES_MAX, TopicNames
from airy_identify.wire.airy import encode_message
from airy_identify.wire.answers import ANSWER_SCHEMA_HEADER
from airy_identify.wire.commands import decode_command, encode_command
from airy_identify.wire.conversation_commands import decode_conversation_command, encode_conversation_command
from airy_identify.wire.headers import CORRELATION_ID, REPLY_TOPIC, REQUEST_ID
from airy_identify.wire.resume_token import ResumeTokenSigner
from tests.avro_form import read_by_apache, write_by_apache
from tests.builders import (
    make_again,
    make_channel,
    make_channels,
    make_contact_conversation,
    make_forget,
    make_identify_command,
    make_message,
    make_reply_to,
    make_resume_slip,
    make_token_slip,
)
from tests.records import make_record

NAMES = TopicNames()
PARTITIONS = 4
COUNTS = dict.fromkeys(
    (NAMES.identity_commands, NAMES.conversation_commands, NAMES.responses, NAMES.dead_letters), PARTITIONS
)
CHANNEL = make_channel()


class Counted:
    def __init__(self) -> None:
        self.codes: list[str] = []

    def dead_lettered(self, code: str) -> None:
        self.codes.append(code)


class Rows(dict[bytes, bytes]):
    """A table in memory."""


DEAD_LETTERS = DeadLetters(topic=NAMES.dead_letters, partitions=PARTITIONS, metrics=Counted())
INTAKE = IntakeAgent(
    names=NAMES,
    channels=make_channels(CHANNEL),
    policy=IntakePolicy(),
    reply_topics=frozenset({NAMES.responses}),
    dead_letters=DEAD_LETTERS,
    partitions=COUNTS,
    stamp=lambda: Stamp(
        accepted_at_ms=1_700_000_000_000, new_id=ConversationId("91b0f8a6-0000-4000-8000-000000000001")
    ),
)
MESSAGES = MessagesAgent(names=NAMES, dead_letters=DEAD_LETTERS, now_ms=lambda: 1_700_000_000_000)
IDENTITY = IdentityAgent(names=NAMES, conversation_partitions=PARTITIONS)
CONVERSATION = ConversationAgent(names=NAMES, partitions=PARTITIONS, signer=ResumeTokenSigner(b"s" * 32))


def process(agent: object, record: object, rows: Rows | None = None) -> Batch:
    batch = Batch([record], Rows() if rows is None else rows, COUNTS)
    for each in batch:
        agent.process(each, batch)  # type: ignore[attr-defined]
    return batch


def sent(batch: Batch, topic: str) -> list[Output]:
    outputs = [output for partition, outputs in batch.outputs.items() if partition.topic == topic for output in outputs]
    return outputs + [answer.output for listed in batch.answers.values() for answer in listed if answer.topic == topic]


def request(**fields: object) -> bytes:
    return json.dumps({"channel_id": CHANNEL.id, **fields}).encode()


def test_a_request_becomes_a_command_of_its_tenant() -> None:
    batch = process(INTAKE, make_record(topic="requests", partition=2, offset=5, value=request(external_id="u1")))

    ((key, value, _),) = sent(batch, NAMES.identity_commands)
    assert key == b"default"
    command = decode_command(value or b"")
    assert command.request_id == "requests-2-5"
    assert command.reply_to.topic == NAMES.responses
    assert command.reply_to.correlation_id == b"requests-2-5"
    assert len(batch.outputs) == 1


def test_headers_of_the_caller_go_with_the_command() -> None:
    headers = [(CORRELATION_ID, b"one"), (CORRELATION_ID, b"\xff\x00two"), (REPLY_TOPIC, NAMES.responses.encode())]
    value = request(external_id="u1", request_id="mine")
    batch = process(INTAKE, make_record(value=value, headers=headers))

    ((_, value_sent, _),) = sent(batch, NAMES.identity_commands)
    command = decode_command(value_sent or b"")
    assert (command.request_id, command.reply_to.correlation_id) == ("mine", b"\xff\x00two")


def test_a_refused_request_is_answered_and_not_dead_lettered() -> None:
    batch = process(INTAKE, make_record(value=request(request_id="mine")))

    ((key, value, headers),) = sent(batch, NAMES.responses)
    assert key == b"mine"
    assert json.loads(value or b"")["code"] == Reason.MISSING_IDENTIFIER
    assert (CORRELATION_ID, b"mine") in headers
    assert sent(batch, NAMES.identity_commands) == sent(batch, NAMES.dead_letters) == []


def test_bytes_that_are_no_request_are_kept_with_their_headers_and_the_reason() -> None:
    for value in (b"\xff not json", None):
        record = make_record(topic="requests", partition=1, offset=9, value=value, headers=[("mine", b"\x00")])
        batch = process(INTAKE, record)

        ((key, kept, headers),) = sent(batch, NAMES.dead_letters)
        assert (key, kept) == (b"key", value)
        assert headers[0] == ("mine", b"\x00")
        found = dict(headers)
        assert found["airy_identify_topic"] == b"requests"
        assert (found["airy_identify_partition"], found["airy_identify_offset"]) == (b"1", b"9")
        assert found["airy_identify_code"] == b"malformed_json"
        assert sent(batch, NAMES.responses) == []


def test_whoever_waits_for_bytes_that_are_no_request_is_answered_too() -> None:
    batch = process(INTAKE, make_record(value=b"{", headers=[(CORRELATION_ID, b"waits")]))

    ((_, value, headers),) = sent(batch, NAMES.responses)
    assert json.loads(value or b"")["code"] == Reason.MALFORMED_JSON
    assert (CORRELATION_ID, b"waits") in headers
    assert len(sent(batch, NAMES.dead_letters)) == 1


def test_a_reply_topic_that_is_not_allowed_stops_the_request() -> None:
    batch = process(INTAKE, make_record(value=request(external_id="u1"), headers=[(REPLY_TOPIC, b"elsewhere")]))

    assert len(sent(batch, NAMES.dead_letters)) == 1
    assert len(batch.outputs) == 1
    assert batch.answers == {}


def test_messages_go_to_their_conversation() -> None:
    message = make_message()
    batch = process(MESSAGES, make_record(value=encode_message(message)))

    ((key, value, _),) = sent(batch, NAMES.conversation_commands)
    assert key == message.conversation_id.encode()
    assert decode_conversation_command(value or b"") == make_again(message, tenant="default")

    assert process(MESSAGES, make_record(value=None)).outputs == {}


def test_what_is_no_message_is_kept() -> None:
    assert len(sent(process(MESSAGES, make_record(value=b"\xc3\x01nonsense")), NAMES.dead_letters)) == 1


def test_a_command_changes_rows_and_sends_its_slip_to_the_conversation() -> None:
    command = make_identify_command(external_id="u1", email="a@example.com")
    batch = process(IDENTITY, make_record(value=encode_command(command)))

    ((key, value, _),) = sent(batch, NAMES.conversation_commands)
    slip = decode_conversation_command(value or b"")
    assert isinstance(slip, ResumeSlip)
    assert key == command.new_id.encode()
    assert slip.minted == command.new_id
    kinds = {row_key.split(b"\x1f")[1] for row_key in batch.rows}
    assert {b"contact", b"conversation"} < kinds
    again = process(
        IDENTITY, make_record(value=encode_command(command)), Rows({k: v for k, v in batch.rows.items() if v})
    )
    assert again.rows == {}


def test_a_slip_visits_one_partition_after_the_other_and_is_answered_once() -> None:
    conversations = tuple(make_contact_conversation(id=f"91b0f8a6-0000-4000-8000-{number:012}") for number in range(12))
    value = encode_conversation_command(make_resume_slip(pending=conversations, summaries=()))
    visited: list[int] = []
    answers: list[Output] = []
    key = conversations[0].id.encode()
    while not answers:
        partition = partition_for(key, PARTITIONS)
        visited.append(partition)
        batch = process(CONVERSATION, make_record(partition=partition, value=value))
        answers = sent(batch, NAMES.responses)
        if not answers:
            ((next_key, next_value, _),) = sent(batch, NAMES.conversation_commands)
            assert next_key is not None
            assert next_value is not None
            key, value = next_key, next_value
    assert sorted(visited) == sorted({partition_for(each.id.encode(), PARTITIONS) for each in conversations})
    body = json.loads(answers[0][1] or b"")
    assert {each["id"] for each in body["conversations"]} == {each.id for each in conversations}
    assert all(each["resume_token"] for each in body["conversations"])


AVRO_HEADERS = [(CORRELATION_ID, b"waits")]


def avro_answer(batch: Batch) -> Any:
    ((_, value, headers),) = sent(batch, NAMES.responses)
    assert value is not None
    return read_by_apache((dict(headers)[ANSWER_SCHEMA_HEADER] or b"").decode(), value)


def test_an_avro_request_is_accepted_and_refused_as_in_json_and_answered_in_avro() -> None:
    value = write_by_apache("airy_identify.IdentifyRequest", {"channel_id": CHANNEL.id, "external_id": "u1"})
    ((_, command_sent, _),) = sent(process(INTAKE, make_record(value=value)), NAMES.identity_commands)
    command = decode_command(command_sent or b"")
    assert isinstance(command, Identify)
    assert (command.external_id, command.reply_to.format) == ("u1", AnswerFormat.AVRO)

    refused = write_by_apache("airy_identify.IdentifyRequest", {"channel_id": CHANNEL.id})
    assert avro_answer(process(INTAKE, make_record(value=refused)))["code"] == Reason.MISSING_IDENTIFIER


def test_avro_that_is_no_request_is_kept_and_answered_in_avro() -> None:
    batch = process(INTAKE, make_record(value=b"\xc3\x01cut", headers=AVRO_HEADERS))
    assert len(sent(batch, NAMES.dead_letters)) == 1
    assert avro_answer(batch)["code"] == Reason.MALFORMED_JSON
    assert sent(process(INTAKE, make_record(value=b"\xc3\x01cut")), NAMES.responses) == []


def test_the_tables_refuse_and_answer_in_the_format_of_the_question() -> None:
    reply_to = make_reply_to(topic=NAMES.responses, format=AnswerFormat.AVRO)
    refused = process(IDENTITY, make_record(value=encode_command(make_forget("nobody", reply_to=reply_to))))
    assert avro_answer(refused)["code"] == Reason.UNKNOWN_CONTACT
    conversation = make_contact_conversation()
    slip = make_resume_slip(pending=(conversation,), summaries=(), reply_to=reply_to)
    partition = partition_for(conversation.id.encode(), PARTITIONS)
    answered = process(CONVERSATION, make_record(partition=partition, value=encode_conversation_command(slip)))
    assert avro_answer(answered)["conversations"][0]["id"] == conversation.id
    token = encode_conversation_command(make_token_slip(reply_to=reply_to, owned=False))
    assert avro_answer(process(CONVERSATION, make_record(value=token)))["code"] == Reason.UNKNOWN_CONVERSATION


def test_a_request_that_comes_again_has_the_id_that_it_had() -> None:
    for value, headers, request_id in (
        (request(external_id="u1"), [(REQUEST_ID, b"first-0-1"), (REQUEST_ID, b"requests-0-1")], "requests-0-1"),
        (request(external_id="u1", request_id="mine"), [(REQUEST_ID, b"requests-0-1")], "mine"),
        (request(external_id="u1"), [(REQUEST_ID, b"new\nline")], "requests-2-5"),
        (request(external_id="u1"), [(REQUEST_ID, b"\xff")], "requests-2-5"),
    ):
        record = make_record(topic="requests", partition=2, offset=5, value=value, headers=headers)
        ((_, command, _),) = sent(process(INTAKE, record), NAMES.identity_commands)
        assert decode_command(command or b"").request_id == request_id


def test_an_answer_without_a_way_is_kept_with_where_it_was_meant_to_go() -> None:
    batch = process(INTAKE, make_record(topic="requests", partition=1, offset=9, value=request(request_id="mine")))
    for answer, why in batch.divert(lambda _place, _answer: "it is gone"):
        DEAD_LETTERS.send_answer(batch, answer, why, 1_700_000_000_000)
    ((key, value, headers),) = sent(batch, NAMES.dead_letters)
    assert (key, json.loads(value or b"")["code"]) == (b"mine", Reason.MISSING_IDENTIFIER)
    assert headers[:2] == ((CORRELATION_ID, b"mine"), (ANSWER_SCHEMA_HEADER, b"airy_identify.ErrorResponse"))
    assert dict(headers[2:]) == {
        "airy_identify_topic": b"requests",
        "airy_identify_partition": b"1",
        "airy_identify_offset": b"9",
        "airy_identify_code": b"undeliverable_answer",
        "airy_identify_text": b"it is gone",
        "airy_identify_time": b"2023-11-14T22:13:20.000Z",
        "airy_identify_reply_topic": NAMES.responses.encode(),
    }
    assert batch.answers == {}


def test_a_record_that_no_dead_letter_can_hold_leaves_its_size_and_place() -> None:
    value = b"x" * DEAD_LETTER_BYTES_MAX
    ((key, kept, headers),) = sent(process(INTAKE, make_record(offset=7, value=value)), NAMES.dead_letters)
    assert (key, kept) == (None, None)
    assert int(dict(headers)["airy_identify_bytes_lost"] or b"") >= len(value)
    assert dict(headers)["airy_identify_offset"] == b"7"
