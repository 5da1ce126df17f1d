"""What an identify costs, and what a contact takes, in a customer base of a million contacts of one tenant.

    python -m benchmarks.scale [--contacts 1000000]

The identity agent and its RocksDB store, in this process, in batches as a shard makes them. There is no Kafka: what is
measured is the part that could grow with the table. A contact has an external id, an e-mail and a phone number. Costs
are CPU time of the thread that applies the log, Avro and the RocksDB write included; what RocksDB compacts in its own
threads is shown apart.
"""

import argparse
import gc
import os
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from aiokafka.structs import ConsumerRecord
from rich.console import Console
from rich.table import Table

from airy_identify.core.commands import RULES_VERSION, Identify, ReplyTo
from airy_identify.core.values import ChannelId, ConversationId, Email, PhoneNumber, RequestId, TenantId
from airy_identify.stream.agents.identity import IdentityAgent
from airy_identify.stream.batch import Batch
from airy_identify.stream.progress import fingerprint
from airy_identify.stream.store import Store, StoreMemory
from airy_identify.topics import TopicNames
from airy_identify.wire.commands import encode_command
from airy_identify.wire.rows import PROGRESS_KEY, Progress, encode_progress

TENANT = TenantId("default")
CHANNEL_ID = ChannelId("c0ffee00-0000-4000-8000-000000000001")
NAMES = TopicNames()
CONVERSATION_PARTITIONS = 8
COUNTS = {NAMES.conversation_commands: CONVERSATION_PARTITIONS, NAMES.bridge_responses: 1}
BATCH_RECORDS = 200
LOOK_AT = (10_000, 100_000, 300_000)
SAMPLES = 15
SAMPLE_RECORDS = 200
BEGUN_AT_MS = 1_700_000_000_000
REPLY_TO = ReplyTo(topic=NAMES.bridge_responses, partition=0, correlation_id=bytes(16))


@dataclass(frozen=True)
class Look:
    """Microseconds of CPU an identify costs: of somebody new, and of somebody who is there already."""

    contacts: int
    new_us: float
    known_us: float


class CustomerBase:
    """The identity shard of one tenant, without Kafka: a log that is made up record by record, and the real store."""

    def __init__(self, directory: Path) -> None:
        self.contacts = 0
        self._agent = IdentityAgent(names=NAMES, conversation_partitions=CONVERSATION_PARTITIONS)
        self._store = Store(directory, StoreMemory())
        self._store.open()
        self._offsets = count()
        self._dice = random.Random(1)

    def grow(self, contacts: int) -> float:
        """Add contacts; return the seconds of CPU it took to apply their commands."""
        numbers = range(self.contacts, self.contacts + contacts)
        self.contacts += contacts
        return self._apply(_command(number, self._dice) for number in numbers)

    def ask_again(self, requests: int) -> float:
        """Identify contacts that are there, picked at random; return the seconds of CPU it took."""
        dice = self._dice
        return self._apply(_command(dice.randrange(self.contacts), dice) for _ in range(requests))

    def look(self) -> Look:
        """Measure what an identify costs now."""
        contacts = self.contacts
        new = [self.grow(SAMPLE_RECORDS) for _ in range(SAMPLES)]
        known = [self.ask_again(SAMPLE_RECORDS) for _ in range(SAMPLES)]
        to_us = 1e6 / SAMPLE_RECORDS
        return Look(contacts, statistics.median(new) * to_us, statistics.median(known) * to_us)

    def pack(self) -> None:
        """Bring everything on disk and compact it."""
        database = self._store._open_db  # noqa: SLF001 - nobody but a measurement needs this
        database.flush()
        database.compact_range(None, None)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _apply(self, commands: Iterator[Identify]) -> float:
        used_s = 0.0
        while chunk := list(islice(commands, BATCH_RECORDS)):
            records = [_record(command, next(self._offsets)) for command in chunk]
            started = time.thread_time()
            batch = Batch(records, self._store, COUNTS)
            for record in batch:
                self._agent.process(record, batch)
            last = batch.last_record
            batch.put(PROGRESS_KEY, encode_progress(Progress(offset=last.offset, fingerprint=fingerprint(last))))
            self._store.write(batch.rows.items(), position=last.offset + 1, now_ms=BEGUN_AT_MS)
            used_s += time.thread_time() - started
        return used_s


