"""What an identify costs, and what a contact takes, in a customer base of a million contacts of one tenant.

    python -m benchmarks.scale [--contacts 1000000]

The three agents that a request to identify goes through, with their RocksDB stores, in this process, in batches as
shards make them. There is no Kafka. A contact has an external id, an e-mail and a phone number. Costs are CPU time of
the thread that runs the agents, from the JSON of the request to the JSON of the answer with its token, RocksDB writes
included; what RocksDB compacts in its own threads is shown apart. Contacts that nobody looks at are written by the
identity agent alone, and their conversations' rows as they are: that is what the tables would hold.
"""

import argparse
import gc
import json
import os
import random
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from aiokafka.structs import ConsumerRecord, TopicPartition
from rich.console import Console
from rich.table import Table

from airy_identify.core.commands import RULES_VERSION, Identify, ReplyTo
from airy_identify.core.values import (
    ChannelId,
    Conversation,
    ConversationId,
    Email,
    PhoneNumber,
    RequestId,
    TenantId,
)
from airy_identify.intake.channels import ChannelDirectory
from airy_identify.intake.policy import CHAT_PLUGIN, IntakePolicy, Stamp
from airy_identify.stream.agents.conversation import ConversationAgent
from airy_identify.stream.agents.identity import IdentityAgent
from airy_identify.stream.agents.intake import IntakeAgent
from airy_identify.stream.agents.replies import DeadLetters
from airy_identify.stream.app import Process
from airy_identify.stream.batch import Batch
from airy_identify.stream.progress import fingerprint
from airy_identify.stream.store import Store, StoreMemory
from airy_identify.topics import TopicNames
from airy_identify.wire.airy import Channel, encode_channel
from airy_identify.wire.commands import encode_command
from airy_identify.wire.resume_token import ResumeTokenSigner
from airy_identify.wire.rows import (
    PROGRESS_KEY,
    Progress,
    encode_conversation_key,
    encode_conversation_row,
    encode_progress,
)

TENANT = TenantId("default")
CHANNEL_ID = ChannelId("c0ffee00-0000-4000-8000-000000000001")
NAMES = TopicNames()
COUNTS = {
    NAMES.identity_commands: 1,
    NAMES.conversation_commands: 1,
    NAMES.responses: 1,
    NAMES.bridge_responses: 1,
    NAMES.dead_letters: 1,
}
BATCH_RECORDS = 200
LOOK_AT = (10_000, 100_000, 300_000)
SAMPLES = 15
SAMPLE_RECORDS = 200
BEGUN_AT_MS = 1_700_000_000_000
REPLY_TO = ReplyTo(topic=NAMES.bridge_responses, partition=0, correlation_id=bytes(16))


@dataclass(frozen=True)
class Look:
    """Microseconds of CPU an identify costs: of somebody new, and of somebody who is there already.

    `table_us` is the part of the latter that the identity agent and its table take.
    """

    contacts: int
    new_us: float
    known_us: float
    table_us: float


