"""The bridge's two ends of Kafka on a real broker: what is asked, what is answered, and what outages do."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition

from airy_identify.core.commands import Command
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import RequestId
from airy_identify.kafka import KafkaClients, close_client, partition_for, read_to_end
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.ops.ports import free_port
from airy_identify.ops.topics import create_topics
from airy_identify.settings import Settings
from airy_identify.topics import TopicDeclaration, TopicNames
from airy_identify.web.asking import Answer
from airy_identify.web.replies import AskLimits, KafkaAsker
from airy_identify.wire.answers import ANSWER_SCHEMA_HEADER, ERROR_RESPONSE, IDENTIFY_RESPONSE, encode_error
from airy_identify.wire.commands import decode_command
from airy_identify.wire.headers import CORRELATION_ID
from tests.builders import make_identify_command
from tests.web.waiting import DEADLINE_S, until

PARTITIONS = 3
PATIENT = AskLimits(answer_timeout_s=DEADLINE_S, append_timeout_s=5)

MakeSettings = Callable[..., Settings]


class HandDrivenWorker:
    """Reads the log of commands and answers when and how a test says so."""

    def __init__(self, clients: KafkaClients, names: TopicNames) -> None:
        self._topic = names.bridge_responses
        self._partitions = [TopicPartition(names.identity_commands, number) for number in range(PARTITIONS)]
        self._consumer = clients.consumer()
        self.producer = clients.idempotent_producer(request_timeout_ms=5000)
        self._clients = clients

    async def start(self) -> None:
        await self._consumer.start()
        await self.producer.start()
        async for _ in read_to_end(self._consumer, self._partitions):
            pass

    async def stop(self) -> None:
        await close_client(self._consumer)
        await close_client(self.producer)

    async def commands(self, count: int) -> list[Command]:
        """Wait for the next so many commands."""
        found: list[Command] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(found) < count:
                for records in (await self._consumer.getmany(timeout_ms=100)).values():
                    for record in records:
                        command = decode_command(record.value)
                        assert record.key == command.tenant.encode()
                        assert record.partition == partition_for(record.key, PARTITIONS)
                        found.append(command)
        return found

    async def answer(self, command: Command, body: bytes | None = None, *, schema: str = IDENTIFY_RESPONSE) -> None:
        await self.send(self.producer, command, body, schema=schema)

    async def send(
        self,
        producer: AIOKafkaProducer,
        command: Command,
        body: bytes | None = None,
        *,
        schema: str = IDENTIFY_RESPONSE,
    ) -> None:
        headers = [(CORRELATION_ID, command.reply_to.correlation_id), (ANSWER_SCHEMA_HEADER, schema.encode())]
        await producer.send_and_wait(
            command.reply_to.topic,
            key=command.request_id.encode(),
            value=body_for(command) if body is None else body,
            partition=command.reply_to.partition,
            headers=headers,
        )


def body_for(command: Command) -> bytes:
    return json.dumps({"request_id": command.request_id}).encode()


class Bridge:
    """An asker, the worker behind it, and their topics."""

    def __init__(self, clients: KafkaClients, names: TopicNames, limits: AskLimits) -> None:
        self.names = names
        self.clients = clients
        self.asker = KafkaAsker(clients, names, limits=limits, retry_s=0.1)
        self.worker = HandDrivenWorker(clients, names)

    def ask(self, request_id: str, **over: Any) -> "asyncio.Task[Answer | Rejected]":
        command = make_identify_command(request_id=request_id, reply_to=self.asker.reply_to(), **over)
        return asyncio.create_task(self.asker.ask(command))

    async def until_ready(self) -> None:
        await until(lambda: not self.asker.problems(), poll_s=0.02)

    async def ask_and_answer(self, request_id: str) -> None:
        """Check that all is well by one round trip."""
        call = self.ask(request_id)
        for command in await self.worker.commands(1):
            await self.worker.answer(command)
        assert await call == Answer(status=200, body=json.dumps({"request_id": request_id}).encode())


@asynccontextmanager
async def running(
    settings: Settings, limits: AskLimits = PATIENT, *, command_bytes_max: int = 1_000_000
) -> AsyncIterator[Bridge]:
    names = settings.topic_names
    config = {"max.message.bytes": str(command_bytes_max)}
    declarations = [
        TopicDeclaration(name=names.identity_commands, partitions=PARTITIONS, config=config),
        TopicDeclaration(name=names.bridge_responses, partitions=PARTITIONS),
    ]
    await create_topics(settings.kafka_bootstrap_servers, declarations, replication_factor=1)
    bridge = Bridge(KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers), names, limits)
    bridge.asker.start()
    await bridge.worker.start()
    try:
        await bridge.until_ready()
        yield bridge
    finally:
        await bridge.asker.stop()
        await bridge.worker.stop()
    assert bridge.asker.pending == 0


async def test_each_of_64_gets_its_own_answer_whatever_their_order_and_doubles(make_settings: MakeSettings) -> None:
    async with running(make_settings()) as bridge:
        calls = {f"request-{number}": bridge.ask(f"request-{number}") for number in range(64)}
        commands = await bridge.worker.commands(64)
        random.Random(7).shuffle(commands)
        for command in commands:
            await bridge.worker.answer(command)
            await bridge.worker.answer(command, b"a duplicate")
        for request_id, call in calls.items():
            assert await call == Answer(status=200, body=json.dumps({"request_id": request_id}).encode())
        correlation_ids = {command.reply_to.correlation_id for command in commands}
        assert len(correlation_ids) == 64
        assert {len(correlation_id) for correlation_id in correlation_ids} == {16}
        assert len({command.reply_to.partition for command in commands}) == 1


async def test_the_same_request_id_twice_at_once_is_two_requests(make_settings: MakeSettings) -> None:
    async with running(make_settings()) as bridge:
        calls = [bridge.ask("the-same-key"), bridge.ask("the-same-key")]
        first, second = await bridge.worker.commands(2)
        await bridge.worker.answer(second, b"2")
        await bridge.worker.answer(first, b"1")
        bodies = {(await call).body for call in calls}  # type: ignore[union-attr]
        assert bodies == {b"1", b"2"}


async def test_an_answer_counts_before_its_transaction_is_committed(make_settings: MakeSettings) -> None:
    async with running(make_settings()) as bridge:
        producer = bridge.clients.transactional_producer(f"{bridge.names.prefix}worker", request_timeout_ms=5000)
        await producer.start()
        try:
            for number in range(2):  # the second one has to be read past the mark of the aborted first
                call = bridge.ask(f"request-{number}")
                (command,) = await bridge.worker.commands(1)
                await producer.begin_transaction()
                await bridge.worker.send(producer, command)
                assert await call == Answer(status=200, body=body_for(command))
                await producer.abort_transaction()
        finally:
            await close_client(producer)
        await bridge.ask_and_answer("after")


async def test_an_error_answer_has_the_status_of_its_code(make_settings: MakeSettings) -> None:
    async with running(make_settings()) as bridge:
        error = encode_error(Rejected(reason=Reason.IDENTIFIER_CONFLICT, message="m", field="email"), RequestId("r"))
        newer = error.replace(b"identifier_conflict", b"a_code_of_tomorrow")
        unknown = "internal_error"
        for body, status, code in (
            (error, 409, "identifier_conflict"),
            (newer, 500, unknown),
            (b"no JSON", 500, unknown),
        ):
            call = bridge.ask("request-1")
            (command,) = await bridge.worker.commands(1)
            await bridge.worker.answer(command, body, schema=ERROR_RESPONSE)
            assert await call == Answer(status=status, body=body, code=code)


async def test_no_answer_is_a_timeout_and_a_late_one_harms_nobody(make_settings: MakeSettings) -> None:
    async with running(make_settings(), AskLimits(answer_timeout_s=0.5, append_timeout_s=5)) as bridge:
        outcome = await bridge.ask("request-1")
        assert isinstance(outcome, Rejected)
        assert outcome.reason is Reason.TIMEOUT
        assert bridge.asker.pending == 0
        for command in await bridge.worker.commands(1):
            await bridge.worker.answer(command, b"late")
        assert bridge.asker.problems() == []


async def test_too_many_pending_are_refused_until_one_gives_its_place_back(make_settings: MakeSettings) -> None:
    limits = AskLimits(pending_max=2, answer_timeout_s=DEADLINE_S, append_timeout_s=5)
    async with running(make_settings(), limits) as bridge:
        calls = [bridge.ask("request-1"), bridge.ask("request-2")]
        await bridge.worker.commands(2)
        await assert_unavailable(bridge.ask("request-3"))
        calls[0].cancel()
        await asyncio.wait(calls[:1])
        await bridge.ask_and_answer("request-4")
        calls[1].cancel()
        await asyncio.wait(calls[1:])
        assert bridge.asker.pending == 0


async def test_who_waits_through_a_restart_of_the_broker_gets_the_answer(
    broker: LocalKafka, make_settings: MakeSettings
) -> None:
    async with running(make_settings()) as bridge:
        call = bridge.ask("request-1")
        (command,) = await bridge.worker.commands(1)
        await broker.stop()
        await broker.start()
        await bridge.worker.answer(command)
        assert await call == Answer(status=200, body=body_for(command))
        await bridge.until_ready()
        await bridge.ask_and_answer("request-2")


async def answer_everything(worker: HandDrivenWorker, seen: list[str]) -> None:
    while True:
        for command in await worker.commands(1):
            seen.append(command.request_id)
            await worker.answer(command)


async def assert_unavailable(call: "asyncio.Task[Answer | Rejected]") -> None:
    outcome = await call
    assert isinstance(outcome, Rejected)
    assert outcome.reason is Reason.UNAVAILABLE


async def test_a_silent_broker_makes_it_unavailable_until_it_speaks_again(
    broker: LocalKafka, make_settings: MakeSettings
) -> None:
    limits = AskLimits(answer_timeout_s=DEADLINE_S, append_timeout_s=0.3)
    async with running(make_settings(), limits) as bridge:
        broker.pause()
        try:
            producer: Any = bridge.asker._log._producer
            sent = bridge.ask("sent")
            await until(lambda: bool(producer._sender._in_flight))
            for call in (sent, bridge.ask("queued"), bridge.ask("queued")):
                await assert_unavailable(call)
            await assert_unavailable(bridge.ask("later"))
            assert "command log" in bridge.asker.problems()[0]
        finally:
            broker.resume()
        seen: list[str] = []
        answering = asyncio.create_task(answer_everything(bridge.worker, seen))
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not isinstance(await bridge.ask("afterwards"), Answer):
                    await bridge.until_ready()
        finally:
            answering.cancel()
            await asyncio.wait({answering})
        # What was on its way when the broker fell silent may still arrive; what waited behind it must not.
        assert set(seen) - {"sent"} == {"afterwards"}


async def test_a_command_that_kafka_refuses_does_not_spoil_the_next_one(make_settings: MakeSettings) -> None:
    async with running(make_settings(), command_bytes_max=2000) as bridge:
        await bridge.ask_and_answer("first")
        await assert_unavailable(bridge.ask("too-large", metadata={"note": "x" * 4000}))
        await bridge.until_ready()
        await bridge.ask_and_answer("small")


async def test_missing_topics_are_named(make_settings: MakeSettings) -> None:
    settings = make_settings()
    names = settings.topic_names
    asker = KafkaAsker(
        KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers), names, limits=PATIENT, retry_s=0.1
    )
    asker.start()
    try:
        expected = {
            f"answer reader: there is no topic {names.bridge_responses}",
            f"command log: there is no topic {names.identity_commands}",
        }
        await until(lambda: set(asker.problems()) == expected, poll_s=0.02)
        await assert_unavailable(asyncio.create_task(asker.ask(make_identify_command(reply_to=asker.reply_to()))))
    finally:
        await asker.stop()


async def test_without_kafka_it_starts_says_so_and_stops(make_settings: MakeSettings) -> None:
    clients = KafkaClients(bootstrap_servers=f"127.0.0.1:{free_port()}")
    asker = KafkaAsker(clients, make_settings().topic_names, limits=PATIENT, retry_s=0.1)
    asker.start()
    try:
        await until(lambda: all("bootstrap" in problem for problem in asker.problems()), poll_s=0.02)
    finally:
        await asker.stop()
