"""Airy's contacts on real Kafka: their rows in any order give the same tables, and people are found, told and forgotten.

`make contacts CONTACTS=100000 MESSAGES=100000` does the first test at that size.
"""

import asyncio
import hashlib
import json
import os
import random
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from aiokafka.structs import TopicPartition
from confluent_kafka import Producer

from airy_identify.core.erasing import airy_record_key
from airy_identify.core.values import ContactId
from airy_identify.kafka import KafkaClients, close_client, partition_for
from airy_identify.ops.topics import create_topics
from airy_identify.settings import Settings
from airy_identify.stream.store import Store, StoreMemory
from airy_identify.topics import CONTACTS, CONVERSATION, IDENTITY, MESSAGES, declare, declare_airy
from airy_identify.wire import schemas
from airy_identify.wire.airy import MESSAGE, METADATA
from airy_identify.wire.rows import PROGRESS_KEY
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.replay import read
from tests.kafka.service import Service, poll, put_channels
from tests.kafka.test_verify import verify

MakeInstallation = Callable[..., Awaitable[Settings]]
Record = tuple[bytes, bytes | None]

CONTACTS_COUNT = int(os.environ.get("CONTACTS", "150"))
MESSAGES_COUNT = int(os.environ.get("MESSAGES", "150"))
DEADLINE_S = 120 + (CONTACTS_COUNT + MESSAGES_COUNT) / 50
CHANNEL = "7f1ad1c5-0f0c-4d1f-8f3c-1d5f8a8a6f10"
PARTITIONS = 2
TABLES = (IDENTITY, CONVERSATION)


# What Airy writes


def framed(record: str, datum: dict[str, Any]) -> bytes:
    """Return a value as Airy's serializer writes it; without a registry the schema id says nothing."""
    return b"\x00" + (7).to_bytes(4, "big") + schemas.our_schemas().encode_body(record, datum)


def row(contact_id: str, key: str, value: str | None, *, at_ms: int = 1_700_000_000_000) -> Record:
    record_key = airy_record_key(ContactId(contact_id), key).encode()
    if value is None:
        return record_key, None
    datum = {"subject": f"contact:{contact_id}", "key": key, "value": value, "valueType": "text", "timestamp": at_ms}
    return record_key, framed(METADATA, datum)


def message(number: int, conversation_id: str, sent_at_ms: int) -> Record:
    message_id = str(uuid.UUID(int=2**100 + number))
    datum = {
        "id": message_id,
        "headers": None,
        "isFromContact": True,
        "deliveryState": "DELIVERED",
        "senderId": "visitor",
        "sourceRecipientId": None,
        "conversationId": conversation_id,
        "channelId": CHANNEL,
        "source": "chatplugin",
        "content": json.dumps({"text": f"message {number}"}),
        "sentAt": sent_at_ms,
        "updatedAt": None,
    }
    return message_id.encode(), framed(MESSAGE, datum)


def chat_of(number: int) -> str:
    return str(uuid.UUID(int=2**101 + number // 2))


def contact_id_of(number: int) -> str:
    return str(uuid.UUID(int=2**102 + number))


def histories(number: int) -> Iterator[list[Record]]:
    """Yield what is written under each record key of a contact, in order: some change, some are deleted, some merge."""
    contact_id = contact_id_of(number)
    yield [row(contact_id, "created_at", str(1_600_000_000_000 + number % 7))]
    names = [row(contact_id, "displayName", name) for name in (f"Chatplugin {number}", f"Person {number}")]
    yield names if number % 3 else names[:1]
    email = [row(contact_id, "via.email", f"Person.{number // 2 if number % 10 == 0 else number}@example.org")]
    yield [*email, row(contact_id, "via.email", None)] if number % 11 == 0 else email
    yield [row(contact_id, f"conversations.{chat_of(number)}", "chatplugin" if number % 5 else "facebook")]
    if number % 4 == 0:
        yield [row(contact_id, "via.phone", f"+49170{number:07d}")]
    if number % 13 == 0:
        source = {"id": contact_id_of(number + 1), "via": {"external_id": f"u{number}"}, "createdAt": number}
        yield [row(contact_id, "mergeHistory", json.dumps([source]))]


def in_any_order(seed: int) -> list[Record]:
    """Return all rows of all contacts, in a random order that keeps that of each record key."""
    places = [(key, records) for number in range(CONTACTS_COUNT) for key, records in enumerate(histories(number))]
    queue = [index for index, (_, records) in enumerate(places) for _ in records]
    random.Random(seed).shuffle(queue)
    left = [iter(records) for _, records in places]
    return [next(left[index]) for index in queue]


def messages_in_any_order(seed: int) -> list[Record]:
    found = [
        message(number, chat_of(number % CONTACTS_COUNT), 1_650_000_000_000 + number)
        for number in range(MESSAGES_COUNT)
    ]
    random.Random(seed).shuffle(found)
    return found


def put(settings: Settings, topic: str, records: list[Record]) -> None:
    """Write records with a client that is not ours, partitioned and compressed as Airy's own are."""
    producer = Producer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",
            "linger.ms": 20,
        }
    )
    for number, (key, value) in enumerate(records):
        producer.produce(topic, key=key, value=value)
        if number % 1_000 == 0:
            producer.flush(30)
    assert producer.flush(30) == 0


