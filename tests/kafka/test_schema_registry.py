"""A real registry, and records on Airy's topics as foreign serializers write them.

`REGISTRY_OUTAGE_SECONDS` lets it stay down longer, under load: `make registry-outage SECONDS=30`.
"""

import asyncio
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from confluent_kafka.schema_registry import topic_record_subject_name_strategy

from airy_identify.ops.local_broker import LocalKafka
from airy_identify.ops.local_registry import LocalRegistry
from airy_identify.wire.answers import ANSWER_SCHEMA_HEADER, IDENTIFY_RESPONSE
from airy_identify.wire.headers import DEAD_LETTER_CODE, DEAD_LETTER_TEXT
from airy_identify.wire.resume_token import ResumeTokenVerifier
from tests.kafka.conftest import create_all_topics, settings_of
from tests.kafka.foreign import (
    CHANNEL,
    MESSAGE,
    Definition,
    ForeignWriter,
    foreign_value,
    message_value,
    published,
    put_channel,
    with_java_strings,
)
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.replay import read
from tests.kafka.runbook import entry
from tests.kafka.service import Answer, Service, poll

OUTAGE_SECONDS = float(os.environ.get("REGISTRY_OUTAGE_SECONDS", "0"))
LOAD_EVERY_S = 0.02


@pytest.fixture(scope="module")
def service(registered_service: Service) -> Service:
    return registered_service


def with_more_fields_in_another_order(definition: Definition) -> Definition:
    new = {"name": "reactions", "type": {"type": "array", "items": "string"}, "default": []}
    return definition | {"fields": [new, *reversed(definition["fields"])]}


def without(definition: Definition, name: str) -> Definition:
    return definition | {"fields": [field for field in definition["fields"] if field["name"] != name]}


async def dead_letters(service: Service) -> set[tuple[int, int]]:
    """Return the places of all dead letters."""
    return {
        (record.partition, record.offset)
        for record in await read(service.settings, service.settings.topic_names.dead_letters)
    }


async def last_message(service: Service, who: str) -> Any:
    answer: Answer = await service.identify(external_id=who)
    return answer["conversations"][0]["last_message"] or {}


async def until_last_message(service: Service, who: str, content: str) -> None:
    async def arrived() -> bool:
        return bool((await last_message(service, who)).get("content") == content)

    await poll(arrived, f"the message {content!r} did not arrive")


async def test_records_of_foreign_serializers_are_read_whatever_version_they_have(
    service: Service, registry: LocalRegistry
) -> None:
    settings, topic = service.settings, service.settings.topic_names.airy_messages
    writer, who = ForeignWriter(settings, registry.url), f"person-{uuid.uuid4()}"
    conversation_id = (await service.identify(external_id=who))["conversations"][0]["id"]

    for sent_at_ms, definition in (
        (1_000, MESSAGE),
        (2_000, with_java_strings(MESSAGE)),
        (3_000, with_more_fields_in_another_order(MESSAGE)),
        (4_000, without(MESSAGE, "updatedAt")),
    ):
        value = message_value(service.channel, conversation_id, sent_at_ms)
        names = {field["name"] for field in definition["fields"]}
        value = {name: member for name, member in value.items() if name in names}
        writer.write(topic, value["id"], definition, value)
        await until_last_message(service, who, f"sent at {sent_at_ms}")

    other = str(uuid.uuid4())
    put_channel(writer, service.settings, other, with_java_strings(CHANNEL))

    async def accepted() -> bool:
        return bool((await service.identify(external_id=who, channel_id=other))["status"] == 200)

    await poll(accepted, "the channel in another version of its schema was not seen")
    await bad_schemas_are_dead_letters(service, writer, conversation_id)
    writer.write(topic, "last", MESSAGE, message_value(service.channel, conversation_id, 9_000))
    await until_last_message(service, who, "sent at 9000")


