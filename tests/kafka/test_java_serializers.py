"""Serializers in Java, Apicurio's own, against a real registry: they write what this service reads, and the reverse."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from airy_identify.core.commands import AnswerFormat
from airy_identify.intake.requests import ParsedRequest, parse_request
from airy_identify.ops.local_registry import LocalRegistry
from airy_identify.registry import RegistryClient, SchemaResolver
from airy_identify.subjects import schema_text
from airy_identify.telemetry import SchemaRegistryMetrics
from airy_identify.wire import airy, answers
from airy_identify.wire.confluent import WriterSchemas
from tests import builders as make
from tests.java_programs import JavaProgram, java_program
from tests.kafka.foreign import Definition, published, read_in_java, written_in_java


@pytest.fixture(scope="module")
def java() -> Iterator[JavaProgram]:
    with java_program("serde", "AvroSerde") as program:
        yield program


def writers_of(registry: LocalRegistry, *values: bytes) -> WriterSchemas:
    """Return the schemas of these values, learnt from the registry."""

    async def learn() -> WriterSchemas:
        async with RegistryClient(registry.url) as client:
            resolver = SchemaResolver(client, WriterSchemas(), SchemaRegistryMetrics(CollectorRegistry()))
            to_learn = resolver.learn(values, pytest.fail)
            assert to_learn is not None
            await to_learn
            return resolver.schemas

    return asyncio.run(learn())


def test_airys_records_written_in_java_are_read(java: JavaProgram, registry: LocalRegistry) -> None:
    message, channel = make.make_message(), make.make_channel()
    message_value = {
        "id": message.id,
        "headers": {"map": {"a": "b"}},
        "isFromContact": True,
        "deliveryState": "DELIVERED",
        "senderId": message.sender_id,
        "sourceRecipientId": None,
        "conversationId": message.conversation_id,
        "channelId": message.channel_id,
        "source": message.source,
        "content": message.content,
        "sentAt": message.sent_at_ms,
        "updatedAt": None,
    }
    channel_value = {
        "id": channel.id,
        "source": channel.source,
        "sourceChannelId": channel.source_channel_id,
        "token": {"string": "secret"},
        "connectionState": "CONNECTED",
    }
    in_message = written_in_java(java, registry, "java-messages", published("AiryMessage"), message_value)
    in_channel = written_in_java(java, registry, "java-channels", published("AiryChannel"), channel_value)
    writers = writers_of(registry, in_message, in_channel)

    assert airy.decode_message(in_message, writers) == message
    assert airy.decode_channel(in_channel, writers) == channel


def test_a_request_written_in_java_is_read(java: JavaProgram, registry: LocalRegistry) -> None:
    value = {"request_id": {"string": "r-1"}, "contact_id": {"string": "k-1"}}
    members = {field["name"]: None for field in published("InfoRequest")["fields"]}
    data = written_in_java(java, registry, "java-requests", published("InfoRequest"), info_value(members | value))

    parsed = parse_request(data, writers_of(registry, data))

    assert isinstance(parsed, ParsedRequest)
    assert parsed.command == "info"
    assert (parsed.fields["request_id"], parsed.fields["contact_id"]) == ("r-1", "k-1")


def info_value(members: Definition) -> Definition:
    """Return the members with what cannot be null."""
    empty: dict[str, Any] = {"string": "", "map": {}, "array": []}
    for field in published("InfoRequest")["fields"]:
        kind = field["type"] if isinstance(field["type"], str) else None
        kind = field["type"]["type"] if isinstance(field["type"], dict) else kind
        if kind in empty and members[field["name"]] is None:
            members[field["name"]] = empty[kind]
    return members


def test_an_answer_is_read_in_java(java: JavaProgram, registry: LocalRegistry) -> None:
    body = answers.identified_body(make.make_identified(), lambda *_: "token")

    async def register() -> int:
        async with RegistryClient(registry.url) as client:
            return await client.register("java-responses-value", schema_text(body.schema))

    data = answers.encode_answer(body, AnswerFormat.CONFLUENT, {body.schema: asyncio.run(register())})
    read = read_in_java(java, registry, "java-responses", data)

    assert read["schema"] == body.schema
    assert read["value"]["request_id"] == body.members["request_id"]
    assert read["value"]["contact"]["id"] == make.make_contact_view().id
