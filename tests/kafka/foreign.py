"""Writers and readers that are not ours, against the registry: Confluent's in Python, Apicurio's in Java."""

import json
import uuid
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from airy_identify.ops.local_registry import API_PATH, LocalRegistry
from airy_identify.settings import Settings
from airy_identify.wire.schemas import schema_directory
from tests.java_programs import JavaProgram

Definition = dict[str, Any]


def published(name: str) -> Definition:
    """Return Airy's schema as this repository has it."""
    definition: Definition = json.loads((schema_directory() / f"{name}.avsc").read_text(encoding="utf-8"))
    return definition


MESSAGE, CHANNEL, METADATA = (published(f"Airy{name}") for name in ("Message", "Channel", "Metadata"))


def with_java_strings(definition: Definition) -> Definition:
    """Return the schema as Airy's own serializer registers it."""
    java = {"type": "string", "avro.java.string": "String"}
    fields = [field | {"type": java} if field["type"] == "string" else field for field in definition["fields"]]
    return definition | {"fields": fields}


class ForeignWriter:
    """Writes Avro records with schemas that it registers by itself, as other teams' programs do.

    With a strategy for subjects it registers nothing, and takes the latest schema from where the strategy says.
    `producing` has more settings of its producer, with `_` for `.`.
    """

    def __init__(self, settings: Settings, registry_url: str, strategy: Any = None, **producing: str) -> None:
        found = {"auto.register.schemas": False, "use.latest.version": True, "subject.name.strategy": strategy}
        self._config = {} if strategy is None else found
        self._producer = Producer(
            {"bootstrap.servers": settings.kafka_bootstrap_servers}
            | {name.replace("_", "."): text for name, text in producing.items()}
        )
        self._registry = SchemaRegistryClient({"url": registry_url})
        self._serializers: dict[str, AvroSerializer] = {}

    def serialize(self, topic: str, definition: Definition, value: Definition) -> bytes:
        """Return the value as Confluent's serializer makes it; the schema is in the registry then."""
        text = json.dumps(definition)
        if text not in self._serializers:
            self._serializers[text] = AvroSerializer(self._registry, text, conf=self._config or None)
        data = self._serializers[text](value, SerializationContext(topic, MessageField.VALUE))
        assert isinstance(data, bytes)
        return data

    def write(self, topic: str, key: str, definition: Definition, value: Definition) -> None:
        """Write one record and wait until the broker has it."""
        self.write_bytes(topic, key, self.serialize(topic, definition, value))

    def write_bytes(self, topic: str, key: str, value: bytes) -> None:
        self._producer.produce(topic, key=key.encode(), value=value)
        assert self._producer.flush(30) == 0


def foreign_value(registry_url: str, topic: str, data: bytes) -> Any:
    """Return what Confluent's deserializer reads."""
    deserializer = AvroDeserializer(SchemaRegistryClient({"url": registry_url}))
    return deserializer(data, SerializationContext(topic, MessageField.VALUE))


def message_value(channel_id: str, conversation_id: str, sent_at_ms: int, **over: Any) -> Definition:
    """Return what Airy has about a message of a visitor."""
    return {
        "id": str(uuid.uuid4()),
        "headers": {"a": "b"},
        "isFromContact": True,
        "deliveryState": "DELIVERED",
        "senderId": conversation_id,
        "sourceRecipientId": None,
        "conversationId": conversation_id,
        "channelId": channel_id,
        "source": "chatplugin",
        "content": f"sent at {sent_at_ms}",
        "sentAt": sent_at_ms,
        "updatedAt": None,
    } | over


def put_channel(
    writer: ForeignWriter, settings: Settings, channel_id: str, definition: Definition = CHANNEL, **over: Any
) -> None:
    """Write a connected chat-plugin channel."""
    value = {"source": "chatplugin", "sourceChannelId": "x", "token": None, "connectionState": "CONNECTED"}
    writer.write(settings.topic_names.airy_channels, channel_id, definition, {"id": channel_id} | value | over)


def written_in_java(
    java: JavaProgram, registry: LocalRegistry, topic: str, definition: Definition, value: Definition
) -> bytes:
    """Return a value, in Avro's JSON encoding, as the serializer in Java writes it; its schema is in the registry then."""
    answer = java.ask(registry=_own_api(registry), topic=topic, schema=json.dumps(definition), value=value)
    return bytes.fromhex(answer["data"])


def read_in_java(java: JavaProgram, registry: LocalRegistry, topic: str, data: bytes) -> Definition:
    """Return the `schema` and the `value` that the deserializer in Java reads."""
    read: Definition = java.ask(registry=_own_api(registry), topic=topic, data=data.hex())
    return read


def _own_api(registry: LocalRegistry) -> str:
    return registry.url.replace(API_PATH, "/apis/registry/v2")
