"""Whatever is put on the topics: each record is answered or kept with its reason, and the next good one is answered."""

import json
import uuid
from typing import Any

import pytest

from airy_identify.wire.headers import DEAD_LETTER_CODE, DEAD_LETTER_OFFSET, DEAD_LETTER_TEXT, DEAD_LETTER_TOPIC
from tests.kafka.replay import read
from tests.kafka.service import Service, poll, produce

NO_REQUESTS = {
    "no JSON": b"not json",
    "not UTF-8": b"\xff\xfe\x00",
    "cut off": b'{"channel_id": ',
    "not an object": b"[1, 2, 3]",
    "a lone surrogate": b'{"channel_id": "\\ud800"}',
    "endless nesting": b"[" * 100_000,
    "infinity": b'{"metadata": {"a": 1e999}}',
    "a megabyte": b"x" * 1_000_000,
    "null": None,
    "empty": b"",
}
WRONG: dict[str, dict[str, Any]] = {
    "external_id": {"external_id": 5},
    "email": {"email": ["a@example.com"]},
    "phone_number": {"phone_number": {"number": 1}},
    "identifiers": {"identifiers": "device"},
    "metadata": {"external_id": "u", "metadata": "text"},
    "dry_run": {"external_id": "u", "dry_run": "yes"},
    "channel_id": {"external_id": "u", "channel_id": 7},
    "tenant": {"external_id": "u", "tenant": "Not A Tenant"},
    "request_id": {"external_id": "u", "request_id": "new\nline"},
}


async def test_what_is_no_request_is_kept_byte_for_byte_and_says_why(service: Service) -> None:
    settings, names = service.settings, service.settings.topic_names
    marks = {what: uuid.uuid4().bytes for what in NO_REQUESTS}
    records = [(b"key", value, (("mark", marks[what]), ("other", b"\x00\xff"))) for what, value in NO_REQUESTS.items()]
    await produce(settings, names.requests, *records)
    good = await service.ask(external_id=f"after-{uuid.uuid4()}", partition=0)

    async def kept() -> dict[bytes, object] | None:
        found = {dict(record.headers).get("mark", b""): record for record in await read(settings, names.dead_letters)}
        return found if set(marks.values()) <= set(found) else None

    letters = await poll(kept, "not everything is in the dead letters")
    assert json.loads(good.value)["contact"]["id"]
    for what, value in NO_REQUESTS.items():
        letter = letters[marks[what]]
        headers = dict(letter.headers)
        assert (letter.key, letter.value) == (b"key", value), what
        assert letter.headers[:2] == (("mark", marks[what]), ("other", b"\x00\xff")), what
        assert headers[DEAD_LETTER_CODE] == b"malformed_json", what
        assert headers[DEAD_LETTER_TOPIC] == names.requests.encode()
        assert headers[DEAD_LETTER_OFFSET].isdigit()
        assert headers[DEAD_LETTER_TEXT]
    kept_now = [dict(record.headers).get("mark") for record in await read(settings, names.dead_letters)]
    assert all(kept_now.count(mark) == 1 for mark in marks.values())


@pytest.mark.parametrize("field", WRONG)
async def test_a_wrong_field_is_named_in_the_answer(service: Service, field: str) -> None:
    answer = json.loads((await service.ask(**WRONG[field])).value)

    assert answer["field"] == field
    assert answer["code"] in {"invalid_field", "invalid_metadata"}


async def test_garbage_on_airys_topics_stops_nothing(service: Service) -> None:
    settings, names = service.settings, service.settings.topic_names
    mark = uuid.uuid4().bytes
    await produce(
        settings,
        names.airy_messages,
        (b"tombstone", None, ()),
        (b"garbage", b"\x00garbage", (("mark", mark),)),
        (b"", b"\xc3\x01garbage", ()),
    )
    await produce(settings, names.airy_channels, (b"x", b"garbage", ()), (b"y", None, ()), (b"", b"z", ()))

    async def kept() -> bool:
        return any(("mark", mark) in record.headers for record in await read(settings, names.dead_letters))

    await poll(kept, "the garbage was not kept")
    assert (await service.identify(external_id=f"after-{uuid.uuid4()}"))["status"] == 200
