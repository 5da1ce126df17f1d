"""Whether a worker's memory stays flat under a steady load, on one local Kafka.

    python -m benchmarks.soak [--minutes 15] [--people 20000] [--requests 40000]

First the rate at full speed is measured, with `requests` identifies over Kafka as `python -m benchmarks` sends them, and
as many more come, over and over, until RocksDB's stores use nine tenths of their bound of 192 MiB: that fills up in any
case, and would be taken for a leak. Then requests come at half of that rate, and half as many messages of the visitors'
chats. The people are `people` in number and come again and again, so the tables stop growing, and what grows after the
first third is not data. Memory is what a process has resident (VmRSS in proc(5)), in brackets what the stores use of
their bound; sampled every five seconds. The slope is that of a line through the samples (least squares) of the last two
thirds. Every request has to be answered, by a contact.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from rich.console import Console
from rich.table import Table

from airy_identify.core.values import ChannelId, ConversationId, Message, MessageId
from airy_identify.kafka import KafkaClients, close_client, partitions_of
from airy_identify.ops.stack import Stack, StackOptions
from airy_identify.settings import to_environment
from airy_identify.wire.airy import encode_message
from benchmarks.__main__ import CHANNELS, produce, rate_of_answers, requests

TICK_S = 0.1
SAMPLE_S = 5.0
MIB = 1024 * 1024
FULL = 0.9 * 192 * MIB


@dataclass(frozen=True)
class Sample:
    """What a process had at a moment: seconds since the start, bytes resident, of them in RocksDB's bound, open files."""

    at_s: float
    resident: int
    stores: int
    files: int


@dataclass
class Soak:
    """What has been sent, what came back, and what the processes had meanwhile."""

    sent: int = 0
    messages: int = 0
    answered: int = 0
    refused: int = 0
    samples: dict[str, list[Sample]] = field(default_factory=dict)


def sample(process_id: int, at_s: float, stores: int) -> Sample:
    """Look at a process."""
    status = Path(f"/proc/{process_id}/status").read_text()
    resident = int(status.split("VmRSS:")[1].split()[0]) * 1024
    return Sample(at_s, resident, stores, len(list(Path(f"/proc/{process_id}/fd").iterdir())))


async def store_memory(session: aiohttp.ClientSession, stack: Stack) -> int:
    """Return how much the worker's stores use of their bound, in bytes."""
    async with session.get(f"http://127.0.0.1:{stack.settings.worker_port}/metrics") as response:
        page = await response.text()
    return int(float(page.split("\nairy_identify_store_memory_bytes ")[1].split()[0]))


def slope(samples: list[Sample], value: Callable[[Sample], int]) -> str:
    """Return how many MiB an hour the line through the samples rises."""
    line = statistics.linear_regression([each.at_s for each in samples], [value(each) for each in samples])
    return f"{line.slope * 3600 / MIB:+,.1f}"


