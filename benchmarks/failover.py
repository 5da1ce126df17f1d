"""How long callers wait after the kill -9 of a worker, without and with a standby, on one local Kafka.

    python -m benchmarks.failover [--rows 1000000] [--partitions 8] [--session-timeout-ms 10000]

The table `contact-identity` has `rows` rows, as encoded by the service, written into its changelog. Two workers and a bridge
run; when every shard runs, and every standby has come to the end, one worker is killed, and each partition has one
HTTP request sent to it at once. The outage of a partition is the time from the kill to that answer. It is measured twice on the
same logs: without standbys the other worker restores the tables that it takes over, with one it reads their tail.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import aiohttp
from aiokafka.structs import TopicPartition
from rich.console import Console
from rich.table import Table

from airy_identify.core.values import ChannelId
from airy_identify.kafka import KafkaClients, close_client, partition_for, read_to_end
from airy_identify.ops.child import start_child
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.ops.ports import free_port
from airy_identify.ops.topics import create_topics
from airy_identify.settings import Settings, to_environment
from airy_identify.stream.progress import fingerprint
from airy_identify.topics import AIRY_PARTITIONS, CONVERSATION, IDENTITY, declare, declare_airy
from airy_identify.wire.airy import Channel, encode_channel
from airy_identify.wire.rows import PROGRESS_KEY, Progress, encode_progress
from benchmarks.restore import fill

TOKEN = "system-token-of-a-benchmark"
SECRET = "YmVuY2htYXJrcyBzaWduIHdpdGggdGhpcyBzZWNyZXQsIGFuZCBub2JvZHkgZWxzZSBkb2Vz"
ROWS_OF_A_CONTACT = 3
READY_S = 600.0
POLL_S = 0.1


@dataclass
class Process:
    """A worker or a bridge of the benchmark."""

    command: str
    settings: Settings
    directory: Path
    name: str
    standby_replicas: int = 0
    port: int = field(default_factory=free_port)
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with its log beside its data."""
        values = {
            "kafka_bootstrap_servers": self.settings.kafka_bootstrap_servers,
            "partitions": self.settings.partitions,
            "session_timeout_ms": self.settings.session_timeout_ms,
            "request_timeout_ms": self.settings.request_timeout_ms,
            "channel_tenants": json.dumps(dict(self.settings.channel_tenants)),
            "standby_replicas": self.standby_replicas,
            "data_dir": self.directory / self.name,
            "system_token": TOKEN,
            "jwt_secret": SECRET,
            "http_port" if self.command == "web" else "worker_port": self.port,
        }
        self.directory.mkdir(exist_ok=True)
        with (self.directory / f"{self.name}.log").open("wb") as output:
            command = [sys.executable, "-m", "airy_identify", self.command]
            self.running = start_child(command, output=output, environment=os.environ | to_environment(values))

    def kill(self) -> None:
        """End it at once (kill -9). Does nothing when it does not run."""
        if self.running is not None:
            self.running.kill()
            self.running.wait()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def get(self, session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
        """Return status and body of a page; 0 while nobody listens."""
        try:
            async with session.get(f"{self.url}{path}") as response:
                return response.status, await response.text()
        except aiohttp.ClientConnectionError:
            return 0, ""


@dataclass(frozen=True)
class Outages:
    """Seconds from the kill to the first answer, by partition: those that the killed worker had, and the others."""

    moved: dict[int, float]
    others: dict[int, float]
    restored_rows: int


def channels_by_partition(partitions: int) -> dict[str, str]:
    """Return a channel and its tenant for each partition of the identity log, in their order."""
    found: dict[int, str] = {}
    for number in count():
        tenant = f"tenant-{number}"
        found.setdefault(partition_for(tenant.encode(), partitions), tenant)
        if len(found) == partitions:
            return {f"c0ffee00-0000-4000-8000-{part:012}": found[part] for part in range(partitions)}
    raise AssertionError("unreachable")


async def prepare(settings: Settings, contacts: int) -> int:
    """Make topics, channels, and a table that stands at the first record of its log; return how many rows it has."""
    names, clients = settings.topic_names, KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers)
    ours = declare(names, partitions=settings.partitions, messages_partitions=AIRY_PARTITIONS, production=False)
    await create_topics(settings.kafka_bootstrap_servers, [*declare_airy(names), *ours], replication_factor=1)
    producer = clients.idempotent_producer(request_timeout_ms=20_000)
    await producer.start()
    for channel_id in settings.channel_tenants:
        channel = Channel(id=ChannelId(channel_id), source="chatplugin", source_channel_id="bench", connected=True)
        await producer.send_and_wait(names.airy_channels, key=channel_id.encode(), value=encode_channel(channel))
    for partition in range(settings.partitions):
        await producer.send_and_wait(names.identity_commands, key=b"", value=b"applied long ago", partition=partition)
    rows = await fill(clients, names.changelog(IDENTITY), contacts, settings.partitions)
    consumer = clients.consumer()
    await consumer.start()
    log = [TopicPartition(names.identity_commands, number) for number in range(settings.partitions)]
    async for records in read_to_end(consumer, log):
        for record in records:
            progress = Progress(offset=record.offset, fingerprint=fingerprint(record), digest=bytes(32))
            await producer.send_and_wait(
                names.changelog(IDENTITY),
                key=PROGRESS_KEY,
                value=encode_progress(progress),
                partition=record.partition,
            )
    await close_client(consumer)
    await close_client(producer)
    return rows