class CustomerBase:
    """The service of one tenant, without Kafka: made-up requests, the real agents, and the real stores."""

    def __init__(self, directory: Path) -> None:
        self.contacts = 0
        self._dice = random.Random(1)
        self._offsets = count()
        memory = StoreMemory()
        self._identities = Store(directory / "contact-identity", memory)
        self._conversations = Store(directory / "conversation", memory)
        for store in (self._identities, self._conversations):
            store.open()
        channels = ChannelDirectory()
        channel = Channel(id=CHANNEL_ID, source=CHAT_PLUGIN, source_channel_id="shop", connected=True)
        channels.apply(CHANNEL_ID.encode(), encode_channel(channel))
        self._intake = IntakeAgent(
            names=NAMES,
            channels=channels,
            policy=IntakePolicy(),
            reply_topics=frozenset({NAMES.responses}),
            dead_letters=DeadLetters(topic=NAMES.dead_letters, partitions=1, metrics=_Uncounted()),
            partitions=COUNTS,
            stamp=lambda: Stamp(accepted_at_ms=BEGUN_AT_MS + self.contacts, new_id=_new_id(self._dice)),
        ).process
        self._identity = IdentityAgent(names=NAMES, conversation_partitions=1).process
        self._conversation = ConversationAgent(names=NAMES, partitions=1, signer=ResumeTokenSigner(bytes(32))).process
        self._table_s = 0.0

    def grow(self, contacts: int) -> None:
        """Add contacts, and their conversations' rows."""
        numbers = iter(range(self.contacts, self.contacts + contacts))
        self.contacts += contacts
        while chunk := [_command(number, self._dice) for number in islice(numbers, BATCH_RECORDS)]:
            self._apply_commands(self._record(encode_command(command)) for command in chunk)
            rows = [(encode_conversation_key(command.new_id), _conversation_row(command)) for command in chunk]
            self._conversations.write(rows, position=next(self._offsets), now_ms=BEGUN_AT_MS)

    def look(self) -> Look:
        """Measure what an identify costs now."""
        contacts = self.contacts
        new, known, table = [], [], []
        for _ in range(SAMPLES):
            new.append(self._identify(range(self.contacts, self.contacts + SAMPLE_RECORDS)))
            self.contacts += SAMPLE_RECORDS
        for _ in range(SAMPLES):
            self._table_s = 0.0
            known.append(self._identify([self._dice.randrange(contacts) for _ in range(SAMPLE_RECORDS)]))
            table.append(self._table_s)
        new_us, known_us, table_us = (statistics.median(each) * 1e6 / SAMPLE_RECORDS for each in (new, known, table))
        return Look(contacts, new_us, known_us, table_us)

    def pack(self) -> None:
        """Bring everything on disk and compact it."""
        for store in (self._identities, self._conversations):
            database = store._open_db  # noqa: SLF001 - nobody but a measurement needs this
            database.flush()
            database.compact_range(None, None)

    def close(self) -> None:
        """Close the stores."""
        self._identities.close()
        self._conversations.close()

    def _identify(self, numbers: Iterable[int]) -> float:
        """Send a request for each of these people all the way; return the seconds of CPU it took."""
        requests = [self._record(_request(number)) for number in numbers]
        started = time.thread_time()
        accepted = Batch(requests, {}, COUNTS)
        _process(self._intake, accepted)
        commands = [self._record(value) for _, value, _ in accepted.outputs[TopicPartition(NAMES.identity_commands, 0)]]
        decided = self._apply_commands(commands)
        slips = [self._record(value) for _, value, _ in decided.outputs[TopicPartition(NAMES.conversation_commands, 0)]]
        answered = Batch(slips, self._conversations, COUNTS)
        _process(self._conversation, answered)
        self._write(self._conversations, answered)
        used_s = time.thread_time() - started
        answers = [answer for answers in answered.answers.values() for answer in answers]
        if len(answers) != len(requests) or any(b'"resume_token":"' not in answer.value for answer in answers):
            raise RuntimeError("not everybody was answered with a token")
        return used_s

    def _apply_commands(self, records: Iterable[ConsumerRecord]) -> Batch:
        started = time.thread_time()
        batch = Batch(list(records), self._identities, COUNTS)
        _process(self._identity, batch)
        self._write(self._identities, batch)
        self._table_s += time.thread_time() - started
        return batch

    def _write(self, store: Store, batch: Batch) -> None:
        last = batch.last_record
        batch.put(PROGRESS_KEY, encode_progress(Progress(offset=last.offset, fingerprint=fingerprint(last))))
        store.write(batch.rows.items(), position=last.offset + 1, now_ms=BEGUN_AT_MS)

    def _record(self, value: bytes | None) -> ConsumerRecord:
        return ConsumerRecord(
            topic="log",
            partition=0,
            offset=next(self._offsets),
            timestamp=BEGUN_AT_MS,
            timestamp_type=0,
            key=TENANT.encode(),
            value=value,
            checksum=None,
            serialized_key_size=len(TENANT),
            serialized_value_size=len(value or b""),
            headers=(),
        )


class _Uncounted:
    def dead_lettered(self, code: str) -> None:
        raise RuntimeError(f"a request became a dead letter: {code}")


def _process(process: Process, batch: Batch) -> None:
    for record in batch:
        process(record, batch)


def _new_id(dice: random.Random) -> ConversationId:
    return ConversationId(str(uuid.UUID(int=dice.getrandbits(128), version=4)))


def _conversation_row(command: Identify) -> bytes:
    conversation = Conversation(
        id=command.new_id, channel_id=CHANNEL_ID, source=CHAT_PLUGIN, created_at_ms=command.accepted_at_ms
    )
    return encode_conversation_row(conversation)


def _request(number: int) -> bytes:
    request = {
        "channel_id": CHANNEL_ID,
        "external_id": f"customer-{number}",
        "email": f"somebody.{number}@example.com",
        "phone_number": f"+4930{number:08}",
        "metadata": {"display_name": f"Customer {number}", "plan": "pro"},
    }
    return json.dumps(request).encode()


def _command(number: int, dice: random.Random) -> Identify:
    phone_number = f"+4930{number:08}"
    return Identify(
        request_id=RequestId(f"request-{number}"),
        tenant=TENANT,
        accepted_at_ms=BEGUN_AT_MS + number,
        new_id=_new_id(dice),
        rules_version=RULES_VERSION,
        channel_id=CHANNEL_ID,
        channel_source="chatplugin",
        reply_to=REPLY_TO,
        external_id=f"customer-{number}",
        email=Email(value=f"somebody.{number}@example.com", verified=True),
        phone_number=PhoneNumber(value=phone_number, key=phone_number, verified=True),
        metadata={"display_name": f"Customer {number}", "plan": "pro"},
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
        costs = f"{looks[-1].new_us:.0f} µs, {looks[-1].known_us:.0f} µs, {looks[-1].table_us:.0f} µs"
        console.print(f"{size:,} contacts: {costs}", highlight=False)
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
        ("of that the identity table", first.table_us, last.table_us),
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
