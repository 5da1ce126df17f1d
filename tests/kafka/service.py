"""A running service as a test meets it: a worker and a bridge with their topics, asked over both doors."""

import asyncio
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka.structs import ConsumerRecord

from airy_identify.core.values import ChannelId
from airy_identify.kafka import KafkaClients, close_client
from airy_identify.settings import Settings
from airy_identify.topics import AIRY_PARTITIONS
from airy_identify.wire.airy import Channel, encode_channel, encode_message
from airy_identify.wire.headers import CORRELATION_ID
from tests.builders import make_message
from tests.kafka.processes import ServiceProcess
from tests.kafka.replay import read

DEADLINE_S = 60.0
POLL_S = 0.05
Headers = tuple[tuple[str, bytes], ...]
Answer = dict[str, Any]


async def produce(
    settings: Settings, topic: str, *records: tuple[bytes | None, bytes | None, Headers], partition: int | None = None
) -> None:
    """Append records and wait until the broker has them."""
    clients = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers)
    producer = clients.idempotent_producer(request_timeout_ms=20_000)
    await producer.start()
    try:
        sent = [
            await producer.send(topic, key=key, value=value, headers=list(headers), partition=partition)
            for key, value, headers in records
        ]
        await asyncio.gather(*sent)
    finally:
        await close_client(producer)


def shard_count(settings: Settings) -> int:
    """Return how many shards an installation has: the partitions of all logs that are read."""
    return 3 * settings.partitions + (2 if settings.contacts_in else 1) * AIRY_PARTITIONS


async def put_channels(settings: Settings, channels: Iterable[str], **over: Any) -> None:
    """Write connected chat-plugin channels, as Airy does."""
    fields: dict[str, Any] = {"source": "chatplugin", "source_channel_id": "test", "connected": True} | over
    records = [
        (channel_id.encode(), encode_channel(Channel(id=ChannelId(channel_id), **fields)), ())
        for channel_id in channels
    ]
    await produce(settings, settings.topic_names.airy_channels, *records)


async def put_messages(settings: Settings, *messages: Mapping[str, Any]) -> None:
    """Write messages to Airy's topic, in this order."""
    made = [make_message(**fields) for fields in messages]
    records = [(message.id.encode(), encode_message(message), ()) for message in made]
    await produce(settings, settings.topic_names.airy_messages, *records)


async def poll(condition: Callable[[], Any], what: str) -> Any:
    """Return the first true value of an async condition; the test fails when that takes too long."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := await condition()):
        assert time.monotonic() < deadline, what
        await asyncio.sleep(POLL_S)
    return found


@dataclass(frozen=True)
class Tenant:
    """A tenant that nobody else asks for, with two connected channels of its own."""

    name: str
    channel: str
    other_channel: str


def make_tenants(count: int) -> list[Tenant]:
    return [Tenant(f"tenant-{number}", str(uuid.uuid4()), str(uuid.uuid4())) for number in range(count)]


def channels_of(tenants: Iterable[Tenant]) -> dict[str, str]:
    """Return the setting that says whose the channels are."""
    return {channel: tenant.name for tenant in tenants for channel in (tenant.channel, tenant.other_channel)}


@dataclass(frozen=True)
class Service:
    """One worker and one bridge. `channel` is connected and belongs to the tenant `default`."""

    settings: Settings
    channel: str
    worker: ServiceProcess
    bridge: ServiceProcess
    tenants: list[Tenant] = field(default_factory=list)
    """Tenants that are still to be had: see `new_tenant`."""

    def new_tenant(self) -> Tenant:
        """Return a tenant that has nobody yet, and that no other test gets."""
        return self.tenants.pop()

    async def post(
        self, body: bytes, *, path: str = "/contacts.identify", **headers: str
    ) -> tuple[int, Answer, Mapping[str, str]]:
        """Send a body to a route; return status, answer and headers."""
        assert self.settings.system_token is not None
        token = self.settings.system_token.get_secret_value()
        sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"} | headers
        request = urllib.request.Request(f"{self.bridge.url}{path}", data=body, headers=sent)
        return await asyncio.to_thread(_open, request)

    async def identify(self, **fields: object) -> Answer:
        """Identify over HTTP, on the service's channel unless told otherwise; the answer has `status` too."""
        status, answer, _ = await self.post(json.dumps({"channel_id": self.channel} | fields).encode())
        return answer | {"status": status}

    async def ask(self, *, partition: int | None = None, key: bytes | None = None, **fields: object) -> ConsumerRecord:
        """Identify over Kafka; return the answer record."""
        value = json.dumps({"channel_id": self.channel} | fields).encode()
        return await self.ask_bytes(value, key=key, partition=partition)

    async def ask_bytes(
        self, value: bytes, *, key: bytes | None = None, partition: int | None = None
    ) -> ConsumerRecord:
        """Put a value on `identify-requests` with a correlation id; return the answer record."""
        correlation_id = uuid.uuid4().bytes
        names = self.settings.topic_names
        await produce(
            self.settings, names.requests, (key, value, ((CORRELATION_ID, correlation_id),)), partition=partition
        )

        async def answered() -> ConsumerRecord | None:
            records = await read(self.settings, names.responses)
            found = [record for record in records if (CORRELATION_ID, correlation_id) in record.headers]
            assert len(found) <= 1
            return found[0] if found else None

        record: ConsumerRecord = await poll(answered, "the request was not answered")
        return record


def _open(request: urllib.request.Request) -> tuple[int, Answer, Mapping[str, str]]:
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response), dict(response.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)
