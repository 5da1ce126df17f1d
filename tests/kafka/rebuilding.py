"""What the tests of rebuilds share: an installation with one worker, its callers, and the rebuild as a process."""

import asyncio
import collections
import hashlib
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

from aiokafka.structs import ConsumerRecord

from airy_identify.kafka import KafkaClients, close_client, partition_for, partitions_of, read_to_end
from airy_identify.ops.child import start_child
from airy_identify.settings import Settings
from airy_identify.wire.generations import CURRENT, Generation, decode_generation
from tests.kafka.commands import call
from tests.kafka.processes import ServiceProcess, ended_afterwards, environment_of
from tests.kafka.replay import read
from tests.kafka.service import produce, put_channels, put_messages

MakeInstallation = Callable[..., Awaitable[Settings]]
PARTITIONS = 2
PARTITION = partition_for(b"default", PARTITIONS)
"""Of the tenant that everybody is of."""
CHUNK = 1_000


@dataclass
class Home:
    """An installation of its own with one worker, and `people` who are identified again and again."""

    settings: Settings
    channel: str
    worker: ServiceProcess
    people: int
    sent: int = 0
    said: int = 0

    @property
    def beside(self) -> Settings:
        """Settings of a command that runs beside the worker."""
        return self.settings.model_copy(update={"data_dir": self.worker.data_dir})

    async def identify(self, count: int) -> None:
        """Ask for people over Kafka, one after the other."""
        while count > 0:
            numbers = range(self.sent, self.sent + min(count, CHUNK))
            self.sent, count = numbers.stop, count - len(numbers)
            await produce(self.settings, self.settings.topic_names.requests, *map(self._request, numbers))

    def _request(self, number: int) -> tuple[None, bytes, tuple[()]]:
        fields = {"channel_id": self.channel, "external_id": f"u-{number % self.people}"}
        fields |= {"email": f"e{number}@example.com", "request_id": f"request-{number}"}
        return None, json.dumps(fields).encode(), ()

    async def say(self, count: int) -> None:
        """Let Airy have messages of as many conversations as there are people."""
        while count > 0:
            numbers = range(self.said, self.said + min(count, CHUNK))
            self.said, count = numbers.stop, count - len(numbers)
            messages = [
                {"id": f"m-{number}", "conversation_id": f"c-{number % self.people}", "channel_id": self.channel}
                for number in numbers
            ]
            await put_messages(self.settings, *messages)

    async def settled(self) -> bool:
        """Whether all logs are applied to their ends: the group's offsets say so, of shards that have nothing to do."""
        names = self.settings.topic_names
        clients = KafkaClients(bootstrap_servers=self.settings.kafka_bootstrap_servers)
        consumer, admin = clients.consumer(read_committed=False), clients.admin()
        try:
            await consumer.start()
            await admin.start()
            for log in (names.requests, names.airy_messages, names.identity_commands, names.conversation_commands):
                partitions = await partitions_of(consumer, log)
                ends = await consumer.end_offsets(partitions)
                found = await admin.list_consumer_group_offsets(names.app_id, partitions=partitions)
                if any(found[each].offset < ends[each] for each in partitions if ends[each] > 0):
                    return False
        finally:
            await close_client(consumer)
            await close_client(admin)
        return True

    async def rebuild(self, *arguments: str) -> tuple[int, str, str]:
        return await call(self.beside, "rebuild", *arguments)

    async def decided(self, state: str = CURRENT) -> list[Generation]:
        records = await read(self.settings, self.settings.topic_names.generations)
        return [found for record in records if (found := decode_generation(record.value)).state == state]

    async def _answers(self, *, read_committed: bool) -> AsyncIterator[ConsumerRecord]:
        clients = KafkaClients(bootstrap_servers=self.settings.kafka_bootstrap_servers)
        consumer = clients.consumer(read_committed=read_committed)
        await consumer.start()
        try:
            partitions = await partitions_of(consumer, self.settings.topic_names.responses)
            async for records in read_to_end(consumer, partitions):
                for record in records:
                    yield record
        finally:
            await close_client(consumer)

    async def assert_answered_once(self) -> None:
        """Every request has one answer, nobody got another id, and what was seen twice is the same."""
        found: collections.Counter[str] = collections.Counter()
        people: dict[str, tuple[str, str]] = {}
        async for record in self._answers(read_committed=True):
            found[record.key.decode()] += 1
            answer = json.loads(record.value)
            ids = (answer["contact"]["id"], answer["conversations"][0]["id"])
            assert people.setdefault(answer["contact"]["external_id"], ids) == ids, "somebody got another id"
        assert found == collections.Counter(f"request-{number}" for number in range(self.sent))
        seen: dict[bytes, bytes] = {}
        async for record in self._answers(read_committed=False):
            digest = hashlib.blake2b(record.value, digest_size=8).digest()
            assert seen.setdefault(record.key, digest) == digest, "what is seen twice is the same"

    async def verdicts(self, *arguments: str) -> list[dict[str, Any]]:
        """Verify everything; it has to be well."""
        code, output, errors = await call(self.beside, "verify", "--json", *arguments)
        assert code == 0, output + errors
        found: list[dict[str, Any]] = json.loads(output)
        return found


@asynccontextmanager
async def home(make_installation: MakeInstallation, directory: Path, *, people: int = 40) -> AsyncIterator[Home]:
    settings = await make_installation(partitions=PARTITIONS)
    channel = str(uuid.uuid4())
    await put_channels(settings, [channel])
    worker = ServiceProcess("worker", settings, directory)
    async with ended_afterwards(worker):
        await worker.start().until_ready()
        yield Home(settings, channel, worker, people)


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
        if self.runs:
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    async def ended(self) -> int:
        return await asyncio.to_thread(self._process.wait)