# When everything is applied


async def last_offset(settings: Settings, partition: TopicPartition) -> int:
    """Return the offset of the last record of a partition, control records aside; -1 when it has none."""
    consumer = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers).consumer()
    await consumer.start()
    try:
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.assign([partition])
        consumer.seek(partition, max(0, end - 50))
        last = -1
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                last = max([last, *(record.offset for record in records)])
        return last
    finally:
        await close_client(consumer)


async def applied(worker: ServiceProcess) -> dict[str, float]:
    """Return a worker's metrics by name and labels."""
    _, text = await worker.status("/metrics")
    return {name: float(value) for name, value in re.findall(r"^(airy_identify_\S+) (\S+)$", text, re.MULTILINE)}


async def until_applied(settings: Settings, worker: ServiceProcess, *, rows: int, messages: int) -> None:
    """Wait until the worker has applied so many rows and messages, and everything that follows from them."""
    names = settings.topic_names
    deadline = time.monotonic() + DEADLINE_S
    counted = {CONTACTS: rows, MESSAGES: messages, CONVERSATION: messages}
    log = TopicPartition(names.identity_commands, partition_for(b"default", PARTITIONS))
    table = f'airy_identify_table_offset{{agent="{IDENTITY}",partition="{log.partition}"}}'
    while True:
        found = await applied(worker)
        done = {agent: found.get(f'airy_identify_records_total{{agent="{agent}"}}', 0) for agent in counted}
        if done == counted and found.get(table, -1) == await last_offset(settings, log):
            return
        assert time.monotonic() < deadline, (done, counted)
        await asyncio.sleep(0.2)


def tables_of(settings: Settings, worker: ServiceProcess) -> dict[str, tuple[int, str]]:
    """Return how many rows each table partition has in RocksDB, and a hash of them all; the worker has to be down."""
    found = {}
    for table in TABLES:
        for partition in range(PARTITIONS):
            store = Store(worker.data_dir / settings.topic_names.app_id / f"{table}-{partition}", StoreMemory())
            store.open()
            rows, digest = 0, hashlib.sha256()
            for key, value in store.rows():
                if key != PROGRESS_KEY:
                    rows += 1
                    digest.update(len(key).to_bytes(4, "big") + key + len(value).to_bytes(4, "big") + value)
            store.close()
            found[f"{table}-{partition}"] = (rows, digest.hexdigest())
    return found


async def test_rows_and_messages_in_any_order_give_the_same_tables_byte_for_byte(
    make_installation: MakeInstallation, tmp_path: Path
) -> None:
    found = []
    for seed in (1, 2):
        settings = await make_installation(partitions=PARTITIONS)
        worker = ServiceProcess("worker", settings, tmp_path / str(seed))
        rows, messages = in_any_order(seed), messages_in_any_order(seed)
        async with ended_afterwards(worker):
            await worker.start().until_ready()
            started = time.monotonic()
            names = settings.topic_names
            await asyncio.gather(
                asyncio.to_thread(put, settings, names.airy_contacts, rows),
                asyncio.to_thread(put, settings, names.airy_messages, messages),
            )
            await until_applied(settings, worker, rows=len(rows), messages=len(messages))
            took = time.monotonic() - started
            if len(rows) < 10_000:
                code, verdicts = await verify(worker, settings)
                assert (code, {verdict["differing"] for verdict in verdicts}) == (0, {0})
            await worker.terminate()
        assert await read(settings, names.dead_letters) == []
        found.append(tables_of(settings, worker))
        print(f"seed {seed}: {len(rows)} rows and {len(messages)} messages applied in {took:.0f} s")  # noqa: T201
    print(json.dumps(found[0], indent=2))  # noqa: T201
    assert found[0] == found[1]
    assert sum(rows for rows, _ in found[0].values()) > 3 * CONTACTS_COUNT


