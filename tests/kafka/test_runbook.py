"""Entries of docs/runbook.md on an installation of their own, which each brings into a state and back out of it."""

import asyncio
import json
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiokafka.admin import NewPartitions, RecordsToDelete
from aiokafka.structs import TopicPartition
from pydantic import SecretStr

from airy_identify.kafka import partition_for
from airy_identify.ops.admin import connect
from airy_identify.ops.generations import read_generations
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.settings import Settings
from airy_identify.stream.store import Store, StoreMemory
from airy_identify.topics import CONTACTS, CONVERSATION, IDENTITY, INTAKE, of_generation
from airy_identify.wire.resume_token import decode_secret
from airy_identify.wire.rows import PROGRESS_KEY
from airy_identify.wire.schemas import Schemas, decode, schema_directory
from tests.kafka.conftest import JWT_SECRET, SYSTEM_TOKEN, create_all_topics, settings_of
from tests.kafka.processes import ServiceProcess
from tests.kafka.replay import read
from tests.kafka.runbook import Entry, configure_topic, entry
from tests.kafka.service import Service, poll, produce, put_channels
from tests.kafka.snippets import Snippet, run_snippet
from tests.kafka.test_misfits import may_mount

ROOT = Path(__file__).parents[2]
PARTITIONS = 2
NEW_SECRET = "c2Vjb25kLXNlY3JldC1vZi10aGlydHktdHdvLWJ5dGVzLW9yLW1vcmU="
SMALL_LIMIT_BYTES = 2_000
DEFAULT_PARTITION = partition_for(b"default", PARTITIONS)
OTHER_CHANNEL = "0c4a9f1e-0000-4000-8000-000000000002"
OTHER_TENANT = next(
    name for name in ("one", "two", "three", "four") if partition_for(name.encode(), PARTITIONS) != DEFAULT_PARTITION
)
"""A tenant in the other partition."""


@dataclass
class House:
    """An installation with one worker and one bridge. Each test finds it ready, and may change its worker."""

    settings: Settings
    channel: str
    worker: ServiceProcess
    bridge: ServiceProcess

    @property
    def service(self) -> Service:
        return Service(self.settings, self.channel, self.worker, self.bridge)

    async def ready(self) -> None:
        if not self.worker.runs:
            self.worker.start()
        await self.worker.until_ready()

    async def ask(self, *, size_bytes: int = 0, count: int = 1, tenant: str = "default") -> None:
        """Put requests of new people, so large, on the topic of requests."""
        requests = [
            {
                "channel_id": self.channel if tenant == "default" else OTHER_CHANNEL,
                "external_id": str(uuid.uuid4()),
                "metadata": {"text": "x" * size_bytes},
                "tenant": tenant,
            }
            for _ in range(count)
        ]
        records = [(None, json.dumps(request).encode(), ()) for request in requests]
        await produce(self.settings, self.settings.topic_names.requests, *records)

    async def until_nothing_is_left(self) -> None:
        """Return when every request has its answer."""
        names = self.settings.topic_names

        async def all_answered() -> bool:
            requests, answers = [await read(self.settings, each) for each in (names.requests, names.responses)]
            return len(answers) >= len(requests)

        await poll(all_answered, "not everything was answered")

    async def until_it_says(self, *words: str) -> None:
        async def says() -> bool:
            text = (await self.worker.status())[1]
            return all(word in text for word in words)

        await poll(says, f"the worker does not say {words}")

    def stores(self) -> list[Path]:
        """Return the directories of the shards."""
        return sorted((self.worker.data_dir / self.settings.topic_names.app_id).glob("*-[0-9]"))