def values_of(page: str, metric: str, **labels: str) -> dict[tuple[str, int], float]:
    """Return a metric by agent and partition."""
    found = {}
    for line in page.splitlines():
        told = dict(re.findall(r'(\w+)="([^"]*)"', line))
        if line.startswith(f"{metric}{{") and labels.items() <= told.items():
            found[told["agent"], int(told.get("partition", -1))] = float(line.rsplit(" ", 1)[1])
    return found


async def until_ready(
    session: aiohttp.ClientSession, workers: list[Process], settings: Settings, standbys: int
) -> None:
    """Wait until every shard runs, and every standby has come to the end of its changelog."""
    wanted = 3 * settings.partitions + 2 * AIRY_PARTITIONS
    async with asyncio.timeout(READY_S):
        while True:
            for worker in workers:
                assert worker.running is not None
                assert worker.running.poll() is None, "a worker has ended: see its log"
            pages = [(await worker.get(session, "/metrics"))[1] for worker in workers]
            run = [values_of(page, "airy_identify_shard_state", state="running") for page in pages]
            rest = [rows for page in pages for rows in values_of(page, "airy_identify_standby_behind_rows").values()]
            if sum(map(len, run)) == wanted and all(run) and rest == [0.0] * (standbys * 2 * settings.partitions):
                return
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def running(settings: Settings, directory: Path, standbys: int) -> AsyncIterator[tuple[list[Process], Process]]:
    """Run two workers and a bridge."""
    workers = [Process("worker", settings, directory, f"worker-{number}", standbys) for number in range(2)]
    bridge = Process("web", settings, directory, "bridge")
    try:
        for process in (*workers, bridge):
            process.start()
        yield workers, bridge
    finally:
        for process in (*workers, bridge):
            process.kill()


async def measure(settings: Settings, directory: Path, standbys: int) -> Outages:
    """Kill a worker, and time the first answer of each partition."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    channels = list(settings.channel_tenants.items())
    async with (
        running(settings, directory, standbys) as (workers, bridge),
        aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=READY_S)) as session,
    ):
        await until_ready(session, workers, settings, standbys)

        async def ask(partition: int) -> None:
            channel, tenant = channels[partition]
            body = {"tenant": tenant, "channel_id": channel, "external_id": uuid.uuid4().hex}
            while True:
                async with session.post(f"{bridge.url}/contacts.identify", json=body) as response:
                    if response.status == 200:  # noqa: PLR2004
                        return
                    await response.read()
                await asyncio.sleep(POLL_S)

        await asyncio.gather(*(ask(partition) for partition in range(settings.partitions)))
        victim, other = workers
        page = (await victim.get(session, "/metrics"))[1]
        had = {number for agent, number in values_of(page, "airy_identify_table_offset") if agent == IDENTITY}
        before = values_of((await other.get(session, "/metrics"))[1], "airy_identify_restored_rows_total")
        victim.kill()
        killed = time.perf_counter()

        async def outage(partition: int) -> float:
            await ask(partition)
            return time.perf_counter() - killed

        seconds = await asyncio.gather(*(outage(partition) for partition in range(settings.partitions)))
        after = values_of((await other.get(session, "/metrics"))[1], "airy_identify_restored_rows_total")
    restored = sum(after.get((table, -1), 0) - before.get((table, -1), 0) for table in (IDENTITY, CONVERSATION))
    return Outages(
        {number: seconds[number] for number in range(settings.partitions) if number in had},
        {number: seconds[number] for number in range(settings.partitions) if number not in had},
        int(restored),
    )


def show(found: dict[int, Outages], rows: int, settings: Settings) -> None:
    """Print a line for each of the two."""
    session_s = settings.session_timeout_ms / 1000
    table = Table(title=f"{rows:,} rows in {settings.partitions} partitions, session timeout {session_s:g} s")
    for column in (
        "standbys",
        "partitions that moved",
        "rows restored",
        "first answer s",
        "last answer s",
        "last, beyond the session timeout s",
    ):
        table.add_column(column, justify="right")
    for standbys, outages in found.items():
        moved = sorted(outages.moved.values())
        table.add_row(
            str(standbys),
            str(len(moved)),
            f"{outages.restored_rows:,}",
            f"{moved[0]:.1f}",
            f"{moved[-1]:.1f}",
            f"{moved[-1] - session_s:+.1f}",
        )
    Console(width=120).print(table)


async def main(options: argparse.Namespace) -> None:
    """Start Kafka, make the table, measure without and with a standby, print, stop."""
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        directory = Path(name)
        kafka = LocalKafka(directory / "kafka")
        await kafka.start()
        try:
            settings = Settings(
                kafka_bootstrap_servers=kafka.bootstrap_servers,
                partitions=options.partitions,
                session_timeout_ms=options.session_timeout_ms,
                request_timeout_ms=int(READY_S * 1000),
                channel_tenants=channels_by_partition(options.partitions),
            )
            rows = await prepare(settings, -(-options.rows // ROWS_OF_A_CONTACT))
            print(f"{rows:,} rows written")
            found = {standbys: await measure(settings, directory / str(standbys), standbys) for standbys in (0, 1)}
        finally:
            await kafka.stop()
    show(found, rows, settings)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--session-timeout-ms", type=int, default=10_000)
    parser.add_argument("--directory", type=Path, help="where to work; default is the system's temporary directory")
    asyncio.run(main(parser.parse_args()))
