"""The load of the chaos test: people who are only identified, people who are mingled by every command, and messages.

The first keep an identifier to themselves, so each of them has to stay one contact whatever happens. The second share
devices, e-mails and phone numbers, are merged, parted, released and forgotten, by ids that answers gave.
"""

import asyncio
import collections
import json
import random
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer

from airy_identify.core.ids import from_name
from airy_identify.core.values import ChannelId, ConversationId
from airy_identify.kafka import KafkaClients, close_client, partitions_of
from airy_identify.settings import Settings
from airy_identify.wire.airy import encode_message
from tests.builders import make_message
from tests.kafka.service import poll

PEOPLE = 600
MINGLED_PEOPLE = 40
TENANTS = ("default", "north", "south", "east")
CHANNELS = {tenant: from_name(f"channel of {tenant}") for tenant in TENANTS}
IDS_KEPT = 60
"""How many ids a tenant's commands choose from: the newest, so that most of them still lead to somebody."""
_SEND_TIMEOUT_MS = 20_000

Fields = dict[str, Any]


@dataclass
class Known:
    """What answers have told of a tenant: ids of contacts, of those that ended in a merge, and of conversations."""

    contacts: collections.deque[str] = field(default_factory=lambda: collections.deque(maxlen=IDS_KEPT))
    merged: collections.deque[str] = field(default_factory=lambda: collections.deque(maxlen=8))
    conversations: collections.deque[str] = field(default_factory=lambda: collections.deque(maxlen=IDS_KEPT))

    def learn(self, answer: Fields) -> None:
        for contact in (answer.get("contact"), answer.get("restored")):
            if contact is not None and contact["id"] is not None:  # null: a person whom a dry run would create
                self.contacts.append(contact["id"])
        self.merged.extend(answer.get("merged", ()))
        self.conversations.extend(conversation["id"] for conversation in answer.get("conversations", ()))


