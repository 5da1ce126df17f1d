"""`airy-identify rebuild` on real Kafka, with real workers: under traffic, killed in the middle, offline, and what it refuses."""

import asyncio
import collections
import dataclasses
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.admin import RecordsToDelete
from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.kafka import partition_for
from airy_identify.ops.admin import connect
from airy_identify.ops.child import start_child
from airy_identify.ops.topics import create_topics, read_topics
from airy_identify.settings import Settings
from airy_identify.topics import AIRY_PARTITIONS, CONVERSATION, IDENTITY, INTAKE, declare
from airy_identify.wire.generations import CURRENT, WANTED, Generation, decode_generation
from airy_identify.wire.rows import PROGRESS_KEY, decode_progress, encode_progress
from tests.kafka.commands import call
from tests.kafka.processes import ServiceProcess, ended_afterwards, environment_of
from tests.kafka.replay import everything_is_applied, read
from tests.kafka.service import poll, produce, put_channels, put_messages

MakeInstallation = Callable[..., Awaitable[Settings]]
PARTITIONS = 2
PARTITION = partition_for(b"default", PARTITIONS)
"""Of the tenant that everybody is of."""
PEOPLE = 40


@dataclass
class Home:
    """An installation of its own with one worker."""

    settings: Settings
    channel: str
    worker: ServiceProcess
    sent: int = 0

    @property
    def beside(self) -> Settings:
        """Settings of a command that runs beside the worker."""
        return self.settings.model_copy(update={"data_dir": self.worker.data_dir})

    async def identify(self, count: int) -> None:
        """Ask for people over Kafka, for most of them again and again, and let them say something."""
        requests = []
        for number in range(self.sent, self.sent + count):
            fields = {"channel_id": self.channel, "external_id": f"u-{number % PEOPLE}"}
            fields |= {"email": f"e{number}@example.com", "request_id": f"request-{number}"}
            requests.append((None, json.dumps(fields).encode(), ()))
        messages = [
            {"id": f"m-{number}", "conversation_id": f"c-{number % PEOPLE}", "channel_id": self.channel}
            for number in range(self.sent, self.sent + count)
        ]
        self.sent += count
        await produce(self.settings, self.settings.topic_names.requests, *requests)
        await put_messages(self.settings, *messages)

    async def answers(self) -> list[ConsumerRecord]:
        return await read(self.settings, self.settings.topic_names.responses)

    async def settled(self) -> bool:
        """Whether every request that was sent has an answer."""
        return len({record.key for record in await self.answers()}) >= self.sent

    async def rebuild(self, *arguments: str) -> tuple[int, str, str]:
        return await call(self.beside, "rebuild", *arguments)

    async def decided(self, state: str = CURRENT) -> list[Generation]:
        records = await read(self.settings, self.settings.topic_names.generations)
        return [found for record in records if (found := decode_generation(record.value)).state == state]

    async def assert_answered_once(self) -> None:
        found = collections.Counter(record.key.decode() for record in await self.answers())
        assert found == collections.Counter(f"request-{number}" for number in range(self.sent))
        people = collections.defaultdict(set)
        for record in await self.answers():
            answer = json.loads(record.value)
            people[answer["contact"]["external_id"]].add((answer["contact"]["id"], answer["conversations"][0]["id"]))
        assert {len(ids) for ids in people.values()} == {1}, "nobody got another id"
        uncommitted = await read(self.settings, self.settings.topic_names.responses, read_committed=False)
        seen = collections.defaultdict(set)
        for record in uncommitted:
            seen[record.key].add(record.value)
        assert {len(values) for values in seen.values()} == {1}, "what was seen twice is the same"

    async def verdicts(self) -> list[dict[str, Any]]:
        """Verify everything on all sides; it has to be well."""
        code, output, errors = await call(self.beside, "verify", "--all-sides", "--json")
        assert code == 0, output + errors
        found: list[dict[str, Any]] = json.loads(output)
        return found


