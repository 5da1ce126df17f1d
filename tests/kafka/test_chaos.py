"""Chaos: three workers are killed, terminated, joined and frozen under load, and nothing is lost, doubled or wrong.

The load has every command in it, and people whom they merge, part and forget all the time.

`CHAOS_MINUTES` and `CHAOS_SEED` make it longer or another one: `make chaos MINUTES=10`. Each table has a standby, or as
many as `CHAOS_STANDBYS` says: `make chaos STANDBYS=0`.
"""

import asyncio
import collections
import json
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from airy_identify.core.values import Message
from airy_identify.ops.topics import read_topics
from airy_identify.settings import Settings
from airy_identify.stream.store import Store, StoreMemory
from airy_identify.topics import AIRY_PARTITIONS, CONVERSATION, IDENTITY, declare
from airy_identify.wire.answers import ANSWER_SCHEMA_HEADER, ERROR_RESPONSE
from airy_identify.wire.conversation_commands import decode_conversation_command
from airy_identify.wire.rows import PROGRESS_KEY
from tests.kafka.chaos_load import CHANNELS, Load
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.replay import Oracle, Rows, everything_is_applied, fold, nonempty, read
from tests.kafka.service import poll, put_channels, shard_count
from tests.records import asked_in

MINUTES = float(os.environ.get("CHAOS_MINUTES", "1"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
STANDBYS = int(os.environ.get("CHAOS_STANDBYS", "1"))
WORKERS = 3
FROZEN_S = (7.0, 11.0)
"""How long a worker is frozen: longer than the session timeout of 6 s."""
SETTLED_DEADLINE_S = 150.0


@dataclass
class Havoc:
    """Kills, terminates, freezes and starts workers at random, and wipes a directory now and then."""

    workers: list[ServiceProcess]
    random: random.Random
    events: collections.Counter[str] = field(default_factory=collections.Counter)

    async def run_until(self, done: asyncio.Task[None]) -> None:
        while not done.done():
            await asyncio.wait({done}, timeout=self.random.uniform(3, 8))
            if not done.done():
                await self._event()
        for worker in self.workers:
            if not worker.runs:
                worker.start()

    async def _event(self) -> None:
        self._assert_nobody_died()
        down = [worker for worker in self.workers if not worker.runs]
        up = [worker for worker in self.workers if worker.runs]
        if down and (len(up) == 1 or self.random.random() < 0.6):
            worker = self.random.choice(down)
            if self.random.random() < 0.4:
                worker.wipe()
                self.events["wiped"] += 1
            worker.start()
            self.events["joined"] += 1
            return
        worker = self.random.choice(up)
        what = self.random.choice(["killed", "terminated", "frozen"])
        self.events[what] += 1
        if what == "killed":
            worker.kill()
        elif what == "terminated":
            listening = (await worker.status("/healthz"))[0] == 200
            # One that is still being imported has no signal handler yet, and nothing to end in good order.
            assert await worker.terminate() in ({0} if listening else {0, -signal.SIGTERM})
        else:
            worker.send(signal.SIGSTOP)
            try:
                await asyncio.wait({asyncio.create_task(asyncio.sleep(self.random.uniform(*FROZEN_S)))})
            finally:
                worker.send(signal.SIGCONT)

    def _assert_nobody_died(self) -> None:
        """A worker that is down was killed (-9) or terminated (0, or -15 while it started); anything else ended by itself."""
        for worker in self.workers:
            words = worker.log_file.read_text().splitlines()[-5:] if worker.log_file.exists() else []
            assert worker.runs or worker.exit_code in {None, -signal.SIGKILL, -signal.SIGTERM, 0}, words


async def until_settled(settings: Settings, load: Load) -> None:
    """Wait until every request is answered and everything is applied; the asserts afterwards say what is missing."""
    names, wanted = settings.topic_names, len(load.requests) + len(load.refused)
    deadline = time.monotonic() + SETTLED_DEADLINE_S
    while time.monotonic() < deadline:
        answers = {record.key for record in await read(settings, names.responses)}
        if len(answers) >= wanted and await everything_is_applied(settings):
            return
        await asyncio.sleep(1.0)  # before the deadline: reading everything again and again would only slow it down


async def every_shard_runs(settings: Settings, worker: ServiceProcess) -> bool:
    """Whether a worker has everything: who was killed while joining has partitions until its session times out."""
    _, metrics = await worker.status("/metrics")
    running = [
        line for line in metrics.splitlines() if line.startswith("airy_identify_shard_state") and "running" in line
    ]
    return len(running) == shard_count(settings)


def rows_of_stores(data_dir: Path, app_id: str, agent: str, partitions: int) -> dict[int, Rows]:
    tables: dict[int, Rows] = {}
    for partition in range(partitions):
        store = Store(data_dir / app_id / f"{agent}-{partition}", StoreMemory())
        assert (store.path / "CURRENT").exists(), f"{store.path} was never opened"
        store.open()
        tables[partition] = {key: row for key, row in store.rows() if key != PROGRESS_KEY}
        store.close()
    return nonempty(tables)


async def test_nothing_is_lost_doubled_or_wrong(
    make_installation: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    settings = await make_installation(
        channel_tenants={channel: tenant for tenant, channel in CHANNELS.items()},
        requests_tenants=None,
        standby_replicas=STANDBYS,
    )
    await put_channels(settings, CHANNELS.values())
    load = Load(settings, random.Random(SEED), MINUTES)
    havoc = Havoc(
        [ServiceProcess("worker", settings, tmp_path, name=f"w{number}") for number in range(WORKERS)],
        random.Random(SEED + 1),
    )
    fresh = ServiceProcess("worker", settings, tmp_path, name="fresh")
    async with ended_afterwards(*havoc.workers, fresh):
        for worker in havoc.workers:
            await worker.start().until_ready()
        producing = asyncio.create_task(load.run())
        await havoc.run_until(producing)
        await producing
        await until_settled(settings, load)
        for worker in havoc.workers:
            worker.kill()
        await fresh.start().until_ready()
        await poll(lambda: every_shard_runs(settings, fresh), "the last worker did not get all partitions")
        assert await fresh.terminate() == 0
    print(f"seed {SEED}: {len(load.requests)} requests, {len(load.messages)} messages, {dict(havoc.events)}")  # noqa: T201
    await assert_exactly_once(settings, load)
    await assert_the_forgotten_stay_forgotten(settings, load)
    await assert_replay(settings, load, fresh)
    await assert_every_copy_is_a_prefix_of_its_changelog(settings, havoc.workers)


async def assert_exactly_once(settings: Settings, load: Load) -> None:
    names = settings.topic_names
    commands = [command.request_id for command in asked_in(await read(settings, names.identity_commands))]
    assert collections.Counter(commands) == collections.Counter(load.requests.keys())
    conversation_log = [
        decode_conversation_command(record.value) for record in await read(settings, names.conversation_commands)
    ]
    arrived = collections.Counter(command.id for command in conversation_log if isinstance(command, Message))
    assert arrived == collections.Counter(load.messages)
    answers = await read(settings, names.responses)
    assert collections.Counter(record.key.decode() for record in answers) == collections.Counter(
        [*load.requests, *load.refused]
    )
    people: dict[tuple[object, object], set[str]] = collections.defaultdict(set)
    conversations: dict[tuple[object, object], set[str]] = collections.defaultdict(set)
    for record in answers:
        fields = load.requests.get(record.key.decode())
        if fields is not None and fields["request_id"] not in load.mingled:
            answer = json.loads(record.value)
            person = (fields["tenant"], fields["external_id"])
            people[person].add(answer["contact"]["id"])
            conversations[person].update(conversation["id"] for conversation in answer["conversations"])
    assert {len(ids) for ids in people.values()} == {1}, "one person, one contact"
    assert {len(ids) for ids in conversations.values()} == {1}, "one person, one conversation on the channel"
    assert len(set().union(*people.values())) == len(people), "no contact is shared by two people"
    seen: dict[bytes, set[bytes]] = collections.defaultdict(set)
    for record in await read(settings, names.responses, read_committed=False):
        seen[record.key].add(record.value)
    assert {len(values) for values in seen.values()} == {1}, "what an uncommitted reader sees twice is identical"


async def assert_the_forgotten_stay_forgotten(settings: Settings, load: Load) -> None:
    """From its place in the log on, a forgotten id is in no answer; and the load did all that it is there to do."""
    names = settings.topic_names
    answers = {record.key.decode(): json.loads(record.value) for record in await read(settings, names.responses)}
    forgotten: set[str] = set()
    done: collections.Counter[str] = collections.Counter()
    for command in asked_in(await read(settings, names.identity_commands)):  # in order within a tenant
        request_id = command.request_id
        answer = answers[request_id]
        if request_id not in load.mingled:
            continue
        told = {answer.get(name, {}).get("id") for name in ("contact", "restored")} | {*answer.get("merged", ())}
        assert not told & forgotten, "somebody forgotten came back"
        fields = load.requests[request_id]
        name = fields.get("command", "identify")
        done[f"{name} {answer['code']}" if "code" in answer else name] += 1
        done["merged automatically"] += len(answer.get("merged", ()))
        done["conflicts"] += len(answer.get("warnings", ()))
        if name == "forget" and "code" not in answer:
            forgotten.add(fields["contact_id"])
    print(f"mingled: {dict(sorted(done.items()))}")  # noqa: T201
    commands = ("identify", "merge", "unmerge", "release", "forget", "info", "resume_token")
    outcomes = ("merged automatically", "conflicts", "info unknown_contact", "unmerge not_latest_merge")
    assert not [name for name in (*commands, *outcomes) if done[name] == 0], "the load was too tame"


async def assert_replay(settings: Settings, load: Load, fresh: ServiceProcess) -> None:
    names = settings.topic_names
    declared = declare(names, partitions=settings.partitions, messages_partitions=AIRY_PARTITIONS, production=False)
    found = await read_topics(settings.kafka_bootstrap_servers, [topic.name for topic in declared])
    oracle = Oracle(settings, {name: state.partitions for name, state in found.items()})
    by_intake = await oracle.assert_tables_and_outputs_are_what_the_logs_say()
    assert {record.key.decode() for record in by_intake} == load.refused
    assert all(dict(record.headers)[ANSWER_SCHEMA_HEADER] == ERROR_RESPONSE.encode() for record in by_intake)
    for table in (IDENTITY, CONVERSATION):
        stores = rows_of_stores(fresh.data_dir, names.app_id, table, settings.partitions)
        assert stores == fold(await read(settings, names.changelog(table)))
    assert await read(settings, names.dead_letters) == []


async def assert_every_copy_is_a_prefix_of_its_changelog(settings: Settings, workers: list[ServiceProcess]) -> None:
    """Whatever shards and standbys left behind when they were killed: it is what the changelog said up to there."""
    names = settings.topic_names
    copies: collections.Counter[str] = collections.Counter()
    for table in (IDENTITY, CONVERSATION):
        changelog = await read(settings, names.changelog(table))
        for worker in workers:
            for partition in range(settings.partitions):
                store = Store(worker.data_dir / names.app_id / f"{table}-{partition}", StoreMemory())
                if not (store.path / "CURRENT").exists():
                    continue
                state = store.open()
                rows = {key: row for key, row in store.rows() if key != PROGRESS_KEY}
                store.close()
                before = 0 if state is None else state.position
                known = [each for each in changelog if each.partition == partition and each.offset < before]
                assert rows == fold(known).get(partition, {}), f"{store.path} at {before}"
                copies[table] += 1
    assert all(copies[table] > 0 for table in (IDENTITY, CONVERSATION)), "there was nothing to compare"
