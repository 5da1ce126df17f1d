"""A real registry, and records on Airy's topics as foreign serializers write them."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from airy_identify.ops.local_broker import LocalKafka
from airy_identify.ops.local_registry import LocalRegistry
from airy_identify.wire.headers import DEAD_LETTER_CODE, DEAD_LETTER_TEXT
from tests.kafka.conftest import create_all_topics, settings_of
from tests.kafka.foreign import Definition, ForeignWriter, published
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.replay import read
from tests.kafka.service import Answer, Service, poll

MESSAGE, CHANNEL = published("AiryMessage"), published("AiryChannel")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    local = LocalRegistry(tmp_path_factory.mktemp("registry"))
    asyncio.run(local.start())
    yield local
    asyncio.run(local.stop())


@asynccontextmanager
async def installation(broker: LocalKafka, registry: LocalRegistry, directory: Path) -> AsyncIterator[Service]:
    """Run a worker and a bridge that use the registry. Their one channel was written by a foreign serializer."""
    settings = settings_of(broker, directory, schema_registry_url=registry.url)
    worker, bridge = (ServiceProcess(command, settings, directory) for command in ("worker", "web"))
    asking = Service(settings, str(uuid.uuid4()), worker, bridge)
    await create_all_topics(settings)
    put_channel(ForeignWriter(settings, registry.url), asking, CHANNEL)
    async with ended_afterwards(worker, bridge):
        worker.start()
        bridge.start()
        await worker.until_ready()
        await bridge.until_ready()
        yield asking


def put_channel(writer: ForeignWriter, service: Service, definition: Definition, **over: Any) -> None:
    channel_id = over.get("id", service.channel)
    value = {"source": "chatplugin", "sourceChannelId": "x", "token": None, "connectionState": "CONNECTED"}
    topic = service.settings.topic_names.airy_channels
    writer.write(topic, channel_id, definition, {"id": channel_id} | value | over)


def message(service: Service, conversation_id: str, sent_at_ms: int, **over: Any) -> Definition:
    return {
        "id": str(uuid.uuid4()),
        "headers": {"a": "b"},
        "isFromContact": True,
        "deliveryState": "DELIVERED",
        "senderId": conversation_id,
        "sourceRecipientId": None,
        "conversationId": conversation_id,
        "channelId": service.channel,
        "source": "chatplugin",
        "content": f"sent at {sent_at_ms}",
        "sentAt": sent_at_ms,
        "updatedAt": None,
    } | over


def with_java_strings(definition: Definition) -> Definition:
    """Return the schema as Airy's own serializer registers it."""
    java = {"type": "string", "avro.java.string": "String"}
    fields = [field | {"type": java} if field["type"] == "string" else field for field in definition["fields"]]
    return definition | {"fields": fields}


def with_more_fields_in_another_order(definition: Definition) -> Definition:
    new = {"name": "reactions", "type": {"type": "array", "items": "string"}, "default": []}
    return definition | {"fields": [new, *reversed(definition["fields"])]}


def without(definition: Definition, name: str) -> Definition:
    return definition | {"fields": [field for field in definition["fields"] if field["name"] != name]}


async def last_message(service: Service, who: str) -> Any:
    answer: Answer = await service.identify(external_id=who)
    return answer["conversations"][0]["last_message"] or {}


async def until_last_message(service: Service, who: str, content: str) -> None:
    async def arrived() -> bool:
        return bool((await last_message(service, who)).get("content") == content)

    await poll(arrived, f"the message {content!r} did not arrive")


async def test_records_of_foreign_serializers_are_read_whatever_version_they_have(
    broker: LocalKafka, registry: LocalRegistry, tmp_path: Path
) -> None:
    async with installation(broker, registry, tmp_path) as service:
        settings, topic = service.settings, service.settings.topic_names.airy_messages
        writer, who = ForeignWriter(settings, registry.url), f"person-{uuid.uuid4()}"
        conversation_id = (await service.identify(external_id=who))["conversations"][0]["id"]

        for sent_at_ms, definition in (
            (1_000, MESSAGE),
            (2_000, with_java_strings(MESSAGE)),
            (3_000, with_more_fields_in_another_order(MESSAGE)),
            (4_000, without(MESSAGE, "updatedAt")),
        ):
            value = message(service, conversation_id, sent_at_ms)
            names = {field["name"] for field in definition["fields"]}
            value = {name: member for name, member in value.items() if name in names}
            writer.write(topic, value["id"], definition, value)
            await until_last_message(service, who, f"sent at {sent_at_ms}")

        other = str(uuid.uuid4())
        put_channel(writer, service, with_java_strings(CHANNEL), id=other)

        async def accepted() -> bool:
            return bool((await service.identify(external_id=who, channel_id=other))["status"] == 200)

        await poll(accepted, "the channel in another version of its schema was not seen")
        await bad_schemas_are_dead_letters(service, writer, conversation_id)
        writer.write(topic, "last", MESSAGE, message(service, conversation_id, 9_000))
        await until_last_message(service, who, "sent at 9000")


async def bad_schemas_are_dead_letters(service: Service, writer: ForeignWriter, conversation_id: str) -> None:
    """Write what cannot be read and expect each in the dead letters, byte for byte and with its reason."""
    names = service.settings.topic_names
    good = message(service, conversation_id, 5_000)
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


async def test_a_registry_that_is_down_is_waited_for_and_nothing_is_lost(
    broker: LocalKafka, registry: LocalRegistry, tmp_path: Path
) -> None:
    async with installation(broker, registry, tmp_path) as service:
        settings, topic = service.settings, service.settings.topic_names.airy_messages
        writer, who = ForeignWriter(settings, registry.url), f"person-{uuid.uuid4()}"
        conversation_id = (await service.identify(external_id=who))["conversations"][0]["id"]
        known, fresh = MESSAGE, with_more_fields_in_another_order(MESSAGE)
        values = {name: message(service, conversation_id, number) for number, name in enumerate(map(str, range(60)))}
        encoded = {
            name: writer.serialize(topic, fresh | {"doc": "new"} if int(name) % 2 else known, value)
            for name, value in values.items()
        }
        writer.write_bytes(topic, "0", encoded["0"])
        await until_last_message(service, who, "sent at 0")

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
        assert "schema registry at" in service.worker.log_file.read_text(encoding="utf-8")

        await registry.start()
        await until_last_message(service, who, "sent at 59")
        await service.worker.until_ready()

        async def all_here() -> bool:
            received = await read(settings, settings.topic_names.conversation_commands)
            arrived = sum(record.key == conversation_id.encode() for record in received)
            return bool(arrived > len(encoded))

        await poll(all_here, "messages were lost")
        assert await read(settings, settings.topic_names.dead_letters) == []
        assert "no longer waited for" in service.worker.log_file.read_text(encoding="utf-8")
        assert "airy_identify_schema_registry_waiting 0.0" in (await service.worker.status("/metrics"))[1]