def people(count: int) -> Iterator[tuple[int, bytes]]:
    """Yield requests of the same people, over and over, with what changes at each visit."""
    channels = list(CHANNELS.items())
    for number in itertools.count():
        person = number % count
        channel, tenant = channels[person % len(channels)]
        yield (
            number,
            json.dumps(
                {
                    "tenant": tenant,
                    "channel_id": channel,
                    "external_id": f"soak-{person}",
                    "email": f"soak-{person}@example.com",
                    "metadata": {"visits": number // count},
                    "request_id": f"soak-{number}",
                }
            ).encode(),
        )


def message_of(number: int, conversation_id: str, channel_id: str) -> Message:
    """Return a visitor's message."""
    return Message(
        id=MessageId(f"soak-message-{number}"),
        conversation_id=ConversationId(conversation_id),
        channel_id=ChannelId(channel_id),
        source="chatplugin",
        sender_id="visitor",
        is_from_contact=True,
        delivery_state="DELIVERED",
        content='{"text":"hello"}',
        sent_at_ms=int(time.time() * 1000),
    )


async def load(stack: Stack, producer: AIOKafkaProducer, soak: Soak, per_s: float, options: argparse.Namespace) -> None:
    """Send requests at a steady rate, and half as many messages in 5,000 chats."""
    names = stack.settings.topic_names
    channels = list(CHANNELS)
    stream = people(options.people)
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < options.minutes * 60:
        while soak.sent < elapsed * per_s:
            number, request = next(stream)
            await producer.send(names.requests, key=str(number).encode(), value=request)
            soak.sent += 1
            if number % 2 == 0:
                chat = number // 2 % 5_000
                message = message_of(number, f"50a40000-0000-4000-8000-{chat:012}", channels[chat % len(channels)])
                await producer.send(names.airy_messages, key=message.id.encode(), value=encode_message(message))
                soak.messages += 1
        await asyncio.sleep(TICK_S)
    await producer.flush()


async def count(consumer: AIOKafkaConsumer, soak: Soak) -> None:
    """Count the answers until cancelled; one without a contact is a refusal."""
    while True:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            for record in records:
                if record.key.startswith(b"soak-"):
                    soak.answered += 1
                    soak.refused += b'"contact"' not in record.value


async def fill_stores(stack: Stack, clients: KafkaClients, options: argparse.Namespace) -> None:
    """Send people who have never been there, as fast as they are answered, until the stores are near their bound."""
    names = stack.settings.topic_names
    bursts = 0

    async def begin() -> None:
        await produce(clients, names.requests, requests(options.requests, f"fill-{bursts}"))

    async with aiohttp.ClientSession() as session:
        while (used := await store_memory(session, stack)) < FULL:
            await rate_of_answers(clients, names.responses, options.requests, {}, begin)
            bursts += 1
    print(f"the stores use {used / MIB:,.0f} MiB after {bursts * options.requests:,} requests more", flush=True)


async def watch(stack: Stack, soak: Soak) -> None:
    """Look at the processes every few seconds until cancelled."""
    started = time.monotonic()
    async with aiohttp.ClientSession() as session:
        while True:
            stores = {"worker": await store_memory(session, stack)}
            for name, process_id in stack.process_ids.items():
                found = sample(process_id, time.monotonic() - started, stores.get(name, 0))
                soak.samples.setdefault(name, []).append(found)
            await asyncio.sleep(SAMPLE_S)


async def run(stack: Stack, options: argparse.Namespace) -> Soak:
    """Measure the full speed, then soak at half of it; return what was found."""
    clients = KafkaClients(bootstrap_servers=stack.settings.kafka_bootstrap_servers)
    names = stack.settings.topic_names

    async def begin() -> None:
        await produce(clients, names.requests, requests(options.requests, "full"))

    full = await rate_of_answers(clients, names.responses, options.requests, stack.process_ids, begin)
    print(f"full speed: {full.per_s:,.0f} requests/s; {options.minutes:g} minutes at half of it", flush=True)
    await fill_stores(stack, clients, options)
    soak = Soak()
    producer, consumer = clients.idempotent_producer(request_timeout_ms=20_000), clients.consumer()
    await producer.start()
    await consumer.start()
    partitions = await partitions_of(consumer, names.responses)
    ends = await consumer.end_offsets(partitions)
    consumer.assign(partitions)
    for partition in partitions:
        consumer.seek(partition, ends[partition])
    beside = [asyncio.create_task(count(consumer, soak)), asyncio.create_task(watch(stack, soak))]
    try:
        await load(stack, producer, soak, full.per_s / 2, options)
        async with asyncio.timeout(120):
            while soak.answered < soak.sent:  # noqa: ASYNC110 - the counter counts beside this
                await asyncio.sleep(TICK_S)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await close_client(producer)
        await close_client(consumer)
    return soak


def show(soak: Soak, options: argparse.Namespace) -> None:
    """Print what came back, and the memory of each process over time."""
    print(
        f"{soak.sent:,} requests and {soak.messages:,} messages sent, {soak.answered:,} answers, {soak.refused:,} refusals"
    )
    table = Table(title=f"{options.minutes:g} minutes, {options.people:,} people, {os.cpu_count()} cores")
    columns = ("process", "MiB after 1/3", "2/3", "at the end", "peak", "slope MiB/h", "without stores", "files")
    for column in columns:
        table.add_column(column, justify="left" if column == "process" else "right")
    for name, samples in soak.samples.items():
        third = len(samples) // 3
        settled = samples[third:]
        points = (settled[0], samples[2 * third], samples[-1], max(samples, key=lambda each: each.resident))
        table.add_row(
            name,
            *(f"{each.resident / MIB:,.0f} ({each.stores / MIB:,.0f})" for each in points),
            slope(settled, lambda each: each.resident),
            slope(settled, lambda each: each.resident - each.stores),
            f"{settled[0].files} to {samples[-1].files}",
        )
    Console(width=120).print(table)


async def main(options: argparse.Namespace) -> None:
    """Start everything, soak, print, stop everything."""
    os.environ.update(to_environment({"channel_tenants": json.dumps(CHANNELS), "requests_tenants": "*"}))
    with tempfile.TemporaryDirectory() as directory:
        stack = Stack(StackOptions(directory=Path(directory), channels=tuple(CHANNELS)), print)
        try:
            await stack.start()
            soak = await run(stack, options)
        finally:
            await stack.stop()
    show(soak, options)
    assert soak.answered == soak.sent, "a request was not answered, or answered twice"
    assert soak.refused == 0, "a request was refused"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--requests", type=int, default=40_000)
    asyncio.run(main(parser.parse_args()))
