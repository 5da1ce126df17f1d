"""How fast a shard restores, and in how much memory, beside a peer that only reads: on one local Kafka.

    python -m benchmarks.restore [--contacts 1000000] [--partitions 8] [--processes 1]

The changelog is that of `contacts` contacts: each is a contact row and two rows for the identifiers that find it, as
encoded by the service, so three times as many rows. The restore is the service's own: `stream.opening.restore` into RocksDB,
all partitions at once in one process, as after a wiped directory. The peer reads the same records with plain aiokafka and
drops them. Memory is the peak of the process (VmHWM), before anything is restored and after.
"""

import argparse
import asyncio
import multiprocessing
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.structs import TopicPartition
from rich.console import Console
from rich.table import Table

from airy_identify.core.values import Contact, ContactId, ContactKey, Email, IdentifierKey, Owner, TenantId
from airy_identify.kafka import KafkaClients, close_client, read_to_end
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.ops.topics import create_topics
from airy_identify.stream.opening import LogRange, RestoreRules, restore
from airy_identify.stream.store import Store, StoreMemory
from airy_identify.topics import TopicDeclaration
from airy_identify.wire.rows import PROGRESS_KEY, Progress, encode_identity_key, encode_identity_row, encode_progress

TENANT = TenantId("default")
BATCH = 2000
MIB = 1024 * 1024

Work = Callable[[str, str, list[int], Path], Coroutine[Any, Any, "Figures"]]


@dataclass(frozen=True)
class Figures:
    """What one process did: rows, seconds, of them on a core, its memory before and its peak, in bytes; what the disk holds."""

    rows: int
    seconds: float
    cpu_seconds: float
    memory_before: int
    memory_peak: int
    disk: int