# What callers see


def tell(settings: Settings, *records: Record) -> None:
    put(settings, settings.topic_names.airy_contacts, list(records))


async def identify(service: Service, **fields: Any) -> dict[str, Any]:
    answer = await service.identify(**fields)
    assert answer["status"] == 200, answer
    return answer


async def test_somebody_made_in_airy_is_found_named_resumed_and_forgotten_when_airy_deletes_them(
    make_installation: MakeInstallation, tmp_path: Path
) -> None:
    settings = await make_installation(partitions=PARTITIONS)
    await put_channels(settings, [CHANNEL])
    worker, bridge = (ServiceProcess(command, settings, tmp_path) for command in ("worker", "web"))
    ada, chat, facebook = (str(uuid.uuid4()) for _ in range(3))
    async with ended_afterwards(worker, bridge):
        for process in (worker, bridge):
            await process.start().until_ready()
        service = Service(settings, CHANNEL, worker, bridge)
        put(settings, settings.topic_names.airy_messages, [message(9_000_000, chat, 1)])
        tell(
            settings,
            row(ada, f"conversations.{chat}", "chatplugin"),
            row(ada, f"conversations.{facebook}", "facebook"),
            row(ada, "conversations.not-a-uuid", "chatplugin"),
            row(ada, "via.email", "Ada@Example.org"),
            row(ada, "via.external_id", "u-ada"),
            row(ada, "displayName", "Ada"),
            row(ada, "created_at", "1600000000000"),
        )

        async def known() -> dict[str, Any] | None:
            answer = await identify(service, email="ada@example.org", dry_run=True)
            complete = len(answer["conversations"]) == 1 and answer["contact"]["display_name"]
            return answer if answer["contact"]["external_id"] and complete else None

        await poll(known, "Ada is not known")
        answer = await identify(service, external_id="u-ada")
        assert answer["contact"]["id"] == ada
        assert answer["contact"]["display_name"] == "Ada"
        assert answer["contact"]["created_at"] == "2020-09-13T12:26:40.000Z"
        assert [each["id"] for each in answer["conversations"]] == [chat]
        assert answer["conversations"][0]["last_message"]["content"]
        letters = await read(settings, settings.topic_names.dead_letters)
        assert [record.key for record in letters] == [row(ada, "conversations.not-a-uuid", "")[0]]

        keys = (f"conversations.{chat}", f"conversations.{facebook}", "via.email", "via.external_id", "displayName")
        tell(settings, *(row(ada, key, None) for key in (*keys, "created_at")))

        async def gone() -> dict[str, Any] | None:
            told = await identify(service, external_id="u-ada", dry_run=True)
            return told if told["created"]["contact"] else None

        await poll(gone, "Ada was not forgotten")
        new = await identify(service, external_id="u-ada", email="ada@example.org")
        assert new["created"] == {"contact": True, "conversation": True}
        assert new["contact"]["id"] != ada
        assert chat not in {each["id"] for each in new["conversations"]}
        assert new["contact"]["display_name"] is None
        tell(settings, row(ada, "displayName", "Chatplugin"), row(ada, "created_at", "1"))
        tell(settings, row(str(uuid.uuid4()), "via.email", "later@example.org"))
        status, told, _ = await service.post(json.dumps({"contact_id": ada}).encode(), path="/identities.info")
        assert (status, told["code"]) == (404, "unknown_contact")


async def test_an_airy_without_contacts_is_read_when_the_settings_say_so(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = make_settings(partitions=PARTITIONS)
    names = settings.topic_names
    ours = declare(names, partitions=PARTITIONS, messages_partitions=10, contacts_partitions=None, production=False)
    airys = [topic for topic in declare_airy(names) if topic.name != names.airy_contacts]
    await create_topics(settings.kafka_bootstrap_servers, (*airys, *ours), replication_factor=1)
    refused = ServiceProcess("worker", settings, tmp_path, name="refused")
    worker = ServiceProcess("worker", settings.model_copy(update={"contacts_in": False}), tmp_path)
    async with ended_afterwards(refused, worker):
        assert await refused.start().ended() == 1
        told = refused.log_file.read_text()
        assert f"{names.airy_contacts}: is missing; it is Airy's" in told
        assert "AIRY_IDENTIFY_CONTACTS_IN=false" in told
        await worker.start().until_ready()
