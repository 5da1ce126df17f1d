import pytest
from aiokafka.structs import ConsumerRecord

from airy_identify.ops.commands.dead_letters import bytes_as_text
from airy_identify.ops.dead_letters import read_dead_letter
from airy_identify.wire.headers import (
    DEAD_LETTER_CODE,
    DEAD_LETTER_OFFSET,
    DEAD_LETTER_PARTITION,
    DEAD_LETTER_TEXT,
    DEAD_LETTER_TIME,
    DEAD_LETTER_TOPIC,
)

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
