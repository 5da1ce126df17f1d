"""How soon a change of a channel in Airy counts, on one local Kafka.

    python -m benchmarks.channels [--changes 60] [--load 200]

A channel is disconnected, connected, deleted and connected again, over and over. The time runs from the moment when the
broker has the record of Airy's topic, to the first request that is refused, or accepted again: over Kafka, by
`POST /contacts.identify` and by `POST /conversations.resumeToken`. Each asks again as soon as it is answered, so the time of
one answer or two is in it. The peer is a plain consumer of the same topic: when it has the record. Once while nothing else is
asked, once beside `load` requests a second over Kafka.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from rich.console import Console
from rich.table import Table

from airy_identify.core.values import ChannelId
from airy_identify.kafka import KafkaClients, close_client, partitions_of
from airy_identify.ops.stack import Stack, StackOptions
from airy_identify.settings import to_environment
from airy_identify.wire.airy import Channel, encode_channel
from benchmarks.__main__ import CHANNELS

CHANGED, OTHER, *_ = CHANNELS
TICK_S = 0.05
CHANGE_S = 15.0
"""A change that does not count by then ends the run."""
PEER = "a plain consumer has the record"
Accepted = Callable[[], Awaitable[bool]]


def change(number: int) -> bytes | None:
    """Return the value of a change: connected at every second one, and disconnected or deleted between."""
    if number % 4 == 3:  # noqa: PLR2004
        return None
    connected = number % 2 == 0
    channel = Channel(id=ChannelId(CHANGED), source="chatplugin", source_channel_id="bench", connected=connected)
    return encode_channel(channel)


@asynccontextmanager
async def at_the_end(clients: KafkaClients, topic: str, *, read_committed: bool) -> AsyncIterator[AIOKafkaConsumer]:
    """Give a consumer that reads what comes from now on."""
    consumer = clients.consumer(read_committed=read_committed)
    await consumer.start()
    try:
        partitions = await partitions_of(consumer, topic)
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, ends[partition])
        yield consumer
    finally:
        await close_client(consumer)


@dataclass
class Doors:
    """The ways to ask for somebody of the channel."""

    stack: Stack
    session: aiohttp.ClientSession
    producer: AIOKafkaProducer
    answers: dict[str, asyncio.Future[bytes]]
    numbers: Iterator[int]
    conversation_id: str = ""
    load_sent: int = 0

    async def over_kafka(self) -> bool:
        """Ask over Kafka; return whether it was accepted. Raises `AssertionError` for another refusal than a channel's."""
        request_id = f"channels-{next(self.numbers)}"
        answer = self.answers[request_id] = asyncio.get_running_loop().create_future()
        request = identify(CHANGED, external_id="somebody") | {"request_id": request_id}
        await self.producer.send(self.stack.settings.topic_names.requests, value=json.dumps(request).encode())
        return is_accepted(json.loads(await answer))

    async def post(self, path: str, body: dict[str, str]) -> bool:
        """Ask over HTTP; return whether it was accepted. Raises `AssertionError` for another refusal than a channel's."""
        async with self.session.post(f"http://127.0.0.1:{self.stack.settings.http_port}{path}", json=body) as response:
            answer = await response.json()
        if response.ok and path == "/contacts.identify":
            self.conversation_id = answer["conversations"][0]["id"]
        return is_accepted(answer)

    def all(self) -> dict[str, Accepted]:
        """Return them by their names."""
        resume = {"tenant": CHANNELS[CHANGED], "channel_id": CHANGED, "conversation_id": self.conversation_id}
        return {
            "identify-requests": self.over_kafka,
            "POST /contacts.identify": lambda: self.post(
                "/contacts.identify", identify(CHANGED, external_id="somebody")
            ),
            "POST /conversations.resumeToken": lambda: self.post("/conversations.resumeToken", resume),
        }


def is_accepted(answer: dict[str, Any]) -> bool:
    """Return whether it is no refusal. Raises `AssertionError` for another refusal than a channel's."""
    assert answer.get("code", "unknown_channel") == "unknown_channel", answer
    return "code" not in answer


def identify(channel: str, *, external_id: str) -> dict[str, str]:
    return {"tenant": CHANNELS[channel], "channel_id": channel, "external_id": external_id}


async def until(accepted: Accepted, wanted: bool, since: float) -> float:  # noqa: FBT001 - said by its name
    """Ask until it is as wanted; return how many milliseconds after `since` that was."""
    while await accepted() is not wanted:
        pass
    return (time.perf_counter() - since) * 1000


async def has_record(consumer: AIOKafkaConsumer, since: float) -> float:
    while not await consumer.getmany(timeout_ms=500):
        pass
    return (time.perf_counter() - since) * 1000


