"""200 callers at once, through two bridges behind one address, while a worker and a bridge are killed.

Each gets its own answer, or a clean 503 or 504, or sees its connection end with the killed bridge; and afterwards
everybody exists exactly once. `CALLERS_SECONDS` makes it longer: `make callers SECONDS=60`.
"""

import asyncio
import collections
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from airy_identify.core.values import Contact
from airy_identify.ops.topics import read_topics
from airy_identify.settings import Settings
from airy_identify.topics import IDENTITY
from airy_identify.wire.rows import decode_identity_row
from tests.builders import CHANNEL_ID
from tests.kafka.conftest import SYSTEM_TOKEN
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.replay import Oracle, everything_is_applied, fold, read
from tests.kafka.round_robin import round_robin
from tests.kafka.service import poll, put_channels
from tests.records import asked_in
from tests.web.documented import assert_documented

SECONDS = float(os.environ.get("CALLERS_SECONDS", "15"))
CALLERS = 200
PEOPLE = 500
PATH = "/contacts.identify"
KEY = "Idempotency-Key"
REQUEST_TIMEOUT_S = 60


def email_of(person: str) -> str:
    return f"{person}@example.org"


@dataclass
class Seen:
    """What the callers saw: how requests ended, and for each person the ids of contact and conversation."""

    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    done: set[str] = field(default_factory=set)
    contacts: dict[str, set[str]] = field(default_factory=lambda: collections.defaultdict(set))
    conversations: dict[str, set[str]] = field(default_factory=lambda: collections.defaultdict(set))
    broken: collections.Counter[int] = field(default_factory=collections.Counter)

    def note(self, request_id: str, person: str, status: int, answer: dict[str, Any]) -> None:
        assert_documented(PATH, "POST", status, answer)
        assert answer["request_id"] == request_id, "an answer to somebody else's request"
        if status != 200:
            assert (status, answer["code"]) in {(503, "unavailable"), (504, "timeout")}, answer
            self.outcomes[answer["code"]] += 1
            return
        assert answer["contact"]["external_id"] == person, "somebody else's contact"
        assert answer["contact"]["email"] in {None, email_of(person)}
        self.outcomes["answered"] += 1
        self.done.add(request_id)
        self.contacts[person].add(answer["contact"]["id"])
        self.conversations[person].update(conversation["id"] for conversation in answer["conversations"])


@dataclass
class Caller:
    """Asks one thing after the other on a connection of its own, and comes back later when it is told to."""

    number: int
    url: str
    seen: Seen
    stopping: asyncio.Event

    async def run(self) -> None:
        chance = random.Random(self.number)
        headers = {"Authorization": f"Bearer {SYSTEM_TOKEN}"}
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(self.url, headers=headers, timeout=timeout, connector=connector) as session:
            asked = 0
            while not self.stopping.is_set():
                asked += 1
                person = f"person-{chance.randrange(PEOPLE)}"
                body = {"channel_id": CHANNEL_ID, "external_id": person}
                if chance.random() < 0.5:
                    body["email"] = email_of(person)
                await self._ask(session, f"caller-{self.number}-{asked}", body)

    async def _ask(self, session: aiohttp.ClientSession, request_id: str, body: dict[str, str]) -> None:
        try:
            async with session.post(PATH, json=body, headers={KEY: request_id}) as response:
                answer = await response.json()
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            self.seen.outcomes["connection ended"] += 1
            self.seen.broken[self.number] += 1
            return
        self.seen.note(request_id, body["external_id"], response.status, answer)
        if response.status == 503:
            await asyncio.wait(
                {asyncio.create_task(self.stopping.wait())}, timeout=int(response.headers["Retry-After"])
            )


async def test_each_caller_gets_its_own_answer_while_a_worker_and_a_bridge_are_killed(
    make_installation: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    settings = await make_installation()
    await put_channels(settings, [CHANNEL_ID])
    workers = [ServiceProcess("worker", settings, tmp_path, name=f"worker-{number}") for number in range(2)]
    bridges = [ServiceProcess("web", settings, tmp_path, name=f"bridge-{number}") for number in range(2)]
    seen, stopping = Seen(), asyncio.Event()
    async with ended_afterwards(*workers, *bridges), round_robin([bridge.port for bridge in bridges]) as url:
        for process in (*workers, *bridges):
            process.start()
        for process in (*workers, *bridges):
            await process.until_ready()
        callers = [asyncio.create_task(Caller(number, url, seen, stopping).run()) for number in range(CALLERS)]
        for victim in (workers[0], bridges[0]):
            await let_run(callers, SECONDS / 3)
            victim.kill()
        answered_before = seen.outcomes["answered"]
        await let_run(callers, SECONDS / 3)

        async def another_was_answered() -> bool:
            await let_run(callers, 0)
            return seen.outcomes["answered"] > answered_before

        await poll(another_was_answered, "nobody is answered any more")
        stopping.set()
        await asyncio.gather(*callers)
        assert all(process.runs for process in (workers[1], bridges[1]))

        async def settled() -> bool:
            return await everything_is_applied(settings)

        await poll(settled, "the log is not applied to its end")
    print(f"{SECONDS:g} s, {CALLERS} callers: {dict(seen.outcomes)}")  # noqa: T201
    assert max(seen.broken.values(), default=0) <= 1, "only the connection to the killed bridge may end"
    await assert_everybody_exists_once(settings, seen)


async def let_run(callers: list[asyncio.Task[None]], seconds: float) -> None:
    """Let the callers go on for so long; none of them ends by itself but by a failed check."""
    done, _ = await asyncio.wait(callers, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for caller in done:
        caller.result()


async def assert_everybody_exists_once(settings: Settings, seen: Seen) -> None:
    names = settings.topic_names
    commands = asked_in(await read(settings, names.identity_commands))
    asked = collections.Counter(command.request_id for command in commands)
    assert max(asked.values()) == 1, "a request was applied twice"
    assert seen.done <= asked.keys(), "a request was answered that is not in the log"
    answers = collections.Counter(record.key.decode() for record in await read(settings, names.bridge_responses))
    assert answers == asked, "a command was not answered, or twice"
    tables = fold(await read(settings, names.changelog(IDENTITY)))
    rows = [decode_identity_row(row) for table in tables.values() for row in table.values()]
    people = collections.Counter(row.external_id for row in rows if isinstance(row, Contact))
    assert people == dict.fromkeys({getattr(command, "external_id", None) for command in commands}, 1)
    assert all(len(ids) == 1 for ids in seen.contacts.values()), "one person, one contact"
    assert all(len(ids) == 1 for ids in seen.conversations.values()), "one person, one conversation on the channel"
    ids = {row.external_id: row.id for row in rows if isinstance(row, Contact)}
    assert {person: {ids[person]} for person in seen.contacts} == seen.contacts
    found = await read_topics(settings.kafka_bootstrap_servers, [names.conversation_commands, names.bridge_responses])
    oracle = Oracle(settings, {name: state.partitions for name, state in found.items()})
    assert await oracle.assert_tables_and_outputs_are_what_the_logs_say() == []