@asynccontextmanager
async def home(make_installation: MakeInstallation, directory: Path) -> AsyncIterator[Home]:
    settings = await make_installation(partitions=PARTITIONS)
    channel = str(uuid.uuid4())
    await put_channels(settings, [channel])
    worker = ServiceProcess("worker", settings, directory)
    async with ended_afterwards(worker):
        await worker.start().until_ready()
        yield Home(settings, channel, worker)


class Rebuilding:
    """`airy-identify rebuild` as a process of its own, to be killed."""

    def __init__(self, settings: Settings, log_file: Path, *arguments: str) -> None:
        self.log_file = log_file
        command = [sys.executable, "-m", "airy_identify", "rebuild", *arguments]
        with log_file.open("ab") as output:
            self._process: subprocess.Popen[bytes] = start_child(
                command, output=output, environment=environment_of(settings)
            )

    @property
    def said(self) -> str:
        return self.log_file.read_text()

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    async def ended(self) -> int:
        return await asyncio.to_thread(self._process.wait, 120)


async def test_under_traffic_and_killed_on_the_way(make_installation: MakeInstallation, tmp_path: Path) -> None:
    """A rebuild is killed while it builds, the worker when the switch is offered; nothing is lost, repeated or changed."""
    async with home(make_installation, tmp_path) as here:
        await here.identify(200)
        await poll(here.settled, "not answered")
        stop = asyncio.Event()
        stopped = asyncio.create_task(stop.wait())

        async def traffic() -> None:
            while not stop.is_set():
                await here.identify(4)
                await asyncio.wait({stopped}, timeout=0.3)

        calling = asyncio.create_task(traffic())
        chosen = ("--table", IDENTITY, "--partition", str(PARTITION))
        first = Rebuilding(here.beside, tmp_path / "first.log", *chosen)

        async def building() -> bool:
            assert first.runs, first.said
            return f"{IDENTITY} {PARTITION}: building" in first.said

        await poll(building, "it did not begin")
        first.kill()

        second = Rebuilding(here.beside, tmp_path / "second.log")

        async def offered() -> bool:
            assert second.runs, second.said
            return any(each.partition == PARTITION for each in await here.decided(WANTED))

        await poll(offered, "it was not offered")
        here.worker.kill()
        await here.worker.start().until_ready()
        assert await second.ended() == 0, second.said
        assert f"OK      {IDENTITY} {PARTITION}: generation 2" in second.said
        stop.set()
        await calling
        await poll(here.settled, "not answered any more")
        await poll(lambda: everything_is_applied_now(here.settings), "not applied")

        await here.assert_answered_once()
        current = await here.decided()
        assert {(each.agent, each.partition, each.generation) for each in current} == {
            (table, number, 2) for table in (IDENTITY, CONVERSATION) for number in range(PARTITIONS)
        }
        verdicts = await here.verdicts()
        _, metrics = await here.worker.status("/metrics")
        generation = f'airy_identify_table_generation{{agent="{IDENTITY}",partition="{PARTITION}"}} 2.0'
        assert generation in metrics
        code, output, _ = await here.rebuild("--check", "--json")
        assert (code, {each["generation"] for each in json.loads(output)}) == (0, {2})
        await two_rebuilds_of_one_log_give_the_same(here, tmp_path, verdicts)
        await what_nobody_uses_is_thrown_away(here)


async def everything_is_applied_now(settings: Settings) -> bool:
    """Whether the tables of generation 2 stand at the end of their logs."""
    names = settings.topic_names
    for table, log in ((IDENTITY, names.identity_commands), (CONVERSATION, names.conversation_commands)):
        ends = {record.partition: record.offset for record in await read(settings, log)}
        stands = {
            record.partition: decode_progress(record.value).offset
            for record in await read(settings, names.changelog(table, 2))
            if record.key == PROGRESS_KEY
        }
        if stands != ends:
            return False
    return True


