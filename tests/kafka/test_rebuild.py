"""`airy-identify rebuild` on real Kafka, with real workers: under traffic, killed in the middle, offline, and what it refuses."""

import asyncio
import collections
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka.structs import ConsumerRecord

from airy_identify.kafka import partition_for
from airy_identify.settings import Settings
from airy_identify.topics import CONVERSATION, IDENTITY
from airy_identify.wire.rows import PROGRESS_KEY, decode_progress
from tests.kafka.commands import call
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.replay import read
from tests.kafka.service import Service, poll, produce, put_channels, put_messages

MakeInstallation = Callable[..., Awaitable[Settings]]
PARTITIONS = 2


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
        """Ask for people over Kafka, in two tenants, some of them again."""
        names = self.settings.topic_names
        requests = []
        for number in range(self.sent, self.sent + count):
            fields = {"channel_id": self.channel, "external_id": f"u-{number % 40}", "request_id": f"request-{number}"}
            fields |= {"email": f"e{number}@example.com"}
            requests.append((None, json.dumps(fields).encode(), ()))
        self.sent += count
        await produce(self.settings, names.requests, *requests)

    async def answered(self) -> bool:
        """Whether every request that was sent has an answer."""
        answers = await read(self.settings, self.settings.topic_names.responses)
        return len({record.key for record in answers}) >= self.sent

    async def rebuild(self, *arguments: str) -> tuple[int, str, str]:
        return await call(self.beside, "rebuild", *arguments)

    async def assert_answered_once(self) -> None:
        answers = await read(self.settings, self.settings.topic_names.responses)
        found = collections.Counter(record.key.decode() for record in answers)
        assert found == collections.Counter(f"request-{number}" for number in range(self.sent))

    async def assert_verified(self) -> list[dict[str, Any]]:
        code, output, errors = await call(self.beside, "verify", "--all-sides", "--json")
        assert code == 0, output + errors
        verdicts: list[dict[str, Any]] = json.loads(output)
        return verdicts


@asynccontextmanager
async def home(make_installation: MakeInstallation, directory: Path) -> AsyncIterator[Home]:
    settings = await make_installation(partitions=PARTITIONS)
    channel = str(uuid.uuid4())
    await put_channels(settings, [channel])
    worker = ServiceProcess("worker", settings, directory)
    async with ended_afterwards(worker):
        await worker.start().until_ready()
        yield Home(settings, channel, worker)


async def test_quick(make_installation: MakeInstallation, tmp_path: Path) -> None:
    async with home(make_installation, tmp_path) as here:
        await here.identify(60)
        await poll(here.answered, "not answered")
        print(await here.rebuild("--check"))
        code, output, errors = await here.rebuild()
        print(code, output, errors)
        assert code == 0
        await here.identify(60)
        await poll(here.answered, "not answered")
        await here.assert_answered_once()
        await here.assert_verified()
        print(await call(here.beside, "state", "stats"))
        print(await call(here.beside, "topics", "check"))
        print(await here.rebuild("--discard-old", "--yes"))
        print(await call(here.beside, "topics", "check"))
        await here.assert_verified()