def rows_of_contact(number: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the rows of one contact, as the table has them."""
    contact_id = ContactId(str(uuid.UUID(int=number + (5 << 76) + (2 << 62))))
    email = f"person-{number}@example.com"
    contact = Contact(
        id=contact_id,
        created_at_ms=1_700_000_000_000 + number,
        updated_at_ms=1_700_000_000_000 + number,
        known=True,
        external_id=f"user-{number}",
        email=Email(value=email, verified=True),
        metadata={"plan": "pro", "first_name": "Ada"},
    )
    owner = encode_identity_row(Owner(contact_id=contact_id))
    yield encode_identity_key(ContactKey(tenant=TENANT, contact_id=contact_id)), encode_identity_row(contact)
    yield encode_identity_key(IdentifierKey(tenant=TENANT, kind="external_id", value=f"user-{number}")), owner
    yield encode_identity_key(IdentifierKey(tenant=TENANT, kind="email", value=email)), owner


async def fill(clients: KafkaClients, topic: str, contacts: int, partitions: int) -> int:
    """Write the changelog as shards do, a transaction for each batch of contacts, and return how many rows it has."""
    producer = clients.transactional_producer(f"{topic}-bench", request_timeout_ms=20_000)
    await producer.start()
    written = 0
    for partition in range(partitions):
        numbers = range(partition, contacts, partitions)
        for start in range(0, len(numbers), BATCH):
            part = numbers[start : start + BATCH]
            rows = [row for number in part for row in rows_of_contact(number)]
            progress = Progress(offset=start + len(part) - 1, fingerprint=b"f" * 16, digest=b"d" * 32)
            rows.append((PROGRESS_KEY, encode_progress(progress)))
            batch = producer.create_batch()
            for key, row in rows:
                assert batch.append(key=key, value=row, timestamp=None, headers=[]) is not None
            await producer.begin_transaction()
            await (await producer.send_batch(batch, topic, partition=partition))
            await producer.commit_transaction()
            written += len(rows)
    await close_client(producer)
    return written


def peak_bytes() -> int:
    """Return the most memory that this process has had resident so far (proc(5))."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def bytes_on_disk(directory: Path) -> int:
    """Return how large the files below a directory are."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


async def restore_all(servers: str, topic: str, partitions: list[int], directory: Path) -> Figures:
    """Restore these partitions at once, as a worker does."""
    clients, memory = KafkaClients(bootstrap_servers=servers), StoreMemory()
    before, started, cpu = peak_bytes(), time.perf_counter(), time.process_time()

    async def one(number: int) -> int:
        partition = TopicPartition(topic, number)
        consumer = clients.consumer()
        await consumer.start()
        begin, end = await consumer.beginning_offsets([partition]), await consumer.end_offsets([partition])
        store = Store(directory / str(number), memory)
        log = LogRange(partition, begin[partition], end[partition])
        rules = RestoreRules(max_age_ms=10**9, now_ms=lambda: 0)
        rows, _ = await restore(consumer, store, log, rules, on_fetch=lambda _: None)
        await close_client(consumer)
        store.close()
        return rows

    rows = sum(await asyncio.gather(*(one(number) for number in partitions)))
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    disk = await asyncio.to_thread(bytes_on_disk, directory)
    return Figures(rows, seconds, cpu, before, peak_bytes(), disk)


async def read_all(servers: str, topic: str, partitions: list[int], directory: Path) -> Figures:  # noqa: ARG001 - as above
    """Read the same records and drop them: the peer."""
    consumer = KafkaClients(bootstrap_servers=servers).consumer()
    await consumer.start()
    before, started, cpu, rows = peak_bytes(), time.perf_counter(), time.process_time(), 0
    async for records in read_to_end(consumer, [TopicPartition(topic, number) for number in partitions]):
        rows += len(records)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    await close_client(consumer)
    return Figures(rows, seconds, cpu, before, peak_bytes(), 0)


def in_process(work: Work, servers: str, topic: str, partitions: list[int], directory: Path) -> Figures:
    """Run one of the two; called in a process of its own."""
    return asyncio.run(work(servers, topic, partitions, directory))


def measure(work: Work, servers: str, topic: str, options: argparse.Namespace, directory: Path) -> list[Figures]:
    """Run it in fresh processes, the partitions shared out between them."""
    shares = [list(range(number, options.partitions, options.processes)) for number in range(options.processes)]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        running = [
            pool.apply_async(in_process, (work, servers, topic, share, directory / str(number)))
            for number, share in enumerate(shares)
        ]
        return [each.get() for each in running]


async def main(options: argparse.Namespace) -> None:
    """Start Kafka, fill the changelog, measure both, print, stop."""
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        directory = Path(name)
        kafka = LocalKafka(directory / "kafka")
        await kafka.start()
        try:
            topic = "bench-changelog"
            declaration = TopicDeclaration(
                name=topic, partitions=options.partitions, config={"cleanup.policy": "compact"}
            )
            await create_topics(kafka.bootstrap_servers, [declaration], replication_factor=1)
            clients = KafkaClients(bootstrap_servers=kafka.bootstrap_servers)
            written = await fill(clients, topic, options.contacts, options.partitions)
            print(f"{options.contacts} contacts, {written} rows in {options.partitions} partitions written")
            arguments = (kafka.bootstrap_servers, topic, options)
            peer = await asyncio.to_thread(measure, read_all, *arguments, directory)
            ours = await asyncio.to_thread(measure, restore_all, *arguments, directory / "stores")
        finally:
            await kafka.stop()
    assert sum(each.rows for each in ours) == sum(each.rows for each in peer) == written
    show(ours, peer, options)


def show(ours: list[Figures], peer: list[Figures], options: argparse.Namespace) -> None:
    """Print a line for each process."""
    table = Table(title=f"{options.partitions} partitions, {options.contacts} contacts, {os.cpu_count()} cores")
    for column in ("process", "rows", "seconds", "rows/s", "rows/CPU s", "MiB before", "MiB peak", "MiB on disk"):
        table.add_column(column, justify="left" if column == "process" else "right")
    for name, figures in (("restore", ours), ("peer", peer)):
        for each in figures:
            table.add_row(
                name,
                f"{each.rows:,}",
                f"{each.seconds:.1f}",
                f"{each.rows / each.seconds:,.0f}",
                f"{each.rows / each.cpu_seconds:,.0f}",
                *(f"{size / MIB:,.0f}" for size in (each.memory_before, each.memory_peak, each.disk)),
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contacts", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--directory", type=Path, help="where to work; default is the system's temporary directory")
    asyncio.run(main(parser.parse_args()))