async def two_rebuilds_of_one_log_give_the_same(here: Home, directory: Path, verdicts: list[dict[str, Any]]) -> None:
    """Another machine, other directories, all at once: the digests are those of before."""
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    code, output, errors = await here.rebuild("--all-at-once", "--json", "--work-dir", str(elsewhere))
    assert code == 0, errors
    digests = {(each["table"], each["partition"]): each["digest"] for each in json.loads(output)}
    before = {(each["table"], each["partition"]): each["digests"]["log"] for each in verdicts}
    assert {place: digest for place, digest in digests.items() if digest} == {
        place: digest for place, digest in before.items() if digests[place]
    }
    assert len([digest for digest in digests.values() if digest]) >= 3
    assert {each["generation"] for each in json.loads(output)} == {3}


async def what_nobody_uses_is_thrown_away(here: Home) -> None:
    names = here.settings.topic_names
    code, _, errors = await here.rebuild("--discard-old")
    assert code == 1, "nobody is there to say yes"
    assert "Delete them?" in errors
    code, output, errors = await here.rebuild("--discard-old", "--yes", "--json")
    assert code == 0, errors
    former = [names.changelog(table, number) for table in (IDENTITY, CONVERSATION) for number in (1, 2)]
    assert json.loads(output)["topics"] == former
    assert len(json.loads(output)["directories"]) == 4 * PARTITIONS
    assert not any(map(os.path.exists, json.loads(output)["directories"]))
    assert set(await read_topics(here.settings.kafka_bootstrap_servers, former)) == set()
    for command in (("topics", "check"), ("topics", "create"), ("state", "stats")):
        code, output, errors = await call(here.settings, *command)
        assert code == 0, errors
    assert set(await read_topics(here.settings.kafka_bootstrap_servers, former)) == set(), "and is not made again"
    assert await here.worker.terminate() == 0
    here.worker.wipe()
    await here.worker.start().until_ready()
    await here.identify(20)
    await poll(here.settled, "not answered")
    await here.assert_answered_once()
    await here.verdicts()


async def delete_topics(settings: Settings, *topics: str) -> None:
    async with connect(settings.kafka_bootstrap_servers) as admin:
        await admin.delete_topics(list(topics))


async def make_changelogs(settings: Settings, *topics: str) -> None:
    declared = declare(
        settings.topic_names, partitions=PARTITIONS, messages_partitions=AIRY_PARTITIONS, production=False
    )
    wanted = [topic for topic in declared if topic.name in topics]
    await create_topics(settings.kafka_bootstrap_servers, wanted, replication_factor=1)


async def test_changelogs_that_are_lost(make_installation: MakeInstallation, tmp_path: Path) -> None:
    """Made anew and empty: the shards close, and say what to run. It is run, and they open by themselves."""
    async with home(make_installation, tmp_path) as here:
        names = here.settings.topic_names
        await here.identify(100)
        await poll(here.settled, "not answered")
        await poll(lambda: everything_is_applied(here.settings), "not applied")
        before = {(each["table"], each["partition"]): each["digests"]["log"] for each in await here.verdicts()}
        assert await here.worker.terminate() == 0
        lost = [names.changelog(table) for table in (IDENTITY, CONVERSATION, INTAKE)]
        await delete_topics(here.settings, *lost)
        await make_changelogs(here.settings, *lost)
        here.worker.start()

        async def closed() -> bool:
            _, reasons = await here.worker.status()
            return f"{INTAKE}-changelog:" in reasons and "`airy-identify rebuild --check`" in reasons

        await poll(closed, "the shards did not close")
        code, _, errors = await here.rebuild("--table", IDENTITY, "--partition", str(PARTITION))
        assert code == 1
        assert "its shard is closed, and cannot hand over; run `airy-identify rebuild --offline" in errors
        code, output, errors = await here.rebuild("--check", "--json", "--table", IDENTITY)
        (reach,) = [each for each in json.loads(output) if each["partition"] == PARTITION]
        assert str(here.worker.data_dir) in reach["answered"]["source"], (
            "the directory knows how far the log was answered"
        )
        tables = ("--table", IDENTITY, "--table", CONVERSATION, "--table", INTAKE)
        code, output, errors = await here.rebuild("--offline", *tables)
        assert code == 1, "nobody is there to say yes"
        code, output, errors = await here.rebuild("--offline", "--yes", "--json", *tables)
        assert code == 0, errors
        digests = {(each["table"], each["partition"]): each["digest"] for each in json.loads(output)}
        filled = {place: digest for place, digest in digests.items() if place in before and digest}
        assert len(filled) >= 3
        assert filled == {place: before[place] for place in filled}
        await here.worker.until_ready()
        await here.identify(50)
        await poll(here.settled, "not answered any more")
        await here.assert_answered_once()
        await here.verdicts()