@pytest.fixture(scope="module")
def house_of_all(broker: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory, channel = tmp_path_factory.mktemp("runbook"), str(uuid.uuid4())
    settings = settings_of(
        broker,
        directory,
        partitions=PARTITIONS,
        request_timeout_ms=30_000,
        channel_tenants={OTHER_CHANNEL: OTHER_TENANT},
        requests_tenants=frozenset({"default", OTHER_TENANT}),
    )
    worker, bridge = (ServiceProcess(command, settings, directory) for command in ("worker", "web"))
    house = House(settings, channel, worker, bridge)

    async def start() -> None:
        await create_all_topics(settings)
        await put_channels(settings, [channel, OTHER_CHANNEL])
        await house.ready()
        await bridge.start().until_ready()
        assert (await house.service.identify(external_id="runbook"))["status"] == 200

    try:
        asyncio.run(start())
        yield house
    finally:
        house.worker.kill()
        bridge.kill()


@pytest.fixture
async def house(house_of_all: House) -> House:
    await house_of_all.ready()
    return house_of_all


async def verified(book: Entry, **variables: str) -> None:
    """Run the step "Verify", which ends in `verify`, and see that this says so of every partition."""
    said = await book.run("Verify", **variables)
    assert said.count("(rocksdb, changelog, log)") == said.count("OK      ") == 2 * PARTITIONS, said


def lags(said: str) -> dict[str, int]:
    """Return the lag of each topic that the group has offsets of."""
    lines = [line.split() for line in said.splitlines() if line.startswith("test-")]
    found: dict[str, int] = {}
    for _, topic, _, _, _, lag, *_ in lines:
        found[topic] = found.get(topic, 0) + (0 if lag == "-" else int(lag))
    return found


async def test_a_lag_that_grows(house: House, tmp_path: Path) -> None:
    async with entry("Answers take long, and the lag grows", tmp_path) as book:
        book.use(house.settings, house.worker)
        assert await house.worker.terminate() == 0
        await house.ask(count=20)
        requests = house.settings.topic_names.requests
        said = await book.run("Check")
        assert lags(said)[requests] >= 20, said
        second = ServiceProcess("worker", house.settings, tmp_path, name="second")
        house.worker = book.start("Act", second, SECOND_DIRECTORY=str(second.data_dir), SECOND_PORT=str(second.port))
        await second.until_ready()

        async def caught_up() -> bool:
            return set(lags(await book.run("Verify")).values()) == {0}

        await poll(caught_up, "the lag does not fall")
    assert len(await read(house.settings, house.settings.topic_names.responses)) >= 20


async def test_a_disk_that_is_lost(house: House, tmp_path: Path) -> None:
    assert await house.worker.terminate() == 0
    for store in house.stores():
        if store.name.startswith(IDENTITY):
            shutil.rmtree(store)
            store.write_bytes(b"no directory any more")
    house.worker.start()
    await house.until_it_says("is closed", str(house.worker.data_dir))
    async with entry("A worker has lost its disk", tmp_path) as book:
        book.use(house.settings, house.worker)
        assert str(house.worker.data_dir) in await book.run("Check")
        assert await house.worker.terminate() == 0
        book.start("Act", house.worker)
        await verified(book)
    assert f"{house.worker.data_dir.name}.broken" in {path.name for path in house.worker.data_dir.parent.iterdir()}


async def test_a_directory_of_another_cluster(house: House, tmp_path: Path) -> None:
    assert await house.worker.terminate() == 0
    for directory in house.stores():
        store = Store(directory, StoreMemory())
        state = store.open()
        assert state is not None
        store.write((), position=state.position, now_ms=state.synced_at_ms, cluster_id="another-cluster")
        store.close()
    house.worker.start()
    await house.until_it_says("another-cluster", "AIRY_IDENTIFY_DATA_DIR")
    async with entry("The directory is another cluster's", tmp_path) as book:
        book.use(house.settings, house.worker)
        said = await book.run("Check")
        assert "another-cluster" in said
        assert str(house.worker.data_dir) in said
        assert await house.worker.terminate() == 0
        own = tmp_path / "own"
        book.start("Act", house.worker, OWN_DIRECTORY=str(own))
        await verified(book, OWN_DIRECTORY=str(own))
    house.worker.settle(data_dir=own)


async def test_a_limit_that_was_lowered(house: House, tmp_path: Path) -> None:
    topic = house.settings.topic_names.changelog(IDENTITY)
    await configure_topic(house.settings, topic, "max.message.bytes", SMALL_LIMIT_BYTES)
    await house.ask(size_bytes=2 * SMALL_LIMIT_BYTES)
    await house.until_it_says("is closed", "a topic does not take a record")
    async with entry("A topic does not take a record any more", tmp_path) as book:
        book.use(house.settings, house.worker)
        ran = await book.try_to("Check")
        limit = re.search(rf"{topic}: max\.message\.bytes is {SMALL_LIMIT_BYTES}, not (\d+)", ran.output + ran.errors)
        assert limit, ran
        assert await house.worker.terminate() == 0
        await book.start("Act", house.worker, TOPIC=topic, LIMIT=limit[1]).until_ready()
        await verified(book)


async def test_changelogs_that_are_lost_or_do_not_fit(house: House, tmp_path: Path) -> None:
    """One partition's lost its start, another's its end, and the topic of the other table was deleted."""
    names = house.settings.topic_names
    for tenant in ("default", OTHER_TENANT):
        await house.ask(count=3, tenant=tenant)
    await house.until_nothing_is_left()
    assert await house.worker.terminate() == 0
    identity, conversation = names.changelog(IDENTITY), names.changelog(CONVERSATION)
    stand_at(house, f"{IDENTITY}-{1 - DEFAULT_PARTITION}", 1_000_000)
    await configure_topic(house.settings, identity, "cleanup.policy", "delete")
    async with connect(house.settings.kafka_bootstrap_servers) as admin:
        await admin.delete_records({TopicPartition(identity, DEFAULT_PARTITION): RecordsToDelete(2)})
        await admin.delete_topics([conversation])
    await configure_topic(house.settings, identity, "cleanup.policy", "compact")
    answers = len(await read(house.settings, names.responses))
    async with entry("A changelog is lost, or does not fit", tmp_path) as book:
        book.use(house.settings, house.worker, TABLE=IDENTITY, PARTITION=str(DEFAULT_PARTITION))
        create = book.steps["Act"].splitlines()[0]
        await run_snippet(Snippet({}, create, {}), tmp_path, book.variables)
        house.worker.start()
        await house.until_it_says(
            f"{identity}:{DEFAULT_PARTITION}: the changelog begins at offset 2",
            f"{identity}:{1 - DEFAULT_PARTITION}: the directory",
            f"{conversation}:0: the directory",
            f"{conversation}:1: the directory",
            "airy-identify rebuild",
            "docs/runbook.md",
        )
        assert "everything can be made again" in await book.run("Check")
        for table in (IDENTITY, CONVERSATION):
            for number in range(PARTITIONS):
                said = await book.run("Act", TABLE=table, PARTITION=str(number))
                assert f"OK      {table} {number}: generation" in said
        await verified(book)
    assert len(await read(house.settings, names.responses)) == answers, "something was answered again"


def stand_at(house: House, name: str, position: int) -> None:
    """Let the directory of a shard stand elsewhere in its changelog."""
    (directory,) = [path for path in house.stores() if path.name == name]
    store = Store(directory, StoreMemory())
    state = store.open()
    assert state is not None
    store.write((), position=position, now_ms=state.synced_at_ms)
    store.close()


async def test_a_table_that_is_not_what_its_log_gives(house: House, tmp_path: Path) -> None:
    names = house.settings.topic_names
    await house.ask(count=3)
    await house.until_nothing_is_left()
    place = {"TABLE": IDENTITY, "PARTITION": str(DEFAULT_PARTITION)}
    async with entry("A table is not what its log gives", tmp_path) as book:
        book.use(house.settings, house.worker, **place)
        assert await house.worker.terminate() == 0
        row = await a_row(house, DEFAULT_PARTITION)
        await produce(
            house.settings,
            await current_changelog(house, DEFAULT_PARTITION),
            (row, None, ()),
            partition=DEFAULT_PARTITION,
        )
        await house.ready()
        said = await book.run("Check")
        assert "they differ" in said
        assert "everything can be made again" in said
        answers = len(await read(house.settings, names.responses))
        assert f"OK      {IDENTITY} {DEFAULT_PARTITION}: generation" in await book.run("Act")
        await verified(book)
    assert len(await read(house.settings, names.responses)) == answers, "something was answered again"


async def current_changelog(house: House, partition: int) -> str:
    """Return the changelog that the partition of the table `contact-identity` has now."""
    generations = await read_generations(house.settings)
    return of_generation(house.settings.topic_names.changelog(IDENTITY), generations.number(IDENTITY, partition))


async def a_row(house: House, partition: int) -> bytes:
    """Return the key of a row that the changelog holds."""
    records = await read(house.settings, await current_changelog(house, partition))
    kept = {record.key: record.value for record in records if record.partition == partition}
    key: bytes = next(key for key, row in kept.items() if row is not None and key != PROGRESS_KEY)
    return key


async def test_a_log_that_has_lost_what_was_not_applied(house: House, tmp_path: Path) -> None:
    requests = house.settings.topic_names.requests
    await ask_here(house, count=1)
    await house.until_nothing_is_left()
    assert await house.worker.terminate() == 0
    end = await ask_here(house, count=5)
    async with connect(house.settings.kafka_bootstrap_servers) as admin:
        await admin.delete_records({TopicPartition(requests, 0): RecordsToDelete(end - 1)})
    house.worker.start()
    await house.until_it_says(f"{requests}:0: offset", f"but the log holds {end - 1} to {end - 1}", "docs/runbook.md")
    answered = len(await read(house.settings, house.settings.topic_names.responses))
    async with entry("A log has lost records that were not applied", tmp_path) as book:
        book.use(house.settings, house.worker, TABLE=INTAKE, PARTITION="0", LAST_GONE=str(end - 2))
        assert f"holds offsets {end - 1} to {end - 1}" in await book.run("Check")
        await book.run("Act")
        await verified(book)

    async def one_more() -> bool:
        return len(await read(house.settings, house.settings.topic_names.responses)) == answered + 1

    await poll(one_more, "the request that is left was not answered")


async def ask_here(house: House, *, count: int) -> int:
    """Put requests on partition 0; return the offset after them."""
    request = json.dumps({"channel_id": house.channel, "external_id": str(uuid.uuid4())}).encode()
    requests = house.settings.topic_names.requests
    await produce(house.settings, requests, *((None, request, ()) for _ in range(count)), partition=0)
    records = await read(house.settings, requests)
    return 1 + max(int(record.offset) for record in records if record.partition == 0)


async def test_a_changelog_with_more_partitions(house: House, tmp_path: Path) -> None:
    names = house.settings.topic_names
    assert await house.worker.terminate() == 0
    changelog = names.changelog(CONTACTS)
    async with connect(house.settings.kafka_bootstrap_servers) as admin:
        (described,) = await admin.describe_topics([changelog])
        count = len(described["partitions"])
        await admin.create_partitions({changelog: NewPartitions(count + 1)})
    house.worker.start()
    assert await house.worker.ended() == 1
    async with entry("A changelog has other partitions", tmp_path) as book:
        book.use(house.settings, house.worker, TABLE=CONTACTS)
        ran = await book.try_to("Check")
        assert f"{changelog}: has {count + 1} partitions, not {count}" in ran.output + ran.errors
        await book.start("Act", house.worker).until_ready()
        await verified(book)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 48 MiB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(directory)], check=True)
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


