"""`airy-identify verify` on real Kafka: all is well on a busy worker, and every planted difference is found and named."""

import asyncio
import dataclasses
import hashlib
import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airy_identify.core.values import ContactId, ContactKey, TenantId
from airy_identify.kafka import KafkaClients, close_client, partition_for
from airy_identify.settings import Settings
from airy_identify.stream.agents.identity import IdentityAgent
from airy_identify.stream.batch import Batch
from airy_identify.stream.digest import DIGEST_BYTES
from airy_identify.stream.store import Store, StoreMemory
from airy_identify.topics import CONVERSATION, IDENTITY
from airy_identify.wire.rows import decode_identity_row, encode_identity_key, encode_identity_row
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.replay import read
from tests.kafka.service import Service, put_channels
from tests.kafka.test_operator_commands import call

TENANT = TenantId("default")
MakeInstallation = Callable[..., Awaitable[Settings]]


async def verify(worker: ServiceProcess, settings: Settings, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Run `verify` beside a worker; return the exit code and the verdicts."""
    beside = settings.model_copy(update={"data_dir": worker.data_dir})
    code, output, errors = await call(beside, "verify", "--json", *arguments)
    assert errors == ""
    return code, json.loads(output)


@dataclass(frozen=True)
class Home:
    """A service of its own, on which a test may break something. `partition` is that of the default tenant."""

    settings: Settings
    service: Service
    partition: int

    @property
    def path(self) -> Path:
        return self.service.worker.data_dir / self.settings.topic_names.app_id / f"{IDENTITY}-{self.partition}"

    async def verdict(self) -> dict[str, Any]:
        """Verify the partition of the default tenant, on all sides; it has to differ."""
        code, (found,) = await verify(
            self.service.worker,
            self.settings,
            *("--table", IDENTITY, "--partition", str(self.partition), "--show-keys"),
        )
        assert code == 1
        assert set(found["digests"]) == {"rocksdb", "changelog", "log"}
        return found

    def plant(self, rows: dict[bytes, bytes | None]) -> None:
        """Change rows of the worker's directory. The worker has to be down."""
        store = Store(self.path, StoreMemory())
        state = store.open()
        assert state is not None
        store.write(rows.items(), position=state.position, now_ms=state.synced_at_ms)
        store.close()

    async def plant_in_changelog(self, rows: dict[bytes, bytes | None]) -> None:
        clients = KafkaClients(bootstrap_servers=self.settings.kafka_bootstrap_servers)
        producer = clients.idempotent_producer(request_timeout_ms=10_000)
        await producer.start()
        for key, row in rows.items():
            topic = self.settings.topic_names.changelog(IDENTITY)
            await producer.send_and_wait(topic, key=key, value=row, partition=self.partition)
        await close_client(producer)


@asynccontextmanager
async def home(make_installation: MakeInstallation, directory: Path) -> AsyncIterator[Home]:
    settings = await make_installation(partitions=2)
    channel = str(uuid.uuid4())
    await put_channels(settings, [channel])
    worker, bridge = (ServiceProcess(command, settings, directory) for command in ("worker", "web"))
    async with ended_afterwards(worker, bridge):
        for process in (worker, bridge):
            await process.start().until_ready()
        yield Home(settings, Service(settings, channel, worker, bridge), partition_for(TENANT.encode(), 2))


def contact_key(contact_id: str) -> bytes:
    return encode_identity_key(ContactKey(tenant=TENANT, contact_id=ContactId(contact_id)))


def shown(row: bytes) -> str:
    return f"{hashlib.blake2b(row, digest_size=8).hexdigest()} ({len(row)} bytes)"


async def test_a_busy_worker_is_verified_and_its_metrics_tell_the_same(service: Service) -> None:
    stop = asyncio.Event()
    asked = 0

    async def keep_busy(number: int) -> None:
        nonlocal asked
        while not stop.is_set():
            answer = await service.identify(external_id=f"busy-{number}-{asked % 50}", email=f"b{asked}@example.com")
            assert answer["status"] == 200
            asked += 1

    callers = [asyncio.create_task(keep_busy(number)) for number in range(4)]
    code, verdicts = await verify(service.worker, service.settings)
    before = asked
    stop.set()
    await asyncio.gather(*callers)

    assert before > 20, "the worker was busy"
    assert [verdict for verdict in verdicts if not verdict["ok"] or verdict["not_compared"]] == []
    assert code == 0
    assert {(verdict["table"], verdict["partition"]) for verdict in verdicts} == {
        (table, partition) for table in (IDENTITY, CONVERSATION) for partition in range(service.settings.partitions)
    }
    assert sum(verdict["rows"]["rocksdb"] for verdict in verdicts) > 50
    code, verdicts = await verify(service.worker, service.settings, "--all-sides")
    assert code == 0
    _, metrics = await service.worker.status("/metrics")
    compared = 0
    for verdict in (each for each in verdicts if each["offset"] is not None):
        labels = f'{{agent="{verdict["table"]}",partition="{verdict["partition"]}"}}'
        (digest,) = set(verdict["digests"].values())
        assert len(digest) == 2 * DIGEST_BYTES
        assert metric(metrics, "airy_identify_table_offset" + labels) == verdict["offset"]
        assert metric(metrics, "airy_identify_table_digest" + labels) == int(digest[:12], 16)
        compared += 1
    assert compared > 1


def metric(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, flags=re.MULTILINE)
    assert found is not None, name
    return float(found[1])


async def test_every_planted_difference_is_found_and_named(make_installation: MakeInstallation, tmp_path: Path) -> None:
    async with home(make_installation, tmp_path) as here:
        worker = here.service.worker
        ids = [(await here.service.identify(external_id=f"u-{number}"))["contact"]["id"] for number in range(4)]
        moves = [{"email": "one@example.com"}, {"email": "two@example.com"}]
        for fields in moves:
            assert (await here.service.identify(external_id="u-0", **fields))["status"] == 200
        code, verdicts = await verify(worker, here.settings, "--all-sides")
        assert (code, len(verdicts)) == (0, 4)
        assert await worker.terminate() == 0
        store = Store(here.path, StoreMemory())
        store.open()
        rows = dict(store.rows())
        store.close()

        await in_rocksdb(here, rows, contact_key(ids[1]))
        await in_the_changelog(here, rows, contact_key(ids[2]))
        await one_command_applied_twice(here, rows)

        await worker.start().until_ready()
        code, _ = await verify(worker, here.settings, "--all-sides")
        assert code == 0, "and a running worker whose rows are right again is well again"


async def in_rocksdb(here: Home, rows: dict[bytes, bytes], key: bytes) -> None:
    """A row that was changed on disk, and one that vanished: with the worker down, and when it runs again."""
    gone = contact_key(decode_contact_id(rows[key]) + "x")
    here.plant({key: altered(rows[key]), gone: b"too many"})
    found = await here.verdict()
    assert found["differing"] == 2
    assert {each["key"]: each["rows"] for each in found["differences"]} == {
        readable(key): {
            "rocksdb": shown(altered(rows[key])),
            "changelog": shown(rows[key]),
            "log": shown(rows[key]),
        },
        readable(gone): {"rocksdb": shown(b"too many"), "changelog": "absent", "log": "absent"},
    }
    assert found["digests"]["changelog"] == found["digests"]["log"] != found["digests"]["rocksdb"]
    await here.service.worker.start().until_ready()
    assert (await here.verdict())["differing"] == 2, "the worker that runs does not hide it"
    beside = here.settings.model_copy(update={"data_dir": here.service.worker.data_dir})
    code, output, _ = await call(beside, "verify", "--table", IDENTITY)
    assert code == 1
    assert "DIFFERS" in output
    assert hashlib.blake2b(key, digest_size=8).hexdigest() in output
    assert decode_contact_id(rows[key]) not in output, "keys are people's data, and hashed unless asked for"
    assert await here.service.worker.terminate() == 0
    here.plant({key: rows[key], gone: None})


async def in_the_changelog(here: Home, rows: dict[bytes, bytes], key: bytes) -> None:
    """A row that somebody else wrote into the changelog."""
    await here.plant_in_changelog({key: altered(rows[key])})
    found = await here.verdict()
    (difference,) = found["differences"]
    assert difference["key"] == readable(key)
    assert difference["rows"] == {
        "rocksdb": shown(rows[key]),
        "changelog": shown(altered(rows[key])),
        "log": shown(rows[key]),
    }
    await here.plant_in_changelog({key: rows[key]})


async def one_command_applied_twice(here: Home, rows: dict[bytes, bytes]) -> None:
    """What a worker leaves that has applied a command a second time: store and changelog agree, the log does not."""
    names = here.settings.topic_names
    commands = [
        record for record in await read(here.settings, names.identity_commands) if record.partition == here.partition
    ]
    agent = IdentityAgent(names=names, conversation_partitions=here.settings.partitions)
    store = Store(here.path, StoreMemory())
    store.open()
    batch = Batch([commands[-2]], store, {names.conversation_commands: 2, names.bridge_responses: 2})
    for record in batch:
        agent.process(record, batch)
    store.close()
    changed = {key: row for key, row in batch.rows.items() if rows.get(key) != row}
    assert changed, "the second time changes something"
    here.plant(changed)
    await here.plant_in_changelog(changed)

    found = await here.verdict()
    assert found["digests"]["rocksdb"] == found["digests"]["changelog"] != found["digests"]["log"]
    assert {each["key"] for each in found["differences"]} == {readable(key) for key in changed}
    back = {key: rows.get(key) for key in changed}
    here.plant(back)
    await here.plant_in_changelog(back)


def altered(row: bytes) -> bytes:
    contact: Any = decode_identity_row(row)
    return encode_identity_row(dataclasses.replace(contact, updated_at_ms=contact.updated_at_ms + 1))


def decode_contact_id(row: bytes) -> str:
    contact: Any = decode_identity_row(row)
    return str(contact.id)


def readable(key: bytes) -> str:
    return key.decode().replace("\x1f", " | ")