async def keep_answers(consumer: AIOKafkaConsumer, answers: dict[str, asyncio.Future[bytes]]) -> None:
    """Hand out answers until cancelled."""
    while True:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            for record in records:
                answer = answers.pop(record.key.decode(), None)
                if answer is not None:
                    answer.set_result(record.value)


@asynccontextmanager
async def load(doors: Doors, per_s: float) -> AsyncIterator[None]:
    """Ask for people of another channel meanwhile. Raises `RuntimeError` when that stopped too early."""

    async def ask() -> None:
        since = time.perf_counter()
        while True:
            while doors.load_sent < (time.perf_counter() - since) * per_s:
                request = identify(OTHER, external_id=f"u-{next(doors.numbers)}")
                await doors.producer.send(doors.stack.settings.topic_names.requests, value=json.dumps(request).encode())
                doors.load_sent += 1
            await asyncio.sleep(TICK_S)

    task = asyncio.create_task(ask())
    try:
        yield
    finally:
        still_asked = task.cancel()
        (ended_with,) = await asyncio.gather(task, return_exceptions=True)
    if not still_asked:
        raise RuntimeError("the load stopped") from ended_with


async def measure(doors: Doors, clients: KafkaClients, changes: int) -> dict[str, list[float]]:
    """Change the channel again and again; return milliseconds by door."""
    topic = doors.stack.settings.topic_names.airy_channels
    await doors.post("/contacts.identify", identify(CHANGED, external_id="somebody"))
    found: dict[str, list[float]] = {}
    async with at_the_end(clients, topic, read_committed=False) as consumer:
        for number in range(1, changes + 1):
            peer = asyncio.create_task(has_record(consumer, 0.0))
            value = change(number)
            await doors.producer.send_and_wait(topic, key=CHANGED.encode(), value=value)
            since = time.perf_counter()
            asked = {name: until(door, number % 2 == 0, since) for name, door in doors.all().items()}
            async with asyncio.timeout(CHANGE_S):
                took = dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))
            took[PEER] = max(0.0, await peer - since * 1000)
            for name, ms in took.items():
                found.setdefault(name, []).append(ms)
    return found


async def run(stack: Stack, options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Measure when nothing else is asked, and beside load."""
    clients = KafkaClients(bootstrap_servers=stack.settings.kafka_bootstrap_servers)
    producer = clients.idempotent_producer(request_timeout_ms=20_000)
    await producer.start()
    headers = {"Authorization": f"Bearer {stack.secrets.system_token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        at_the_end(clients, stack.settings.topic_names.responses, read_committed=True) as consumer,
    ):
        doors = Doors(stack, session, producer, {}, itertools.count())
        keeping = asyncio.create_task(keep_answers(consumer, doors.answers))
        try:
            found = {"nothing else": await measure(doors, clients, options.changes)}
            began = time.perf_counter()
            async with load(doors, options.load):
                beside = await measure(doors, clients, options.changes)
                per_s = doors.load_sent / (time.perf_counter() - began)
            found[f"{per_s:.0f} requests/s"] = beside
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await close_client(producer)
    return found


def show(found: dict[str, dict[str, list[float]]], options: argparse.Namespace) -> None:
    """Print a line for each door, idle and under load."""
    table = Table(
        title=f"{options.changes} changes of a channel: milliseconds until they count, {os.cpu_count()} cores"
    )
    for column in ("beside", "door", "p50", "p99", "slowest", "p50, of the peer's"):
        table.add_column(column, justify="left" if column in ("beside", "door") else "right")
    for beside, doors in found.items():
        peer = statistics.median(doors[PEER])
        for name, values in doors.items():
            p50, p99 = statistics.median(values), statistics.quantiles(values, n=100, method="inclusive")[-1]
            ratio = "" if name == PEER or not peer else f"{p50 / peer:.1f}"
            table.add_row(beside, name, f"{p50:.0f}", f"{p99:.0f}", f"{max(values):.0f}", ratio)
    Console(width=120).print(table)


async def main(options: argparse.Namespace) -> None:
    """Start everything, measure, print, stop everything."""
    os.environ.update(to_environment({"channel_tenants": json.dumps(CHANNELS), "requests_tenants": "*"}))
    with tempfile.TemporaryDirectory() as directory:
        stack = Stack(StackOptions(directory=Path(directory), channels=tuple(CHANNELS)), print)
        try:
            await stack.start()
            found = await run(stack, options)
        finally:
            await stack.stop()
    show(found, options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=60)
    parser.add_argument("--load", type=float, default=200)
    asyncio.run(main(parser.parse_args()))
