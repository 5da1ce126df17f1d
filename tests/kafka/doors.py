"""The doors of a running service behind one face: a command and its fields in, a status and an answer out."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

from click.testing import CliRunner

from airy_identify.__main__ import main
from airy_identify.core.reasons import HTTP_STATUS, Reason
from airy_identify.kafka import KafkaClients, close_client, partitions_of
from airy_identify.web.commands import ROUTES
from airy_identify.wire.headers import CORRELATION_ID
from tests.kafka.processes import environment_of
from tests.kafka.service import DEADLINE_S, Answer, Service

DOORS = ("HTTP", "Kafka", "command line")
PATHS = {command: path for path, command in reversed(ROUTES.items())}
"""The path of each command: the first one where a command has two."""


class Door(Protocol):
    """A way to ask the service."""

    async def ask(self, command: str, fields: Mapping[str, Any]) -> tuple[int, Answer]:
        """Return status and answer. A refusal over Kafka has the status that HTTP would give to its code."""


class HttpDoor:
    """Asks the bridge."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def ask(self, command: str, fields: Mapping[str, Any]) -> tuple[int, Answer]:
        status, answer, _ = await self._service.post(json.dumps(fields).encode(), path=PATHS[command])
        return status, answer


class KafkaDoor:
    """Puts records on `identify-requests`, and gets the answers by correlation id."""

    def __init__(self, service: Service) -> None:
        self._names = service.settings.topic_names
        clients = KafkaClients(bootstrap_servers=service.settings.kafka_bootstrap_servers)
        self._producer = clients.idempotent_producer(request_timeout_ms=20_000)
        self._consumer = clients.consumer()
        self._waiting: dict[bytes, asyncio.Future[Answer]] = {}

    async def ask(self, command: str, fields: Mapping[str, Any]) -> tuple[int, Answer]:
        correlation_id = uuid.uuid4().bytes
        answered = self._waiting[correlation_id] = asyncio.get_running_loop().create_future()
        value = json.dumps({"command": command} | dict(fields)).encode()
        await self._producer.send_and_wait(
            self._names.requests, value=value, headers=[(CORRELATION_ID, correlation_id)]
        )
        async with asyncio.timeout(DEADLINE_S):
            answer = await answered
        return (HTTP_STATUS[Reason(answer["code"])] if "code" in answer else 200), answer

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["KafkaDoor"]:
        await self._producer.start()
        await self._consumer.start()
        partitions = await partitions_of(self._consumer, self._names.responses)
        self._consumer.assign(partitions)
        for partition, end in (await self._consumer.end_offsets(partitions)).items():
            self._consumer.seek(partition, end)
        reading = asyncio.create_task(self._read())
        try:
            yield self
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
            await close_client(self._consumer)
            await close_client(self._producer)

    async def _read(self) -> None:
        while True:
            for records in (await self._consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    waiting = self._waiting.pop(dict(record.headers).get(CORRELATION_ID, b""), None)
                    if waiting is not None:
                        waiting.set_result(json.loads(record.value))


class CommandLine:
    """Asks by `airy-identify person …`, and `identify` by the command of that name. It cannot ask for tokens."""

    def __init__(self, service: Service) -> None:
        self._environment = environment_of(service.settings)

    async def ask(self, command: str, fields: Mapping[str, Any]) -> tuple[int, Answer]:
        words = [*self._words(command, dict(fields)), "--timeout", "60", "--json"]
        result = await asyncio.to_thread(
            CliRunner().invoke, main, words, env=self._environment, prog_name="airy-identify"
        )
        answer = json.loads(result.stdout)
        status = HTTP_STATUS[Reason(answer["code"])] if "code" in answer else 200
        assert result.exit_code == (0 if status == 200 else 1), result.output
        return status, answer

    def _words(self, command: str, fields: dict[str, Any]) -> list[str]:
        words = ["identify"] if command == "identify" else ["person", "show" if command == "info" else command]
        words += [fields.pop(name) for name in ("contact_id", "source_id", "destination_id") if name in fields]
        if command == "release":
            fields[fields.pop("kind")] = fields.pop("value")
        if command in {"merge", "unmerge", "release", "forget"}:
            words.append("--yes")
        for name, value in fields.items():
            words += [f"--{name.replace('_', '-')}", value]
        return words


@asynccontextmanager
async def open_door(name: str, service: Service) -> AsyncIterator[Door]:
    """Open one of `DOORS`."""
    if name == "Kafka":
        async with KafkaDoor(service).opened() as door:
            yield door
    else:
        yield HttpDoor(service) if name == "HTTP" else CommandLine(service)
