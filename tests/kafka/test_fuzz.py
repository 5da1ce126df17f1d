"""Twenty thousand records that are right, nearly right and not at all: each is accounted for, once, and nothing stops."""

import asyncio
import collections
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka.structs import ConsumerRecord

from airy_identify.core.reasons import Reason
from airy_identify.header_names import AnyNameBatch
from airy_identify.kafka import BATCH_BYTES, KafkaClients, close_client, partitions_of
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.settings import Settings
from airy_identify.wire.headers import (
    CORRELATION_ID,
    CORRELATION_ID_BYTES_MAX,
    DEAD_LETTER_CODE,
    DEAD_LETTER_OFFSET,
    DEAD_LETTER_PARTITION,
    DEAD_LETTER_TOPIC,
    REPLY_TOPIC,
)
from tests.kafka.caller import calling
from tests.kafka.conftest import create_all_topics, settings_of
from tests.kafka.fuzz import Fuzz, FuzzRecord
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.replay import read
from tests.kafka.service import put_channels
from tests.kafka.test_reply_topics import create
from tests.records import asked_in

RECORDS = 20_000
SEED = 20_260
DEADLINE_S = 300.0


@dataclass
class Account:
    """What came of the records, by their origin `<topic>-<partition>-<offset>`."""

    sent: dict[str, FuzzRecord]
    answers: collections.Counter[str] = field(default_factory=collections.Counter)
    letters: dict[str, list[ConsumerRecord]] = field(default_factory=lambda: collections.defaultdict(list))
    strangers: list[ConsumerRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._origin_of = {
            record.correlation_id: origin for origin, record in self.sent.items() if record.correlation_id is not None
        }

    def origin_of(self, request_id: str, correlation_id: bytes | None) -> str | None:
        """Return the record that an answer or command belongs to."""
        origin = self._origin_of.get(correlation_id or b"")
        return request_id if origin is None and request_id in self.sent else origin

    def take(self, record: ConsumerRecord, *, is_letter: bool) -> None:
        if is_letter:
            self._take_letter(record)
        else:
            self._take_answer(record)

    def _take_answer(self, record: ConsumerRecord) -> None:
        origin = self.origin_of(record.key.decode(), dict(record.headers)[CORRELATION_ID])
        if origin is None:
            self.strangers.append(record)
        else:
            self.answers[origin] += 1

    def _take_letter(self, record: ConsumerRecord) -> None:
        headers = dict(record.headers)
        names = (DEAD_LETTER_TOPIC, DEAD_LETTER_PARTITION, DEAD_LETTER_OFFSET)
        self.letters["-".join(headers[name].decode() for name in names)].append(record)

    @property
    def missing(self) -> set[str]:
        """The records of which nothing has come yet, or of which an answer is still due."""
        return {origin for origin in self.sent if self.answers[origin] < self.due(origin)}

    def report(self) -> str:
        """Say what has not come, and what came that belongs to nothing."""
        some = [(origin, self.sent[origin]) for origin in sorted(self.missing)[:3]]
        return f"{len(self.missing)} missing, such as {some}; strangers: {self.strangers[:3]}"

    def due(self, origin: str) -> int:
        """Return how many answers there must be: one, unless the record could not be answered."""
        letters = self.letters.get(origin)
        if not letters:
            return 1
        code = dict(letters[0].headers)[DEAD_LETTER_CODE].decode()
        return int(code == Reason.MALFORMED_JSON and self.sent[origin].correlation_id is not None)


async def send_all(settings: Settings, records: list[FuzzRecord]) -> dict[str, FuzzRecord]:
    """Append the records; return them by their origin."""
    topic = settings.topic_names.requests
    producer = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers).idempotent_producer(
        request_timeout_ms=60_000
    )
    await producer.start()
    sent: dict[str, FuzzRecord] = {}
    try:
        for partition in range(settings.partitions):
            batch, contents = AnyNameBatch(BATCH_BYTES, transactional=False), list[FuzzRecord]()
            for record in [*(record for record in records if record.partition == partition), None]:
                if record is not None and batch.append(
                    key=record.key, value=record.value, timestamp=None, headers=record.headers
                ):
                    contents.append(record)
                    continue
                metadata = await (await producer.send_batch(batch, topic, partition=partition))
                for number, each in enumerate(contents):
                    sent[f"{topic}-{partition}-{metadata.offset + number}"] = each
                if record is not None:
                    batch, contents = AnyNameBatch(BATCH_BYTES, transactional=False), [record]
                    batch.append(key=record.key, value=record.value, timestamp=None, headers=record.headers)
    finally:
        await close_client(producer)
    return sent