async def test_a_damaged_table_and_a_log_that_is_too_short(make_installation: MakeInstallation, tmp_path: Path) -> None:
    async with home(make_installation, tmp_path) as here:
        names = here.settings.topic_names
        await here.identify(60)
        await poll(here.settled, "not answered")
        await poll(lambda: everything_is_applied(here.settings), "not applied")
        await a_running_table_that_is_not_what_its_log_gives(here)
        await poll(lambda: everything_is_applied_now(here.settings), "not applied")
        log = TopicPartition(names.identity_commands, PARTITION)
        async with connect(here.settings.kafka_bootstrap_servers) as admin:
            await admin.delete_records({log: RecordsToDelete(20)})
        chosen = ("--table", IDENTITY, "--partition", str(PARTITION))
        for arguments in (("--check",), ()):
            code, output, errors = await here.rebuild(*chosen, *arguments)
            assert code == 1
            assert f"{names.identity_commands} begins at offset 20" in output + errors
        assert {each.generation for each in await here.decided()} == {2}
        code, output, errors = await here.rebuild(*chosen, "--accept-gaps")
        assert code == 1, "what is left of the log is not what the table holds"
        assert "rows of the running table are not what its log gives" in errors
        await here.identify(10)
        await poll(here.settled, "not answered any more")
        await here.assert_answered_once()


async def a_running_table_that_is_not_what_its_log_gives(here: Home) -> None:
    """A row that somebody else wrote, with a progress row that says so: refused, unless it is to be replaced."""
    names = here.settings.topic_names
    assert await here.worker.terminate() == 0
    here.worker.wipe()
    changelog = [each for each in await read(here.settings, names.changelog(IDENTITY)) if each.partition == PARTITION]
    (key, row) = next((each.key, each.value) for each in changelog if b"contact" in each.key)
    latest = {each.key: each.value for each in changelog}
    await produce(
        here.settings,
        names.changelog(IDENTITY),
        (key + b"-of-nobody", row, ()),
        (PROGRESS_KEY, without_digest(latest[PROGRESS_KEY]), ()),
        partition=PARTITION,
    )
    await here.worker.start().until_ready()
    code, _, errors = await here.rebuild("--table", IDENTITY, "--partition", str(PARTITION))
    assert code == 1
    assert "1 rows of the running table are not what its log gives: nothing was switched" in errors
    assert await here.decided() == []
    code, output, errors = await here.rebuild("--table", IDENTITY, "--replace-different", "--show-keys")
    assert code == 0, errors
    assert "1 rows of the running table were not what its log gives" in output
    assert "-of-nobody" in output
    code, output, errors = await here.rebuild("--table", CONVERSATION)
    assert code == 0, errors
    await here.verdicts()


def without_digest(row: bytes) -> bytes:
    """Return the progress row as an earlier release wrote it."""
    return encode_progress(dataclasses.replace(decode_progress(row), digest=None))