@pytest.mark.skipif(not may_mount(), reason="only root may mount")
async def test_a_disk_that_is_full(house: House, small_disk: Path, tmp_path: Path) -> None:
    assert await house.worker.terminate() == 0
    usual = house.worker.data_dir
    house.worker.settle(data_dir=small_disk / "state")
    await house.ready()
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        while fits(file, bytes(64 * 1024)):
            pass
    await house.ask(size_bytes=15_000, count=100)
    await house.until_it_says("is closed", "No space left on device")
    async with entry("The disk is full", tmp_path) as book:
        book.use(house.settings, house.worker)
        assert "100%" in await book.run("Check")
        filler.unlink()
        assert await house.worker.terminate() == 0
        book.start("Act", house.worker)
        await verified(book, ROOMY_DIRECTORY=str(tmp_path))
    assert await house.worker.terminate() == 0
    house.worker.settle(data_dir=usual)


def fits(file: Any, data: bytes) -> bool:
    try:
        file.write(data)
    except OSError:
        return False
    return True


async def test_a_new_jwt_secret(house: House, tmp_path: Path) -> None:
    async with entry("The JWT secret changes", tmp_path) as book:
        book.use(house.settings, house.worker, BRIDGE=house.bridge.url, CHANNEL=house.channel)
        said = await book.run("Check")
        assert "AIRY_IDENTIFY_JWT_SECRET" in said
        assert JWT_SECRET not in said
        assert await house.worker.terminate() == 0
        book.start("Act", house.worker, NEW_SECRET=NEW_SECRET)
        said = await book.run("Verify")
    token = json.loads(said[said.index('{"request_id"') :])["conversations"][0]["resume_token"]
    assert jwt.decode(token, decode_secret(NEW_SECRET), algorithms=["HS256"])
    house.settings = house.settings.model_copy(
        update={"jwt_secret": SecretStr(NEW_SECRET), "jwt_previous_secret": SecretStr(JWT_SECRET)}
    )
    house.worker.settle(jwt_secret=NEW_SECRET, jwt_previous_secret=JWT_SECRET)