async def bad_schemas_are_dead_letters(service: Service, writer: ForeignWriter, conversation_id: str) -> None:
    """Write what cannot be read and expect each in the dead letters, byte for byte and with its reason."""
    names = service.settings.topic_names
    good = message_value(service.channel, conversation_id, 5_000)
    body = writer.serialize(names.airy_messages, MESSAGE, good)[5:]
    lacking = without(MESSAGE, "conversationId") | {"name": "Message"}
    # Another topic's subject takes the schema: what is tested is the reader, not the registry's own rules.
    unfit = {name: member for name, member in good.items() if name != "conversationId"}
    bad = {
        "unknown": (b"\x00\x7f\xff\xff\xf0" + body, "which the schema registry does not know"),
        "incompatible": (writer.serialize("elsewhere", lacking, unfit), "do not fit"),
        "another record": (
            writer.serialize("channels-elsewhere", CHANNEL, channel_value()),
            "Channel (schema id",
        ),
        "cut off": (writer.serialize(names.airy_messages, MESSAGE, good)[:-1], "do not fit"),
    }
    for what, (value, _) in bad.items():
        writer.write_bytes(names.airy_messages, what, value)

    async def kept() -> dict[str, Any] | None:
        letters = {record.key.decode(): record for record in await read(service.settings, names.dead_letters)}
        return letters if set(bad) <= set(letters) else None

    letters = await poll(kept, "not every bad record is in the dead letters")
    for what, (value, why) in bad.items():
        headers = dict(letters[what].headers)
        assert letters[what].value == value, what
        assert headers[DEAD_LETTER_CODE] == b"invalid_field", what
        assert why in headers[DEAD_LETTER_TEXT].decode(), what
    metrics = (await service.worker.status("/metrics"))[1]
    assert 'airy_identify_schema_lookups_total{outcome="unknown"}' in metrics
    assert 'airy_identify_schema_lookups_total{outcome="found"}' in metrics


def channel_value() -> Definition:
    return {"id": "x", "source": "y", "sourceChannelId": "z", "token": None, "connectionState": "CONNECTED"}


@pytest.mark.parametrize("strategy", [None, topic_record_subject_name_strategy], ids=["value", "record"])
async def test_a_request_of_a_foreign_serializer_is_answered_for_foreign_deserializers(
    service: Service, registry: LocalRegistry, strategy: Any
) -> None:
    settings, names, who = service.settings, service.settings.topic_names, f"person-{uuid.uuid4()}"
    writer, own = ForeignWriter(settings, registry.url, strategy), published("IdentifyRequest")
    common = {"channel_id": service.channel, "external_id": who}

    answer = await answer_of(service, writer, own, common | {"request_id": f"{who}-1", "metadata": '{"plan":"pro"}'})
    read_answer = foreign_value(registry.url, names.responses, answer.value)
    assert dict(answer.headers)[ANSWER_SCHEMA_HEADER] == IDENTIFY_RESPONSE.encode()
    assert read_answer["contact"]["external_id"] == who
    assert json.loads(read_answer["contact"]["metadata"]) == {"plan": "pro"}
    token = read_answer["conversations"][0]["resume_token"]
    verified = ResumeTokenVerifier([settings.jwt_secret_bytes]).verify(token, now_s=int(time.time()))
    assert verified is not None
    assert verified.channel_id == service.channel

    refusal = await answer_of(service, writer, own, {"channel_id": service.channel, "request_id": f"{who}-2"})
    assert foreign_value(registry.url, names.responses, refusal.value)["code"] == "missing_identifier"

    in_json = await service.identify(external_id=who)
    assert in_json["contact"]["id"] == read_answer["contact"]["id"]


async def test_every_other_command_is_asked_and_answered_in_the_same_format(
    service: Service, registry: LocalRegistry
) -> None:
    names, who = service.settings.topic_names, f"person-{uuid.uuid4()}"
    writer = ForeignWriter(service.settings, registry.url, topic_record_subject_name_strategy)
    contact_id = (await service.identify(external_id=who, email=f"{who}@example.org"))["contact"]["id"]

    info = await answer_of(service, writer, published("InfoRequest"), {"contact_id": contact_id, "request_id": who})
    assert foreign_value(registry.url, names.responses, info.value)["contact"]["external_id"] == who

    releasing = {"contact_id": contact_id, "kind": "email", "value": f"{who}@example.org", "request_id": f"{who}-2"}
    released = await answer_of(service, writer, published("ReleaseRequest"), releasing)
    assert foreign_value(registry.url, names.responses, released.value)["contact"]["email"] is None


async def answer_of(
    service: Service, writer: ForeignWriter, definition: Definition, request: Definition
) -> ConsumerRecord:
    """Put a request on the topic as the foreign serializer writes it; return the answer record."""
    names = service.settings.topic_names
    writer.write(names.requests, "any", definition, request)

    async def answered() -> ConsumerRecord | None:
        records = await read(service.settings, names.responses)
        return next((record for record in records if record.key == request["request_id"].encode()), None)

    record: ConsumerRecord = await poll(answered, "the request was not answered")
    return record


