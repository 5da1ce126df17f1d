"""Whatever is put on the topics: each record is answered or kept with its reason, and the next good one is answered."""

import base64
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord

from airy_identify.wire.headers import (
    CORRELATION_ID,
    DEAD_LETTER_CODE,
    DEAD_LETTER_OFFSET,
    DEAD_LETTER_TEXT,
    DEAD_LETTER_TOPIC,
    REQUEST_ID,
)
from tests.kafka.any_names import ODD_NAME, produce_any_names
from tests.kafka.caller import calling, plain_answer
from tests.kafka.commands import call
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


async def test_a_request_is_answered_whatever_its_headers_are_called(service: Service) -> None:
    good = json.dumps({"channel_id": service.channel, "external_id": f"odd-{uuid.uuid4()}"}).encode()
    servers, names = service.settings.kafka_bootstrap_servers, service.settings.topic_names
    ids = [uuid.uuid4().bytes for _ in range(3)]
    async with calling(service.settings) as caller:
        records = [(None, good, [(ODD_NAME, b"1"), (CORRELATION_ID, each), (ODD_NAME, None)]) for each in ids]
        await produce_any_names(servers, names.requests, *records, partition=1)
        answers = [plain_answer(await caller.answer(each)) for each in ids]
    assert [answer["created"]["contact"] for answer in answers] == [True, False, False]


async def test_a_header_name_that_is_no_text_survives_dead_letters_and_retry(service: Service, tmp_path: Path) -> None:
    servers, names, mark = service.settings.kafka_bootstrap_servers, service.settings.topic_names, uuid.uuid4().bytes
    own = [(ODD_NAME, b"1"), ("mark", mark), (ODD_NAME, None), ("plain", b"2")]
    after = (b"key", b"also no request", [("mark", mark)])
    first = await produce_any_names(servers, names.requests, after, (b"key", b"no request", own), after, partition=2)

    async def letters(count: int) -> list[ConsumerRecord] | None:
        found = [each for each in await read(service.settings, names.dead_letters) if ("mark", mark) in each.headers]
        return found if len(found) == count else None

    _, letter, _ = await poll(lambda: letters(3), "not everything is in the dead letters")
    assert (letter.value, list(letter.headers[:4])) == (b"no request", own)
    assert dict(letter.headers)[DEAD_LETTER_OFFSET] == str(first + 1).encode()
    place, settings = f"{letter.partition}:{letter.offset}", service.settings

    code, output, errors = await call(settings, "dead-letters", "show", place)
    assert (code, "header odd\\xff\\xfe" in output) == (0, True), errors
    code, _, errors = await call(settings, "dead-letters", "export", "--output", str(tmp_path / "letters.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "letters.jsonl").read_text().splitlines()]
    (line,) = [line for line in lines if (line["partition"], line["offset"]) == (letter.partition, letter.offset)]
    exported = line["headers_base64"][0]
    assert (code, exported["name"]) == (0, "odd\\xff\\xfe"), errors
    assert base64.b64decode(exported["name_base64"]) == b"odd\xff\xfe"

    code, _, errors = await call(settings, "dead-letters", "retry", "--yes", place)
    assert code == 0, errors
    again = (await poll(lambda: letters(4), "it did not come again"))[-1]
    assert list(again.headers[:5]) == [*own, (REQUEST_ID, f"{names.requests}-2-{first + 1}".encode())]


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
    odd = (b"garbage", b"\x00garbage", [(ODD_NAME, b""), ("mark", mark)])
    for topic in (names.airy_messages, names.airy_channels):
        await produce_any_names(settings.kafka_bootstrap_servers, topic, odd)
    await produce(settings, names.airy_channels, (b"x", b"garbage", ()), (b"y", None, ()), (b"", b"z", ()))

    async def kept() -> bool:
        return sum(("mark", mark) in record.headers for record in await read(settings, names.dead_letters)) == 2

    await poll(kept, "the garbage was not kept")
    assert (await service.identify(external_id=f"after-{uuid.uuid4()}"))["status"] == 200