@dataclass
class Load:
    """What was sent: good requests by id, of which `mingled` are the second kind, refused ones, messages by id."""

    settings: Settings
    random: random.Random
    minutes: float
    requests: dict[str, Fields] = field(default_factory=dict)
    mingled: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)
    known: dict[str, Known] = field(default_factory=lambda: collections.defaultdict(Known))

    async def run(self) -> None:
        clients = KafkaClients(bootstrap_servers=self.settings.kafka_bootstrap_servers)
        producer = clients.idempotent_producer(request_timeout_ms=_SEND_TIMEOUT_MS)
        await producer.start()
        learning = asyncio.create_task(self._learn(clients))
        requests, messages = round(12_000 * self.minutes), round(4_000 * self.minutes)
        started, total = time.monotonic(), requests + messages
        try:
            for number in range(total):
                if self.random.random() < messages / total:
                    await self._send_message(producer)
                else:
                    await self._send_request(producer)
                if number == total // 20:
                    await self._until_known()
                if number % 50 == 0:
                    await asyncio.sleep(max(0.0, started + number * self.minutes * 60 / total - time.monotonic()))
            await producer.flush()
            assert not learning.done(), "nothing was learned from the answers"
        finally:
            learning.cancel()
            with suppress(asyncio.CancelledError):
                await learning
            await close_client(producer)

    async def _until_known(self) -> None:
        """Wait for first answers: without ids there are no commands, and a busy machine may be slow to answer."""

        async def known() -> bool:
            return all(len(self.known[tenant].contacts) >= 2 for tenant in TENANTS)

        await poll(known, "too few people are known yet")

    async def _learn(self, clients: KafkaClients) -> None:
        """Read the answers as they come."""
        consumer = clients.consumer()
        await consumer.start()
        try:
            topic = self.settings.topic_names.responses
            consumer.assign(await partitions_of(consumer, topic))
            await consumer.seek_to_beginning()
            while True:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        request_id = record.key.decode()
                        if request_id in self.mingled:
                            fields = self.requests[request_id]
                            answer = json.loads(record.value)
                            self.known[fields["tenant"]].learn(answer)
                            if fields.get("command") == "merge" and "contact" in answer:
                                self.known[fields["tenant"]].merged.append(fields["source_id"])
        finally:
            await close_client(consumer)

    async def _send_request(self, producer: AIOKafkaProducer) -> None:
        request_id = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        tenant = self.random.choice(TENANTS)
        fields: Fields = {"request_id": request_id, "tenant": tenant}
        kind = self.random.random()
        if kind < 0.02:
            fields["channel_id"] = CHANNELS[tenant]  # nobody is named
            self.refused.add(request_id)
        elif kind < 0.7:
            fields |= {"channel_id": CHANNELS[tenant]} | self._person(self.random.randrange(PEOPLE))
            self.requests[request_id] = fields
        else:
            fields |= self._mingling(tenant)
            self.requests[request_id] = fields
            self.mingled.add(request_id)
        key = str(self.random.random()).encode()
        await producer.send(self.settings.topic_names.requests, key=key, value=json.dumps(fields).encode())

    def _person(self, person: int) -> Fields:
        """Everybody has an external id; the rest comes and goes, and never belongs to two people."""
        fields: Fields = {"external_id": f"person-{person}"}
        if self.random.random() < 0.4:
            fields["email"] = f"person-{person}@example.com"
        if self.random.random() < 0.3:
            fields["phone_number"] = f"+4930{1_000_000 + person}"
        if self.random.random() < 0.3:
            fields["identifiers"] = {"device": [f"device-{person}-{self.random.randrange(8)}"]}
        if self.random.random() < 0.3:
            fields["metadata"] = {"visits": self.random.randrange(5)}
        return fields

    def _mingling(self, tenant: str) -> Fields:
        """A request about people who share what they have, or a command about one of them."""
        known = self.known[tenant]
        what = self.random.random()
        if what < 0.6 or len(known.contacts) < 2 or not known.conversations:
            return {"channel_id": CHANNELS[tenant]} | self._shared()
        one, other = self.random.choice(known.contacts), self.random.choice(known.contacts)
        commands: tuple[tuple[float, Fields], ...] = (
            (0.68, {"command": "merge", "source_id": one, "destination_id": other}),
            (0.76, {"command": "unmerge", "contact_id": self.random.choice(known.merged or known.contacts)}),
            (0.82, {"command": "release", "contact_id": one} | self._value()),
            (0.87, {"command": "forget", "contact_id": one}),
            (0.94, {"command": "info", "contact_id": one}),
            (1.0, self._token(tenant)),
        )
        return next(command for up_to, command in commands if what < up_to)

    def _value(self) -> Fields:
        kind, value = self.random.choice(list(self._values().items()))
        return {"kind": kind, "value": value}

    def _token(self, tenant: str) -> Fields:
        conversation = self.random.choice(self.known[tenant].conversations)
        return {"command": "resume_token", "channel_id": CHANNELS[tenant], "conversation_id": conversation}

    def _values(self) -> Fields:
        """One value of each kind: the kinds' numbers are drawn apart, so that they bring people together."""
        return {
            "external_id": f"mingled-{self.random.randrange(MINGLED_PEOPLE)}",
            "email": f"mingled-{self.random.randrange(MINGLED_PEOPLE)}@example.com",
            "phone_number": f"+4931{1_000_000 + self.random.randrange(MINGLED_PEOPLE)}",
            "device": f"tablet-{self.random.randrange(MINGLED_PEOPLE)}",
        }

    def _shared(self) -> Fields:
        values = self._values()
        fields = {kind: values[kind] for kind in self.random.sample(sorted(values), self.random.choice((1, 2, 2, 3)))}
        if "device" in fields:
            fields["identifiers"] = {"device": fields.pop("device")}
        if "email" in fields and len(fields) > 1 and self.random.random() < 0.1:
            fields["unverified"] = ["email"]
        if self.random.random() < 0.3:
            fields["metadata"] = {"visits": self.random.randrange(5)}
        if self.random.random() < 0.1:
            fields |= self.random.choice(({"on_conflict": "reject"}, {"dry_run": True}, {"explain": True}))
        return fields

    async def _send_message(self, producer: AIOKafkaProducer) -> None:
        """Send a message, every other one to a conversation that the mingled people have, or had before they were forgotten."""
        message_id = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        self.messages.add(message_id)
        tenant = self.random.choice(TENANTS)
        conversation = from_name(f"conversation {self.random.randrange(500)}")
        if self.known[tenant].conversations and self.random.random() < 0.5:
            conversation = self.random.choice(self.known[tenant].conversations)
        message = make_message(
            id=message_id,
            conversation_id=ConversationId(conversation),
            channel_id=ChannelId(CHANNELS[tenant]),
            content='{"text":"hello"}',
            sent_at_ms=self.random.randrange(1_700_000_000_000, 1_800_000_000_000),
        )
        topic = self.settings.topic_names.airy_messages
        await producer.send(topic, key=message_id.encode(), value=encode_message(message))
