"""Latency, throughput and CPU share of the service, beside a peer that only copies bytes, on one local Kafka.

    python -m benchmarks [--requests 40000] [--samples 400]

Idle latency: one HTTP request at a time, over one connection. Throughput: records are produced as fast as one producer
can, whatever comes back (open loop); the clock runs from the first record sent to the last answer. The peer does the same two hops in
transactions of the same size without Avro, rules, RocksDB or changelogs: the ratio is what those cost.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka.structs import TopicPartition
from rich.console import Console
from rich.table import Table

from airy_identify.kafka import KafkaClients, close_client, partitions_of
from airy_identify.ops.stack import Stack, StackOptions
from airy_identify.ops.topics import create_topics
from airy_identify.settings import to_environment
from airy_identify.topics import TopicDeclaration

TENANTS = tuple(f"tenant-{number}" for number in range(16))
CHANNELS = {f"c0ffee00-0000-4000-8000-{number:012}": tenant for number, tenant in enumerate(TENANTS)}
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
IDLE_S = 10.0
WARM_UP = 20


@dataclass(frozen=True)
class Rate:
    """Records a second, and the share of one core that each process used meanwhile."""

    per_s: float
    cpu: dict[str, float]


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process so far (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


async def latencies(ask: Callable[[int], Awaitable[None]], samples: int) -> list[float]:
    """Return milliseconds of `samples` calls, one after the other, after some that do not count."""
    found = []
    for number in range(samples + WARM_UP):
        started = time.perf_counter()
        await ask(number)
        if number >= WARM_UP:
            found.append((time.perf_counter() - started) * 1000)
    return sorted(found)


async def produce(clients: KafkaClients, topic: str, records: Iterable[tuple[bytes, bytes]]) -> None:
    producer = clients.idempotent_producer(request_timeout_ms=20_000)
    await producer.start()
    for key, value in records:
        await producer.send(topic, key=key, value=value)
    await producer.flush()
    await close_client(producer)


async def rate_of_answers(
    clients: KafkaClients, topic: str, count: int, pids: dict[str, int], begin: Callable[[], Coroutine[Any, Any, None]]
) -> Rate:
    """Let `begin` send the work, and time from there to the last of `count` records in the topic."""
    consumer = clients.consumer()
    await consumer.start()
    partitions: list[TopicPartition] = await partitions_of(consumer, topic)
    ends = await consumer.end_offsets(partitions)
    consumer.assign(partitions)
    for partition in partitions:
        consumer.seek(partition, ends[partition])
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    started = time.perf_counter()
    sending = asyncio.create_task(begin())
    seen = 0
    while seen < count:
        for records in (await consumer.getmany(timeout_ms=500)).values():
            seen += len(records)
    seconds = time.perf_counter() - started
    await sending
    used = {name: (cpu_seconds(pid) - before[name]) / seconds for name, pid in pids.items()}
    await close_client(consumer)
    return Rate(seen / seconds, used)


def requests(count: int, run: str) -> Iterable[tuple[bytes, bytes]]:
    """Half of them are new people, half come again."""
    channels = list(CHANNELS.items())
    for number in range(count):
        channel, tenant = channels[number % len(channels)]
        person = f"{run}-{number % (count // 2)}"
        fields = {
            "tenant": tenant,
            "channel_id": channel,
            "external_id": person,
            "email": f"{person}@example.com",
            "metadata": {"plan": "pro"},
        }
        yield str(number).encode(), json.dumps(fields).encode()


@dataclass(frozen=True)
class Figures:
    """What was measured of one of the two: milliseconds, records a second, shares of a core."""

    idle_ms: list[float]
    rate: Rate
    at_rest: dict[str, float]


async def cpu_at_rest(pids: dict[str, int]) -> dict[str, float]:
    """Return the share of a core that each process uses when nothing is asked."""
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    await asyncio.sleep(IDLE_S)
    return {name: (cpu_seconds(pid) - before[name]) / IDLE_S for name, pid in pids.items()}


async def bench_service(stack: Stack, clients: KafkaClients, options: argparse.Namespace) -> Figures:
    """Measure the service: HTTP when idle, Kafka at full speed."""
    headers = {"Authorization": f"Bearer {stack.secrets.system_token}"}
    run = uuid.uuid4().hex[:8]
    channels = list(CHANNELS.items())
    async with aiohttp.ClientSession(headers=headers) as session:

        async def ask(number: int) -> None:
            channel, tenant = channels[number % len(channels)]
            body = {"tenant": tenant, "channel_id": channel, "external_id": f"{run}-idle-{number % 200}"}
            async with session.post(f"{stack.url}/contacts.identify", json=body) as response:
                await response.read()
                response.raise_for_status()

        idle = await latencies(ask, options.samples)
    pids = stack.process_ids
    at_rest = await cpu_at_rest(pids)
    names = stack.settings.topic_names

    async def begin() -> None:
        await produce(clients, names.requests, requests(options.requests, run))

    return Figures(idle, await rate_of_answers(clients, names.responses, options.requests, pids, begin), at_rest)


async def bench_peer(stack: Stack, clients: KafkaClients, options: argparse.Namespace) -> Figures:
    """Measure the peer: two hops that copy, asked over Kafka."""
    topics = [f"echo-{uuid.uuid4().hex[:8]}-{number}" for number in range(3)]
    declarations = [TopicDeclaration(name=topic, partitions=stack.settings.partitions) for topic in topics]
    await create_topics(clients.bootstrap_servers, declarations, replication_factor=1)
    command = [sys.executable, "-m", "benchmarks.echo_peer", clients.bootstrap_servers, *topics]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: ASYNC220 - once
    try:
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        pids = {"peer": process.pid, "Kafka": stack.process_ids["Kafka"]}
        idle = await echo_latencies(clients, topics, options.samples)
        at_rest = await cpu_at_rest(pids)

        async def begin() -> None:
            await produce(clients, topics[0], requests(options.requests, "echo"))

        return Figures(idle, await rate_of_answers(clients, topics[2], options.requests, pids, begin), at_rest)
    finally:
        process.terminate()
        process.wait()


async def echo_latencies(clients: KafkaClients, topics: list[str], samples: int) -> list[float]:
    """Send one record at a time and wait until it has come through, read uncommitted as the bridge reads."""
    producer, consumer = clients.idempotent_producer(request_timeout_ms=20_000), clients.consumer(read_committed=False)
    await producer.start()
    await consumer.start()
    partitions = await partitions_of(consumer, topics[2])
    consumer.assign(partitions)
    for partition in partitions:
        consumer.seek(partition, 0)

    async def ask(number: int) -> None:
        key = b"idle-%d" % number
        await producer.send_and_wait(topics[0], key=key, value=b"x" * 200)
        while not any(
            record.key == key for records in (await consumer.getmany(timeout_ms=2000)).values() for record in records
        ):
            pass

    found = await latencies(ask, samples)
    await close_client(producer)
    await close_client(consumer)
    return found


def show(service: Figures, peer: Figures, options: argparse.Namespace) -> None:
    """Print both, and the service in relation to the peer."""
    table = Table(
        title=f"{options.samples} idle requests, {options.requests} requests at full speed, {os.cpu_count()} cores"
    )
    for column in ("", "service", "peer", "ratio"):
        table.add_column(column, justify="left" if not column else "right")
    for label, quantile in (("idle p50 ms", 0.5), ("idle p90 ms", 0.9), ("idle p99 ms", 0.99)):
        ours, theirs = (figures.idle_ms[int(len(figures.idle_ms) * quantile)] for figures in (service, peer))
        table.add_row(label, f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.2f}")
    table.add_row("idle mean ms", *(f"{statistics.mean(figures.idle_ms):.1f}" for figures in (service, peer)), "")
    rates = service.rate.per_s, peer.rate.per_s
    table.add_row("requests/s", *(f"{rate:,.0f}" for rate in rates), f"{rates[0] / rates[1]:.2f}")
    for title, shares in (
        ("at full speed", (service.rate.cpu, peer.rate.cpu)),
        ("at rest", (service.at_rest, peer.at_rest)),
    ):
        for name in dict.fromkeys([*shares[0], *shares[1]]):
            values = (f"{100 * share[name]:.1f} %" if name in share else "" for share in shares)
            table.add_row(f"CPU {name}, {title}", *values, "")
    Console().print(table)


async def main(options: argparse.Namespace) -> None:
    """Start everything, measure, print, stop everything."""
    os.environ.update(to_environment({"channel_tenants": json.dumps(CHANNELS), "requests_tenants": "*"}))
    with tempfile.TemporaryDirectory() as directory:
        stack = Stack(StackOptions(directory=Path(directory), channels=tuple(CHANNELS)), print)
        try:
            await stack.start()
            clients = KafkaClients(bootstrap_servers=stack.settings.kafka_bootstrap_servers)
            peer = await bench_peer(stack, clients, options)
            service = await bench_service(stack, clients, options)
        finally:
            await stack.stop()
    show(service, peer, options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--samples", type=int, default=400)
    asyncio.run(main(parser.parse_args()))