async def collect(settings: Settings, replies: tuple[str, ...], account: Account) -> None:
    """Read topics from their start until everything is there; the test fails when that takes too long."""
    consumer = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers).consumer()
    await consumer.start()
    deadline, dead_letters = time.monotonic() + DEADLINE_S, settings.topic_names.dead_letters
    try:
        partitions = [place for topic in (*replies, dead_letters) for place in await partitions_of(consumer, topic)]
        consumer.assign(partitions)
        for place in partitions:
            consumer.seek(place, 0)
        while True:
            found = await consumer.getmany(timeout_ms=500)
            for records in found.values():
                for record in records:
                    account.take(record, is_letter=record.topic == dead_letters)
            if not found and not account.missing:
                return
            assert time.monotonic() < deadline, f"not everything came: {account.report()}"
    finally:
        await close_client(consumer)


async def test_of_twenty_thousand_records_each_is_accounted_for_once(broker: LocalKafka, tmp_path: Path) -> None:
    settings = settings_of(broker, tmp_path)
    names, channel = settings.topic_names, str(uuid.uuid4())
    replies = (names.responses, f"{settings.topic_prefix}team-answers")
    settings = settings.model_copy(update={"reply_topics": frozenset(replies)})
    worker = ServiceProcess("worker", settings, tmp_path)
    await create_all_topics(settings)
    await create(settings, replies[1], settings.partitions)
    await put_channels(settings, [channel])
    fuzz = Fuzz(SEED, channel=channel, reply_topics=replies, partitions=settings.partitions)
    records = [fuzz.record() for _ in range(RECORDS)]
    async with ended_afterwards(worker):
        await worker.start().until_ready()
        sent = await send_all(settings, records)
        assert len(sent) == RECORDS
        account = Account(sent)
        await collect(settings, replies, account)

        async with calling(settings) as caller:
            good = b'{"channel_id":"%s","external_id":"afterwards"}' % channel.encode()
            await asyncio.gather(*(caller.send(good, partition=number) for number in range(settings.partitions)))
            for number in range(settings.partitions):
                answer = await caller.ask(good, partition=number)
                assert b'"conversations"' in answer.value
        assert worker.runs
        assert (await worker.status())[0] == 200

    # The whole again, now that the last answers are there behind everything else.
    final = Account(sent)
    for topic in (*replies, names.dead_letters):
        for each in await read(settings, topic):
            final.take(each, is_letter=topic == names.dead_letters)
    assert len(final.strangers) == 2 * settings.partitions, "answers to nothing that was sent"
    assert set(final.letters) <= set(sent), "dead letters of nothing that was sent"
    for origin, record in sent.items():
        letters = final.letters.get(origin, [])
        assert len(letters) <= 1, origin
        assert final.answers[origin] == final.due(origin), (origin, record.value, record.headers)
        if letters:
            (letter,) = letters
            assert (letter.key, letter.value) == (record.key, record.value)
            assert list(letter.headers[: len(record.headers)]) == record.headers
    await assert_commands_belong_to_answers(settings, final)
    codes = collections.Counter(dict(kept.headers)[DEAD_LETTER_CODE].decode() for (kept,) in final.letters.values())
    assert set(codes) == {Reason.MALFORMED_JSON, Reason.FORBIDDEN, Reason.INVALID_FIELD}
    forbidden = {origin for origin, record in sent.items() if names_refused_topic(record, replies)}
    too_long = {
        origin for origin, record in sent.items() if len(record.correlation_id or b"") > CORRELATION_ID_BYTES_MAX
    }
    assert codes[Reason.FORBIDDEN] == len(forbidden)
    assert codes[Reason.INVALID_FIELD] == len(too_long - forbidden)
    both = sum(bool(final.answers[origin]) for origin in final.letters)
    assert sum(final.answers.values()) + len(final.letters) - both == RECORDS


def names_refused_topic(record: FuzzRecord, replies: tuple[str, ...]) -> bool:
    topic = dict(record.headers).get(REPLY_TOPIC)
    return topic is not None and topic not in {reply.encode() for reply in replies}


async def assert_commands_belong_to_answers(settings: Settings, account: Account) -> None:
    """Check that no record was applied twice, and none of those that are dead letters at all."""
    applied: collections.Counter[str] = collections.Counter()
    for command in asked_in(await read(settings, settings.topic_names.identity_commands)):
        origin = account.origin_of(command.request_id, command.reply_to.correlation_id)
        if origin is not None:
            applied[origin] += 1
    assert RECORDS / 10 < len(applied) < RECORDS
    assert max(applied.values()) == 1
    assert not applied.keys() & account.letters.keys()
