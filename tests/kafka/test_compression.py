"""Every codec that a producer may use, on every topic of others that is read: records of librdkafka, not of ours."""

import json
import struct
import uuid
from collections.abc import Iterable
from typing import Any

import pytest
from confluent_kafka import Producer

from airy_identify.core.values import ChannelId
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.settings import Settings
from airy_identify.wire.airy import Channel, encode_channel, encode_message
from tests import builders as make
from tests.kafka.replay import read
from tests.kafka.service import Answer, Service, poll

CODECS = ("gzip", "snappy", "lz4", "zstd")
CODECS_BY_NUMBER = ("none", *CODECS)
BATCH_HEADER = struct.Struct(">qiibIh")
"""Base offset, length of what follows, leader epoch, magic, checksum, attributes."""
LENGTH_ENDS_AT = 12
FILLING = "compressible " * 200
"""librdkafka sends a batch as it is when compressing makes it no smaller."""

KeyAndValue = tuple[bytes, bytes]


def put(settings: Settings, topic: str, codec: str, records: Iterable[KeyAndValue]) -> None:
    """Write records with a client that is not ours, and wait until the broker has them."""
    failures: list[Any] = []

    def delivered(error: Any, _message: Any) -> None:
        if error is not None:
            failures.append(error)

    producer = Producer(
        {"bootstrap.servers": settings.kafka_bootstrap_servers, "compression.type": codec, "linger.ms": 50}
    )
    for key, value in records:
        producer.produce(topic, key=key, value=value, on_delivery=delivered)
    assert producer.flush(30) == 0
    assert not failures


def codecs_on_disk(broker: LocalKafka, topic: str) -> set[str]:
    """Return the codecs of the record batches that the broker holds, read from its files (format 2, KIP-98)."""
    found = set()
    for path in (broker.directory / "data").glob(f"{topic}-*/*.log"):
        data, start = path.read_bytes(), 0
        while len(data) >= start + BATCH_HEADER.size:
            _, length, _, _, _, attributes = BATCH_HEADER.unpack_from(data, start)
            found.add(CODECS_BY_NUMBER[attributes & 0b111])
            start += LENGTH_ENDS_AT + length
    return found


def channel_record(channel_id: str) -> KeyAndValue:
    channel = Channel(id=ChannelId(channel_id), source="chatplugin", source_channel_id=FILLING, connected=True)
    return channel_id.encode(), encode_channel(channel)


@pytest.mark.parametrize("codec", CODECS)
async def test_channels_requests_and_messages_are_read_in_every_codec(
    service: Service, broker: LocalKafka, codec: str
) -> None:
    settings, names = service.settings, service.settings.topic_names
    channel_id, who = str(uuid.uuid4()), f"{codec}-{uuid.uuid4()}"
    put(settings, names.airy_channels, codec, [channel_record(channel_id)])

    async def known() -> Answer | None:
        answer = await service.identify(channel_id=channel_id, external_id=who)
        return answer if answer["status"] == 200 else None

    identified = await poll(known, "the channel was not read")
    conversation_id = identified["conversations"][0]["id"]

    request = {"channel_id": channel_id, "external_id": who, "request_id": who, "metadata": {"filling": FILLING}}
    put(settings, names.requests, codec, [(b"any", json.dumps(request).encode())])

    async def answered() -> Answer | None:
        found = [record for record in await read(settings, names.responses) if record.key == who.encode()]
        return json.loads(found[0].value) if found else None

    answer = await poll(answered, "the request was not read")
    assert answer["contact"]["id"] == identified["contact"]["id"]

    message = make.make_message(
        id=str(uuid.uuid4()), conversation_id=conversation_id, channel_id=channel_id, content=FILLING
    )
    put(settings, names.airy_messages, codec, [(message.id.encode(), encode_message(message))])

    async def shown() -> bool:
        last = (await service.identify(channel_id=channel_id, external_id=who))["conversations"][0]["last_message"]
        return last is not None and last["id"] == message.id

    await poll(shown, "the message was not read")
    for topic in (names.airy_channels, names.requests, names.airy_messages):
        assert codec in codecs_on_disk(broker, topic), "the records were not compressed: this test shows nothing"


@pytest.mark.parametrize("codec", CODECS)
async def test_contacts_are_read_in_every_codec(service: Service, broker: LocalKafka, codec: str) -> None:
    settings = service.settings
    topic = settings.topic_names.airy("contacts")
    written = [(f"{codec}-{uuid.uuid4()}".encode(), f"{FILLING}{number}".encode()) for number in range(20)]
    put(settings, topic, codec, written)

    found = {record.key: record.value for record in await read(settings, topic)}

    assert dict(written).items() <= found.items()
    assert codec in codecs_on_disk(broker, topic)
