"""Dead letters on a running service: sent again as they were, once; and exported without losing a byte."""

import base64
import json
import stat
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord

from airy_identify.kafka import KafkaClients, close_client
from airy_identify.wire.airy import encode_message
from airy_identify.wire.headers import (
    CORRELATION_ID,
    DEAD_LETTER_CODE,
    DEAD_LETTER_OFFSET,
    DEAD_LETTER_PARTITION,
    DEAD_LETTER_REPLY_PARTITION,
    DEAD_LETTER_REPLY_TOPIC,
    DEAD_LETTER_TEXT,
    DEAD_LETTER_TIME,
    DEAD_LETTER_TOPIC,
    REQUEST_ID,
    UNDELIVERABLE_ANSWER,
)
from tests.avro_form import write_by_apache
from tests.builders import make_message
from tests.kafka.caller import calling, plain_answer
from tests.kafka.commands import call
from tests.kafka.replay import read
from tests.kafka.runbook import entry
from tests.kafka.service import Service, poll
from tests.refusals import RECORDS

Headers = Iterable[tuple[str, bytes | None]]


async def put_letter(
    service: Service,
    value: bytes | None,
    headers: Headers = (),
    *,
    source: str,
    code: str,
    key: bytes | None = b"key",
    reply: tuple[str, int] | None = None,
    partition: int = 1,
) -> str:
    """Write a dead letter as a worker does, from partition 2, offset 7 of a topic; return its place."""
    ours = [
        (DEAD_LETTER_TOPIC, source),
        (DEAD_LETTER_PARTITION, "2"),
        (DEAD_LETTER_OFFSET, "7"),
        (DEAD_LETTER_CODE, code),
        (DEAD_LETTER_TEXT, "because"),
        (DEAD_LETTER_TIME, "2026-01-01T00:00:00.000Z"),
    ]
    if reply is not None:
        ours += [(DEAD_LETTER_REPLY_TOPIC, reply[0]), (DEAD_LETTER_REPLY_PARTITION, str(reply[1]))]
    settings = service.settings
    producer = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers).idempotent_producer(
        request_timeout_ms=20_000
    )
    await producer.start()
    try:
        batch = producer.create_batch()
        encoded = [*headers, *((name, text.encode()) for name, text in ours)]
        batch.append(key=key, value=value, timestamp=None, headers=encoded)
        sent = await (await producer.send_batch(batch, settings.topic_names.dead_letters, partition=partition))
    finally:
        await close_client(producer)
    return f"{partition}:{sent.offset}"


