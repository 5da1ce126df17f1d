"""One story with nobody's serializers but foreign ones: what Airy writes, what teams ask, what they and Airy read.

A channel, a contact and messages are on Airy's topics as Airy has them: Confluent's framing, schemas with `avro.java.string` in
a real Apicurio Registry, lz4. A login is asked for over every door. The answers are read by Confluent's deserializer and
by Apache's in Java, and each resume token by the library with which Airy reads it.
"""

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from confluent_kafka.schema_registry import topic_record_subject_name_strategy

from airy_identify.core.erasing import airy_record_key
from airy_identify.core.values import ContactId
from airy_identify.ops.local_registry import LocalRegistry
from airy_identify.wire.answers import IDENTIFY_RESPONSE
from tests.avro_form import read_by_apache, write_by_apache
from tests.java_programs import JavaProgram, java_program
from tests.kafka.foreign import (
    CHANNEL,
    MESSAGE,
    METADATA,
    Definition,
    ForeignWriter,
    foreign_value,
    message_value,
    published,
    put_channel,
    read_in_java,
    with_java_strings,
    written_in_java,
)
from tests.kafka.replay import read
from tests.kafka.service import Answer, Service, poll

SENT_AT_MS = 1_700_000_000_000


@pytest.fixture(scope="module")
def serde() -> Iterator[JavaProgram]:
    with java_program("serde", "AvroSerde") as program:
        yield program


@pytest.fixture(scope="module")
def airy() -> Iterator[JavaProgram]:
    with java_program("tokens", "ReadTokens") as program:
        yield program


async def test_airys_records_become_answers_that_everybody_reads(
    registered_service: Service, registry: LocalRegistry, serde: JavaProgram, airy: JavaProgram
) -> None:
    service, names = registered_service, registered_service.settings.topic_names
    writer = ForeignWriter(service.settings, registry.url, compression_type="lz4")
    channel, who = str(uuid.uuid4()), f"person-{uuid.uuid4()}"

    # Airy connects a channel.
    put_channel(writer, service.settings, channel, with_java_strings(CHANNEL), token="secret")

    # An agent notes an e-mail address on a contact, in Airy.
    contact_id, email = str(uuid.uuid4()), f"{who}@example.org"
    for key, text in (("created_at", "1600000000000"), ("displayName", "Ada L."), ("via.email", email)):
        row = {
            "subject": f"contact:{contact_id}",
            "key": key,
            "value": text,
            "valueType": "text",
            "timestamp": SENT_AT_MS,
        }
        record_key = airy_record_key(ContactId(contact_id), key)
        writer.write(names.airy_contacts, record_key, with_java_strings(METADATA), row)

    # Somebody logs in: a chat is begun for them, and they write in it. An agent's reply was written in Java.
    await until_known(service, channel, email)
    first = await service.identify(channel_id=channel, external_id=who, email=email)
    assert first["created"] == {"contact": False, "conversation": True}
    assert (first["contact"]["id"], first["contact"]["display_name"]) == (contact_id, "Ada L.")
    (conversation,) = first["conversations"]
    assert conversation["last_message"] is None
    for number in range(2):
        value = message_value(channel, conversation["id"], SENT_AT_MS + number)
        writer.write(names.airy_messages, value["id"], with_java_strings(MESSAGE), value)
    reply = message_value(
        channel, conversation["id"], SENT_AT_MS + 2, isFromContact=False, senderId="agent", content='{"text":"Hello"}'
    )
    in_avros_json = reply | {"headers": {"map": {"a": "b"}}}
    data = written_in_java(serde, registry, names.airy_messages, with_java_strings(MESSAGE), in_avros_json)
    writer.write_bytes(names.airy_messages, reply["id"], data)

    # They log in again, on other devices, with backends that ask in all the ways there are.
    async def replied() -> bool:
        last_message = (await over_http(service, channel, who))["conversations"][0]["last_message"]
        return bool(last_message and last_message["id"] == reply["id"])

    await poll(replied, "the reply did not arrive")
    for door in (over_http, over_kafka_in_json, over_kafka_in_avro):
        answer = await door(service, channel, who)
        await assert_resumed(answer, service, conversation["id"], reply, airy)
    answer = await over_kafka_in_confluents_framing(service, registry, serde, channel, who)
    await assert_resumed(answer, service, conversation["id"], reply, airy)


