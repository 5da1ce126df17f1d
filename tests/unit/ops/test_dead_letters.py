import dataclasses
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord

from airy_identify.ops.commands.dead_letter_forms import bytes_as_text
from airy_identify.ops.dead_letter_retry import Resend, resend_of
from airy_identify.ops.dead_letters import DeadLetter, Notes, read_dead_letter
from airy_identify.topics import TopicNames
from airy_identify.wire.airy import encode_message
from airy_identify.wire.conversation_commands import decode_conversation_command
from airy_identify.wire.headers import (
    DEAD_LETTER_CODE,
    DEAD_LETTER_OFFSET,
    DEAD_LETTER_PARTITION,
    DEAD_LETTER_RETRIED,
    DEAD_LETTER_TEXT,
    DEAD_LETTER_TIME,
    DEAD_LETTER_TOPIC,
    REQUEST_ID,
)
from tests.builders import make_message

OURS = (
    (DEAD_LETTER_TOPIC, b"identify-requests"),
    (DEAD_LETTER_PARTITION, b"3"),
    (DEAD_LETTER_OFFSET, b"17"),
    (DEAD_LETTER_CODE, b"malformed_json"),
    (DEAD_LETTER_TEXT, b"no JSON"),
    (DEAD_LETTER_TIME, b"2026-01-01T00:00:00.000Z"),
)


def make_record(*headers: tuple[str, bytes | None], value: bytes | None = b"{") -> ConsumerRecord:
    return ConsumerRecord(
        topic="identify-dead-letters",
        partition=1,
        offset=5,
        timestamp=0,
        timestamp_type=0,
        key=b"key",
        value=value,
        checksum=None,
        serialized_key_size=3,
        serialized_value_size=1,
        headers=headers,
    )


def test_a_dead_letter_tells_where_it_came_from_and_why() -> None:
    letter = read_dead_letter(make_record(("trace", b"1"), *OURS))

    assert (letter.partition, letter.offset) == (1, 5)
    assert letter.source == "identify-requests:3:17"
    assert (letter.code, letter.text, letter.time) == ("malformed_json", "no JSON", "2026-01-01T00:00:00.000Z")
    assert (letter.key, letter.value, letter.headers) == (b"key", b"{", (("trace", b"1"),))


def test_headers_of_ours_that_a_producer_forged_do_not_count() -> None:
    letter = read_dead_letter(make_record((DEAD_LETTER_CODE, b"forged"), *OURS))

    assert letter.code == "malformed_json"
    assert letter.headers == ((DEAD_LETTER_CODE, b"forged"),)


def test_a_record_without_our_headers_is_shown_all_the_same() -> None:
    letter = read_dead_letter(make_record(("trace", None), value=None))

    assert (letter.source, letter.code, letter.value, letter.headers) == (None, None, None, (("trace", None),))


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b'{"a":1}\n{}', '{"a":1}\n{}'),
        ("Zoë\tx".encode(), "Zoë\\tx"),
        (b"\x1b[31mred", "\\x1b[31mred"),
        (b"", ""),
        (b"\xc3\x01ab", "00000000  c3 01 61 62                                      ..ab"),
    ],
)
def test_bytes_are_shown_so_that_no_terminal_obeys_them(data: bytes, shown: str) -> None:
    assert bytes_as_text(data) == shown


def test_long_bytes_are_cut_between_characters() -> None:
    assert bytes_as_text(b"x" * (16 * 1024 + 1)) == "x" * (16 * 1024) + "\n… 1 bytes more"
    cut = bytes_as_text(b"x" + "é".encode() * (8 * 1024))
    assert cut.startswith("xéé")
    assert cut.endswith("é\n… 1 bytes more")
    assert bytes_as_text(b"\xff" + b"x" * (16 * 1024)).startswith("00000000  ff 78")


NAMES = TopicNames()
AIRY_MESSAGE = make_message()


def letter(**over: Any) -> DeadLetter:
    return dataclasses.replace(read_dead_letter(make_record(("trace", b"1"), *OURS)), **over)


def resend(**over: Any) -> Resend:
    found = resend_of(letter(**over), NAMES, {NAMES.responses, "team"})
    assert isinstance(found, Resend), found
    return found


def test_a_request_goes_back_as_it_was_with_the_id_that_it_had() -> None:
    assert resend() == Resend(
        topic="identify-requests",
        partition=3,
        key=b"key",
        value=b"{",
        headers=(("trace", b"1"), (REQUEST_ID, b"identify-requests-3-17")),
    )


def test_a_request_that_comes_back_again_keeps_its_first_id() -> None:
    headers = (("trace", b"1"), (REQUEST_ID, b"identify-requests-0-1"))
    assert resend(headers=headers).headers == headers


def test_an_answer_goes_where_it_was_meant_to_go() -> None:
    found = resend(reply_topic="team", reply_partition=2, source_topic=NAMES.conversation_commands, value=b"answer")
    assert found == Resend(topic="team", partition=2, key=b"key", value=b"answer", headers=(("trace", b"1"),))
    assert resend(reply_topic=NAMES.bridge_responses).partition is None


def test_a_message_goes_to_its_conversation_and_not_to_airy() -> None:
    found = resend(source_topic=NAMES.airy_messages, value=encode_message(AIRY_MESSAGE))
    assert (found.topic, found.partition) == (NAMES.conversation_commands, None)
    assert found.key == AIRY_MESSAGE.conversation_id.encode()
    assert decode_conversation_command(found.value or b"") == AIRY_MESSAGE


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ({"bytes_lost": 7}, "7 bytes"),
        ({"reply_topic": "elsewhere"}, "elsewhere"),
        ({"source_topic": NAMES.airy_messages, "value": b"garbage"}, "not a message of Airy"),
        ({"source_topic": NAMES.airy_messages, "value": None}, "nothing here processes"),
        ({"source_topic": None}, "unknown topic"),
        ({"source_topic": NAMES.identity_commands}, NAMES.identity_commands),
    ],
)
def test_what_cannot_be_sent_again_says_why(over: dict[str, Any], why: str) -> None:
    found = resend_of(letter(**over), NAMES, {NAMES.responses, "team"})
    assert isinstance(found, str)
    assert why in found


def test_a_note_is_no_letter_and_is_found_on_its_letter() -> None:
    notes = Notes()
    note = make_record((DEAD_LETTER_RETRIED, b"1:5"), (DEAD_LETTER_TIME, b"now"), value=None)
    assert notes.take(note)
    assert not notes.take(make_record((DEAD_LETTER_RETRIED, b"1:5"), *OURS, value=None))
    assert notes.on(letter()).retried_at == "now"
    assert notes.on(letter(offset=6)).retried_at is None