async def retry(service: Service, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Send letters again; return what the command says."""
    exit_code, output, errors = await call(service.settings, "dead-letters", "retry", "--yes", "--json", *arguments)
    assert exit_code == code, errors
    said: dict[str, Any] = json.loads(output)
    return said


def with_header(records: Iterable[ConsumerRecord], name: str, value: bytes) -> list[ConsumerRecord]:
    return [record for record in records if (name, value) in record.headers]


@pytest.mark.parametrize("form", ["JSON", "Avro"])
async def test_a_request_goes_back_byte_for_byte_and_is_answered_under_its_id(service: Service, form: str) -> None:
    names, correlation_id = service.settings.topic_names, uuid.uuid4().bytes
    body = {"channel_id": service.channel, "external_id": f"again-{uuid.uuid4()}"}
    value = write_by_apache(RECORDS["identify"], body) if form == "Avro" else json.dumps(body).encode()
    own = [("other", b"\x00\xff"), ("null", None), (CORRELATION_ID, b"first"), (CORRELATION_ID, correlation_id)]
    async with calling(service.settings) as caller:
        place = await put_letter(service, value, own, source=names.requests, code="forbidden", key=b"\xff")
        said = await retry(service, place)
        answer = await caller.answer(correlation_id)
    assert answer.key == f"{names.requests}-2-7".encode()
    assert plain_answer(answer)["request_id"] == f"{names.requests}-2-7"
    assert plain_answer(answer)["created"]["contact"]
    (sent,) = with_header(await read(service.settings, names.requests), CORRELATION_ID, correlation_id)
    assert (sent.partition, sent.key, sent.value) == (2, b"\xff", value)
    assert list(sent.headers) == [*own, (REQUEST_ID, f"{names.requests}-2-7".encode())]
    assert said["passed_over"] == 0
    assert [letter["sent_to"] for letter in said["retried"]] == [f"{names.requests}:2:{sent.offset}"]


async def test_a_request_that_is_no_better_comes_back_and_never_changes_its_id(service: Service) -> None:
    mark = uuid.uuid4().bytes
    async with calling(service.settings) as caller:
        origin = await caller.send(b"{", [("mark", mark), (CORRELATION_ID, mark)])
        for letters in (1, 2, 3):
            found = await poll(lambda: _letters(service, mark, letters), "the letter did not come")  # noqa: B023
            assert len(await _answers(service, mark, letters)) == letters
            for letter in found[1:]:
                assert [value for name, value in letter.headers if name == REQUEST_ID] == [origin.encode()]
            if letters < 3:
                await retry(service, f"{found[-1].partition}:{found[-1].offset}")
        answers = await _answers(service, mark, 3)
    assert {plain_answer(answer)["request_id"] for answer in answers} == {origin}


async def _letters(service: Service, mark: bytes, count: int) -> list[ConsumerRecord] | None:
    found = with_header(await read(service.settings, service.settings.topic_names.dead_letters), "mark", mark)
    return sorted(found, key=lambda record: record.timestamp) if len(found) == count else None


async def _answers(service: Service, mark: bytes, count: int) -> list[ConsumerRecord]:
    async def answered() -> list[ConsumerRecord] | None:
        found = with_header(await read(service.settings, service.settings.topic_names.responses), CORRELATION_ID, mark)
        return found if len(found) == count else None

    found: list[ConsumerRecord] = await poll(answered, "the answer did not come")
    return found


async def test_a_message_of_airy_is_applied_and_its_topic_is_left_alone(service: Service) -> None:
    names, who = service.settings.topic_names, f"message-{uuid.uuid4()}"
    conversation_id = (await service.identify(external_id=who))["conversations"][0]["id"]
    message = make_message(
        id=str(uuid.uuid4()), conversation_id=conversation_id, channel_id=service.channel, content="late"
    )
    before = len(await read(service.settings, names.airy_messages))
    place = await put_letter(service, encode_message(message), source=names.airy_messages, code="invalid_field")
    said = await retry(service, place)
    assert said["retried"][0]["sent_to"].startswith(f"{names.conversation_commands}:")

    async def applied() -> bool:
        last = (await service.identify(external_id=who))["conversations"][0]["last_message"]
        return last is not None and last["content"] == "late"

    await poll(applied, "the message was not applied")
    assert len(await read(service.settings, names.airy_messages)) == before


async def test_an_answer_goes_to_its_reply_topic_once_and_a_second_retry_passes_it_over(service: Service) -> None:
    names, mark = service.settings.topic_names, uuid.uuid4().bytes
    own = [(CORRELATION_ID, mark), ("airy_identify_schema", b"airy_identify.ErrorResponse")]
    code = f"{UNDELIVERABLE_ANSWER}_{uuid.uuid4()}"
    place = await put_letter(
        service, b"answer", own, source=names.identity_commands, code=code, reply=(names.responses, 3)
    )

    async def sent() -> list[ConsumerRecord]:
        return with_header(await read(service.settings, names.responses), CORRELATION_ID, mark)

    exit_code, output, errors = await call(service.settings, "dead-letters", "retry", "--code", code)
    assert exit_code == 1
    assert output.strip() == ""
    assert f"Send 1 dead letters again (1 {code})?" in errors
    assert await sent() == []

    assert (await retry(service, "--code", code))["retried"][0]["sent_to"].startswith(f"{names.responses}:3:")
    (answer,) = await sent()
    assert (answer.partition, answer.key, answer.value, list(answer.headers)) == (3, b"key", b"answer", own)

    for selection in (("--code", code), (place,)):
        assert await retry(service, *selection) == {"retried": [], "passed_over": 1}
    assert len(await sent()) == 1
    _, output, _ = await call(service.settings, "dead-letters", "list", "--newest", "100000", "--json")
    (listed,) = [letter for letter in json.loads(output) if letter["code"] == code]
    assert listed["retried_at"]

    assert len((await retry(service, place, "--again"))["retried"]) == 1
    assert len(await sent()) == 2


async def test_what_cannot_be_sent_again_is_named_and_the_rest_is_sent(service: Service) -> None:
    names, mark, code = service.settings.topic_names, uuid.uuid4().bytes, f"mixed-{uuid.uuid4()}"
    good = [(CORRELATION_ID, mark)]
    await put_letter(service, b"no message", source=names.airy_messages, code=code)
    await put_letter(service, b"", source="another-topic", code=code)
    await put_letter(service, b"", source=names.requests, code=code, reply=("not-allowed", 0))
    await put_letter(service, b"", source=names.requests, code=code, reply=(names.responses, 99))
    await put_letter(service, b"ok", good, source=names.requests, code=code, reply=(names.responses, 0))

    said = await retry(service, "--code", code, code=1)

    problems = [letter["problem"] for letter in said["retried"]]
    for problem, text in zip(
        problems,
        ("not a message", "another-topic", "not-allowed", f"no partition 99 of {names.responses}"),
        strict=False,
    ):
        assert text in problem
    assert problems[4] is None
    assert len(with_header(await read(service.settings, names.responses), CORRELATION_ID, mark)) == 1
    exit_code, output, _ = await call(service.settings, "dead-letters", "retry", "--yes", "--code", code)
    assert exit_code == 1
    assert "0 sent again, 4 not, 1 passed over" in output


@pytest.mark.parametrize("place", ["0:999999", "99:0"])
async def test_a_place_without_a_letter_sends_nothing(service: Service, place: str) -> None:
    exit_code, output, errors = await call(service.settings, "dead-letters", "retry", "--yes", place)
    assert (exit_code, output) == (1, "")
    assert f"there is no dead letter at {place}" in errors


async def test_an_export_loses_nothing(service: Service, tmp_path: Path) -> None:
    names, code = service.settings.topic_names, f"export-{uuid.uuid4()}"
    own: list[tuple[str, bytes | None]] = [
        ("twice", b"\x00\xff"),
        ("twice", None),
        ("", b""),
        ("ä\n", bytes(range(256))),
        (DEAD_LETTER_CODE, b"forged"),
        (REQUEST_ID, b"r"),
    ]
    value = bytes(range(256)) * 300
    await put_letter(service, value, own, source=names.requests, code=code, key=b"\xff\x00")
    await put_letter(service, None, source=names.requests, code=code, key=None, reply=("t", 3))
    output = tmp_path / "letters.jsonl"

    exit_code, printed, errors = await call(
        service.settings, "dead-letters", "export", "--code", code, "--output", str(output)
    )

    assert (exit_code, printed) == (0, ""), errors
    assert f"2 dead letters written to {output}" in errors
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert not (tmp_path / "letters.jsonl.part").exists()
    first, second = (json.loads(line) for line in output.read_text().splitlines())
    assert base64.b64decode(first["key_base64"]) == b"\xff\x00"
    assert base64.b64decode(first["value_base64"]) == value
    assert [
        (header["name"], None if header["value"] is None else base64.b64decode(header["value"]))
        for header in first["headers_base64"]
    ] == own
    assert (first["source"], first["code"], first["text"]) == (f"{names.requests}:2:7", code, "because")
    assert (second["key_base64"], second["value_base64"], second["headers_base64"]) == (None, None, [])
    assert (second["reply_topic"], second["reply_partition"]) == ("t", 3)
    exit_code, printed, _ = await call(service.settings, "dead-letters", "export", "--code", code)
    assert printed == output.read_text()
    exit_code, printed, _ = await call(service.settings, "dead-letters", "export")
    assert len(printed.splitlines()) >= 2
    everything = [json.loads(line) for line in printed.splitlines()]
    letters = [record for record in await read(service.settings, names.dead_letters) if record.key != b"retried"]
    assert len(everything) == len(letters)


async def test_the_runbook_copies_them_and_sends_them_again(service: Service, tmp_path: Path) -> None:
    names, correlation_id, code = service.settings.topic_names, uuid.uuid4().bytes, f"forbidden-{uuid.uuid4()}"
    value = json.dumps({"channel_id": service.channel, "external_id": code}).encode()
    async with calling(service.settings) as caller, entry("Dead letters come", tmp_path) as book:
        own = [(CORRELATION_ID, correlation_id)]
        place = await put_letter(service, value, own, source=names.requests, code=code)
        copy = tmp_path / "copy.jsonl"
        book.use(service.settings, service.worker, PLACE=place, CODE=code, COPY=str(copy))
        said = await book.run("Check")
        assert f"dead letter {place}" in said
        assert code in said
        assert "1 sent again, 0 not" in await book.run("Act")
        assert base64.b64decode(json.loads(copy.read_text())["value_base64"]) == value
        assert plain_answer(await caller.answer(correlation_id))["created"]["contact"]
        await book.run("Verify")
        assert "1 passed over" in await book.run("Act")