async def test_requests_that_cannot_be_read_are_dead_letters_and_answered_when_somebody_waits(
    service: Service, registry: LocalRegistry
) -> None:
    names = service.settings.topic_names
    writer = ForeignWriter(service.settings, registry.url)
    no_request = writer.serialize("channels-elsewhere", CHANNEL, channel_value())
    for value, why in (
        (b"\x00\x7f\xff\xff\xf1x", "which the schema registry does not know"),
        (no_request, "Channel is no request"),
    ):
        answer = await service.ask_bytes(value)
        refused = foreign_value(registry.url, names.responses, answer.value)
        assert refused["code"] == "malformed_json"
        assert why in refused["message"]
        letters = await read(service.settings, names.dead_letters)
        assert value in [letter.value for letter in letters]


async def test_a_worker_whose_schemas_are_not_registered_says_so_and_ends(
    broker: LocalKafka, registry: LocalRegistry, tmp_path: Path
) -> None:
    settings = settings_of(broker, tmp_path, schema_registry_url=registry.url)
    await create_all_topics(settings)
    worker = ServiceProcess("worker", settings, tmp_path)
    async with ended_afterwards(worker):
        worker.start()
        assert await worker.ended() == 1
    said = worker.log_file.read_text(encoding="utf-8")
    assert "airy-identify schemas register" in said
    assert f"{settings.topic_names.responses}-airy_identify.IdentifyResponse" in said


async def test_a_registry_that_is_down_is_waited_for_and_nothing_is_lost(
    service: Service, registry: LocalRegistry, tmp_path: Path
) -> None:
    settings, topic = service.settings, service.settings.topic_names.airy_messages
    writer, who = ForeignWriter(settings, registry.url), f"person-{uuid.uuid4()}"
    conversation_id = (await service.identify(external_id=who))["conversations"][0]["id"]
    known, fresh = MESSAGE, with_more_fields_in_another_order(MESSAGE) | {"doc": "new"}

    def encode(number: int) -> bytes:
        value = message_value(service.channel, conversation_id, number)
        return writer.serialize(topic, fresh if number % 2 else known, value)

    encoded = {str(number): encode(number) for number in range(60)}
    writer.write_bytes(topic, "0", encoded["0"])
    await until_last_message(service, who, "sent at 0")

    letters_before = await dead_letters(service)
    await registry.stop()
    for name, data in encoded.items():
        writer.write_bytes(topic, name, data)

    async def waits() -> bool:
        status, text = await service.worker.status()
        return status == 503 and "schema registry at" in text

    await poll(waits, "the worker does not say that it waits for the registry")
    metrics = (await service.worker.status("/metrics"))[1]
    assert "airy_identify_schema_registry_waiting 0.0" not in metrics
    assert 'state="waiting"' in metrics
    # Requests, and messages whose schema is known, go on meanwhile.
    assert (await service.identify(external_id=f"meanwhile-{uuid.uuid4()}"))["status"] == 200
    until = time.monotonic() + OUTAGE_SECONDS
    while time.monotonic() < until:
        number = len(encoded)
        encoded[str(number)] = encode(number)
        writer.write_bytes(topic, str(number), encoded[str(number)])
        assert (await service.identify(external_id=f"meanwhile-{uuid.uuid4()}"))["status"] == 200
        await asyncio.sleep(LOAD_EVERY_S)
    assert "schema registry at" in service.worker.log_file.read_text(encoding="utf-8")

    async with entry("The schema registry is down", tmp_path) as book:
        book.use(settings, service.worker)
        said = await book.run("Check")
        assert "schema registry at" in said
        assert said.endswith("the registry does not answer\n")
        await registry.start()
        await until_last_message(service, who, f"sent at {len(encoded) - 1}")
        await book.run("Act")
        await book.run("Verify")

    async def all_here() -> bool:
        received = await read(settings, settings.topic_names.conversation_commands)
        arrived = sum(record.key == conversation_id.encode() for record in received)
        return bool(arrived > len(encoded))

    await poll(all_here, "messages were lost")
    assert await dead_letters(service) == letters_before
    assert "no longer waited for" in service.worker.log_file.read_text(encoding="utf-8")
    assert "airy_identify_schema_registry_waiting 0.0" in (await service.worker.status("/metrics"))[1]