def _command(number: int, dice: random.Random) -> Identify:
    phone_number = f"+4930{number:08}"
    return Identify(
        request_id=RequestId(f"request-{number}"),
        tenant=TENANT,
        accepted_at_ms=BEGUN_AT_MS + number,
        new_id=ConversationId(str(uuid.UUID(int=dice.getrandbits(128), version=4))),
        rules_version=RULES_VERSION,
        channel_id=CHANNEL_ID,
        channel_source="chatplugin",
        reply_to=REPLY_TO,
        external_id=f"customer-{number}",
        email=Email(value=f"somebody.{number}@example.com", verified=True),
        phone_number=PhoneNumber(value=phone_number, key=phone_number, verified=True),
        metadata={"display_name": f"Customer {number}", "plan": "pro"},
    )


def _record(command: Identify, offset: int) -> ConsumerRecord:
    value, key = encode_command(command), command.tenant.encode()
    return ConsumerRecord(
        topic=NAMES.identity_commands,
        partition=0,
        offset=offset,
        timestamp=command.accepted_at_ms,
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key),
        serialized_value_size=len(value),
        headers=(),
    )


def _resident_bytes() -> int:
    """Return the memory of this process that is in RAM (proc(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _disk_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def measure(contacts: int, directory: Path, console: Console) -> None:
    """Fill a store with contacts, and print what is found on the way and at the end."""
    base = CustomerBase(directory)
    base.grow(BATCH_RECORDS)  # schemas are read, code is warm
    gc.collect()
    resident, process_s, thread_s = _resident_bytes(), time.process_time(), time.thread_time()
    looks: list[Look] = []
    for size in sorted({size for size in LOOK_AT if size < contacts} | {contacts}):
        base.grow(max(0, size - base.contacts))
        looks.append(base.look())
        console.print(f"{size:,} contacts: {looks[-1].new_us:.0f} µs, {looks[-1].known_us:.0f} µs", highlight=False)
    others_s = time.process_time() - process_s - (time.thread_time() - thread_s)
    grown = _resident_bytes() - resident
    base.pack()
    on_disk = _disk_bytes(directory)
    base.close()
    first, last = looks[0], looks[-1]
    table = Table("what", "figure", title=f"CPU time of {SAMPLES} samples of {SAMPLE_RECORDS} identifies, median")
    for name, before_us, after_us in (
        ("somebody new", first.new_us, last.new_us),
        ("somebody who is there", first.known_us, last.known_us),
    ):
        table.add_row(f"{name}, at {first.contacts:,} contacts", f"{before_us:.0f} µs")
        table.add_row(f"{name}, at {last.contacts:,} contacts", f"{after_us:.0f} µs")
        table.add_row(f"{name}, ratio", f"{after_us / before_us:.2f}")
    table.add_row("RocksDB's own threads, per contact", f"{others_s / base.contacts * 1e6:.0f} µs")
    table.add_row("on disk, compacted, per contact", f"{on_disk / base.contacts:.0f} bytes")
    table.add_row("memory of the process grew by", f"{grown / 1024 / 1024:.0f} MiB")
    table.add_row("that is, per contact", f"{grown / base.contacts:.0f} bytes")
    console.print(table)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale")
    parser.add_argument("--contacts", type=int, default=1_000_000)
    contacts = parser.parse_args().contacts
    with tempfile.TemporaryDirectory(prefix="scale-") as directory:
        measure(contacts, Path(directory) / "store", Console(width=100))


if __name__ == "__main__":
    main()