async def until_known(service: Service, channel: str, email: str) -> None:
    """Ask, and change nothing, until the channel and the contact were read."""

    async def known() -> bool:
        answer = await service.identify(channel_id=channel, email=email, dry_run=True)
        return answer["status"] == 200 and not answer["created"]["contact"]

    await poll(known, "the channel and the contact were not read")


async def over_http(service: Service, channel: str, who: str) -> Answer:
    return await service.identify(channel_id=channel, external_id=who)


async def over_kafka_in_json(service: Service, channel: str, who: str) -> Answer:
    record = await service.ask(channel_id=channel, external_id=who)
    answer: Answer = json.loads(record.value)
    return answer


async def over_kafka_in_avro(service: Service, channel: str, who: str) -> Answer:
    """Ask in single-object encoding, written and read by Apache's library."""
    request = write_by_apache("airy_identify.IdentifyRequest", {"channel_id": channel, "external_id": who})
    answer: Answer = read_by_apache(IDENTIFY_RESPONSE, (await service.ask_bytes(request)).value)
    return answer


async def over_kafka_in_confluents_framing(
    service: Service, registry: LocalRegistry, serde: JavaProgram, channel: str, who: str
) -> Answer:
    """Ask with Confluent's serializer; its deserializer and the one in Java read the same answer."""
    names = service.settings.topic_names
    writer = ForeignWriter(service.settings, registry.url, topic_record_subject_name_strategy, compression_type="lz4")
    request_id = str(uuid.uuid4())
    request: Definition = {"channel_id": channel, "external_id": who, "request_id": request_id}
    writer.write(names.requests, "any", published("IdentifyRequest"), request)

    async def answered() -> ConsumerRecord | None:
        records = await read(service.settings, names.responses)
        return next((record for record in records if record.key == request_id.encode()), None)

    record = await poll(answered, "the request was not answered")
    answer: Answer = foreign_value(registry.url, names.responses, record.value)
    in_java = read_in_java(serde, registry, names.responses, record.value)
    assert in_java["schema"] == IDENTIFY_RESPONSE
    assert in_java["value"]["contact"]["id"] == answer["contact"]["id"]
    assert in_java["value"]["conversations"][0]["resume_token"] == answer["conversations"][0]["resume_token"]
    last_message = answer["conversations"][0]["last_message"]
    last_message["content"] = json.loads(last_message["content"])  # the schema says that it is the text of JSON
    return answer


async def assert_resumed(
    answer: Answer, service: Service, conversation_id: str, reply: dict[str, Any], airy: JavaProgram
) -> None:
    """The answer is about the same chat, and Airy goes on with it."""
    (conversation,) = answer["conversations"]
    assert conversation["id"] == conversation_id
    assert conversation["channel"] == {"id": reply["channelId"], "source": "chatplugin"}
    assert answer["created"] == {"contact": False, "conversation": False}
    last_message = conversation["last_message"]
    assert (last_message["id"], last_message["content"]) == (reply["id"], {"text": "Hello"})
    assert last_message["from_contact"] is False

    assert service.settings.jwt_secret is not None
    secret = service.settings.jwt_secret.get_secret_value()
    taken = airy.ask(secret=secret, token=conversation["resume_token"])
    assert taken["header"] == {"alg": "HS256"}
    assert taken["subject"] == taken["conversation_id"] == conversation_id
    assert taken["channel_id"] == reply["channelId"]
    assert taken["expires_at_s"] > time.time()