async def test_a_new_system_token(house: House, tmp_path: Path) -> None:
    second = ServiceProcess("web", house.settings, tmp_path, name="second")
    try:
        async with entry("The system token changes", tmp_path) as book:
            book.use(house.settings, house.worker)
            assert SYSTEM_TOKEN not in await book.run("Check")
            new = {"NEW_TOKEN": "a-new-token", "SECOND_PORT": str(second.port), "SECOND_BRIDGE": second.url}
            book.start("Act", second, **new)
            said = await book.run("Verify", **new)
        assert '"external_id":"runbook"' in said.replace(" ", "")
        assert said.endswith("401\n")
    finally:
        second.kill()


async def test_back_to_an_older_version(house: House, tmp_path: Path) -> None:
    """The older one is a copy of this one; the newer has one more field in its commands, and one more record."""
    older, newer = tmp_path / "older", tmp_path / "newer"
    for name in ("airy_identify", "schemas"):
        shutil.copytree(ROOT / name, older / name, ignore=shutil.ignore_patterns("__pycache__"))
    await house.ask()
    newest = await newest_command(house)
    definitions = newer_schemas(newer)
    assert await house.worker.terminate() == 0
    name, datum = decode(newest)
    value = Schemas(definitions).encode(name, datum | {"note": None})
    await produce(house.settings, house.settings.topic_names.identity_commands, (b"default", value, ()))
    async with entry("Back to an older version", tmp_path) as book:
        book.use(house.settings, house.worker, PYTHONPATH=str(older), NEWER_SCHEMAS=str(newer))
        house.worker.run(["airy-identify", "worker"], book.environment)
        await house.until_it_says("is paused", "unknown Avro schema")
        assert "unknown Avro schema" in await book.run("Check")
        assert await house.worker.terminate() == 0
        book.start("Act", house.worker)
        await verified(book)
    assert await house.worker.terminate() == 0


async def newest_command(house: House) -> bytes:
    """Return the newest command, once nothing is under way."""
    names = house.settings.topic_names

    async def accepted() -> bytes | None:
        requests, commands = [await read(house.settings, each) for each in (names.requests, names.identity_commands)]
        return commands[-1].value if commands and commands[-1].timestamp >= requests[-1].timestamp else None

    value: bytes = await poll(accepted, "the request did not become a command")
    return value


def newer_schemas(directory: Path) -> list[dict[str, Any]]:
    """Write the schemas of a newer version; return them."""
    directory.mkdir()
    definitions = [json.loads(path.read_text()) for path in sorted(schema_directory().glob("*.avsc"))]
    for definition in definitions:
        if definition["name"] == "IdentifyCommand":
            definition["fields"].append({"name": "note", "type": ["null", "string"], "default": None})
    fields = [{"name": "text", "type": "string"}]
    definitions.append({"type": "record", "name": "Novelty", "namespace": "airy_identify", "fields": fields})
    for definition in definitions:
        (directory / f"{definition['name']}.avsc").write_text(json.dumps(definition))
    return definitions
