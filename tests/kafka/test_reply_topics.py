"""Callers with the headers of Spring's ReplyingKafkaTemplate, and reply topics that do not take their answers."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic
from aiokafka.structs import ConsumerRecord

from airy_identify.kafka import KafkaClients, close_client, partition_for
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.settings import Settings
from airy_identify.wire.answers import ANSWER_SCHEMA_HEADER, ERROR_RESPONSE, IDENTIFY_RESPONSE
from airy_identify.wire.headers import (
    CORRELATION_ID,
    CORRELATION_ID_BYTES_MAX,
    DEAD_LETTER_CODE,
    DEAD_LETTER_REPLY_PARTITION,
    DEAD_LETTER_REPLY_TOPIC,
    DEAD_LETTER_TEXT,
    DEAD_LETTER_TOPIC,
    REPLY_PARTITION,
    REPLY_TOPIC,
    UNDELIVERABLE_ANSWER,
)
from tests.avro_form import write_by_apache
from tests.kafka.acls import PRINCIPAL, AclOperation, ResourceType, denied
from tests.kafka.caller import Headers, KafkaCaller, calling, plain_answer
from tests.kafka.commands import call
from tests.kafka.conftest import create_all_topics, settings_of
from tests.kafka.processes import ServiceProcess
from tests.kafka.runbook import entry
from tests.kafka.service import put_channels
from tests.refusals import RECORDS

PARTITIONS = 4
SMALL_BYTES = 600
"""`max.message.bytes` of a reply topic: an error fits, an answer with a token does not."""


@dataclass(frozen=True)
class Replying:
    """A worker whose callers have reply topics of their own, by what is wrong with them."""

    settings: Settings
    channel: str
    worker: ServiceProcess
    topics: dict[str, str]

    def request(self, **fields: object) -> bytes:
        return json.dumps({"channel_id": self.channel, "external_id": f"u-{uuid.uuid4()}"} | fields).encode()

    def to(self, name: str, partition: int | None = None, *, correlation_id: bytes = b"c") -> Headers:
        """Return Spring's headers."""
        headers: list[tuple[str, bytes | None]] = [(REPLY_TOPIC, self.topics[name].encode())]
        if partition is not None:
            headers.append((REPLY_PARTITION, partition.to_bytes(4, "big", signed=True)))
        return [*headers, (CORRELATION_ID, correlation_id)]

    @asynccontextmanager
    async def caller(self) -> AsyncIterator[KafkaCaller]:
        names = self.settings.topic_names
        existing = [self.topics[name] for name in ("team", "small")]
        async with calling(self.settings, names.responses, names.dead_letters, *existing) as caller:
            yield caller

    async def letter(self, caller: KafkaCaller, correlation_id: bytes) -> ConsumerRecord:
        """Return the dead letter with this correlation id."""
        topic = self.settings.topic_names.dead_letters
        return await caller.until(
            lambda record: record.topic == topic and (CORRELATION_ID, correlation_id) in record.headers
        )

    async def answer(self, caller: KafkaCaller, name: str, correlation_id: bytes) -> ConsumerRecord:
        """Return the answer with this correlation id on one of the reply topics."""
        topic = self.topics[name]
        return await caller.until(
            lambda record: record.topic == topic and (CORRELATION_ID, correlation_id) in record.headers
        )


@pytest.fixture(scope="module")
def replying(broker: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replying]:
    directory = tmp_path_factory.mktemp("replying")
    settings = settings_of(broker, directory)
    prefix = settings.topic_prefix
    topics = {name: f"{prefix}{name}-answers" for name in ("team", "small", "deleted", "shrunk", "denied", "hidden")}
    topics["default"] = settings.topic_names.responses
    channel = str(uuid.uuid4())
    settings = settings.model_copy(
        update={"reply_topics": frozenset(topics.values()), "requests_channels": frozenset({channel})}
    )
    worker = ServiceProcess("worker", settings, directory)

    async def start() -> None:
        await create_all_topics(settings)
        await create(settings, topics["team"], PARTITIONS)
        await create(settings, topics["small"], PARTITIONS, **{"max.message.bytes": str(SMALL_BYTES)})
        for name in ("deleted", "shrunk", "denied", "hidden"):
            await create(settings, topics[name], PARTITIONS)
        await put_channels(settings, [channel])
        await worker.start().until_ready()

    try:
        asyncio.run(start())
        yield Replying(settings, channel, worker, topics)
    finally:
        worker.kill()


async def create(settings: Settings, topic: str, partitions: int, **config: str) -> None:
    admin = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers).admin()
    await admin.start()
    try:
        response = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=config)])
        assert [code for _, code, _ in response.topic_errors] == [0]
    finally:
        await close_client(admin)


async def delete(settings: Settings, topic: str) -> None:
    """Delete a topic, and wait until the broker knows of it no more."""
    admin = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers).admin()
    await admin.start()
    try:
        response = await admin.delete_topics([topic])
        assert [code for _, code, *_ in response.topic_error_codes] == [0]
        deadline = time.monotonic() + 60
        while any(found["topic"] == topic for found in await admin.describe_topics()):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    finally:
        await close_client(admin)


def only(record: ConsumerRecord, name: str) -> bytes:
    """Return the value of a header that is there exactly once."""
    (value,) = [value for header, value in record.headers if header == name]
    assert isinstance(value, bytes)
    return value


@pytest.mark.parametrize("partition", [0, PARTITIONS - 1])
async def test_in_partition_mode_the_answer_is_where_it_was_asked_for(replying: Replying, partition: int) -> None:
    correlation_id = uuid.uuid4().bytes
    async with replying.caller() as caller:
        await caller.send(replying.request(), replying.to("team", partition, correlation_id=correlation_id))
        answer = await replying.answer(caller, "team", correlation_id)
    assert answer.partition == partition
    assert only(answer, ANSWER_SCHEMA_HEADER) == IDENTIFY_RESPONSE.encode()


async def test_in_shared_mode_the_request_id_decides_and_everybody_reads_everything(replying: Replying) -> None:
    correlation_id = uuid.uuid4().bytes
    async with replying.caller() as caller:
        value = replying.request(request_id="shared-1")
        await caller.send(value, replying.to("team", correlation_id=correlation_id))
        answer = await replying.answer(caller, "team", correlation_id)
    assert answer.key == b"shared-1"
    assert answer.partition == partition_for(b"shared-1", PARTITIONS)


@pytest.mark.parametrize(
    "correlation_id",
    [
        b"",
        b"\xff\xfe\x00\x80" * 4,
        bytes(range(256)),
        b'{"a":1}',
        b"x" * CORRELATION_ID_BYTES_MAX,
    ],
    ids=["empty", "no UTF-8", "every byte", "JSON", "very long"],
)
async def test_any_correlation_id_comes_back_unchanged_once(replying: Replying, correlation_id: bytes) -> None:
    async with replying.caller() as caller:
        await caller.send(replying.request(), replying.to("team", 1, correlation_id=correlation_id))
        answer = await replying.answer(caller, "team", correlation_id)
    assert only(answer, CORRELATION_ID) == correlation_id
    assert all(value is not None for _, value in answer.headers)


async def test_of_doubled_headers_the_last_counts(replying: Replying) -> None:
    correlation_id = uuid.uuid4().bytes
    headers = [
        *replying.to("default", 0, correlation_id=b"first"),
        (REPLY_TOPIC, b"nobody allows it"),
        *replying.to("team", 2, correlation_id=correlation_id),
    ]
    async with replying.caller() as caller:
        await caller.send(replying.request(), headers)
        answer = await replying.answer(caller, "team", correlation_id)
    assert answer.partition == 2
    assert only(answer, CORRELATION_ID) == correlation_id


async def test_headers_whose_value_is_null_are_as_if_absent_and_never_come_back(replying: Replying) -> None:
    async with replying.caller() as caller:
        for request in (replying.request(), b'{"channel_id":""}'):
            origin = await caller.send(
                request, [(REPLY_TOPIC, None), (REPLY_PARTITION, None), (CORRELATION_ID, None), ("other", None)]
            )
            answer = await replying.answer(caller, "default", origin.encode())
            assert only(answer, CORRELATION_ID) == answer.key == origin.encode()
            assert {name for name, _ in answer.headers} == {CORRELATION_ID, ANSWER_SCHEMA_HEADER}
            assert all(value is not None for _, value in answer.headers)


@pytest.mark.parametrize(
    "value", [b"", b"\x01", b"\x00\x00\x01", b"\x00\x00\x00\x04", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(8)]
)
async def test_a_partition_that_is_none_is_as_if_absent(replying: Replying, value: bytes) -> None:
    correlation_id = uuid.uuid4().bytes
    headers = [*replying.to("team", correlation_id=correlation_id), (REPLY_PARTITION, value)]
    async with replying.caller() as caller:
        await caller.send(replying.request(request_id="none-1"), headers)
        answer = await replying.answer(caller, "team", correlation_id)
    assert answer.partition == partition_for(b"none-1", PARTITIONS)


@pytest.mark.parametrize("topic", [b"", b"nobody-allows-it", b"\xff\xfe", b"identity-commands"])
async def test_a_request_with_a_refused_reply_topic_is_a_dead_letter_and_not_applied(
    replying: Replying, topic: bytes
) -> None:
    correlation_id, who = uuid.uuid4().bytes, f"refused-{uuid.uuid4()}"
    value = replying.request(external_id=who)
    async with replying.caller() as caller:
        await caller.send(value, [(REPLY_TOPIC, topic), (CORRELATION_ID, correlation_id)])
        letter = await replying.letter(caller, correlation_id)
        info = await caller.ask(
            json.dumps(
                {"command": "identify", "channel_id": replying.channel, "external_id": who, "dry_run": True}
            ).encode()
        )
        assert not [
            record
            for record in caller.read
            if record is not letter and (CORRELATION_ID, correlation_id) in record.headers
        ]
    assert (letter.value, dict(letter.headers)[DEAD_LETTER_CODE]) == (value, b"forbidden")
    assert plain_answer(info)["created"]["contact"], "the refused request was applied"


async def test_a_correlation_id_that_no_answer_could_carry_is_refused(replying: Replying) -> None:
    mark, correlation_id = uuid.uuid4().bytes, b"x" * (CORRELATION_ID_BYTES_MAX + 1)
    topic = replying.settings.topic_names.dead_letters
    async with replying.caller() as caller:
        await caller.send(replying.request(), [(CORRELATION_ID, correlation_id), ("mark", mark)])
        letter = await caller.until(lambda record: record.topic == topic and ("mark", mark) in record.headers)
    assert dict(letter.headers)[DEAD_LETTER_CODE] == b"invalid_field"
    assert CORRELATION_ID.encode() in dict(letter.headers)[DEAD_LETTER_TEXT]


@pytest.mark.parametrize("command", ["identify", "info", "resume_token"])
async def test_what_the_settings_do_not_allow_is_forbidden_in_both_formats(replying: Replying, command: str) -> None:
    fields: dict[str, object] = {"channel_id": "another", "external_id": "u"}
    if command == "resume_token":
        fields = {"channel_id": "another", "conversation_id": "c"}
    elif command == "info":
        fields = {"external_id": "u"}
    field = "command" if command == "info" else "channel_id"
    async with replying.caller() as caller:
        for value in (json.dumps(fields | {"command": command}).encode(), write_by_apache(RECORDS[command], fields)):
            answer = plain_answer(await caller.ask(value))
            assert (answer["code"], answer["field"]) == ("forbidden", field)


async def reopened(replying: Replying) -> float:
    """Return how often shards of the worker had to open again because of a reply topic."""
    _, text = await replying.worker.status("/metrics")
    lines = [line for line in text.splitlines() if line.startswith("airy_identify_shard_reopened_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if "ReplyTopicError" in line)


async def assert_answered_as_ever(replying: Replying, caller: KafkaCaller) -> None:
    """Ask on every partition of the requests; each answer comes, once."""
    asked = [uuid.uuid4().bytes for _ in range(PARTITIONS)]
    for partition, correlation_id in enumerate(asked):
        headers = replying.to("team", correlation_id=correlation_id)
        await caller.send(replying.request(), headers, partition=partition)
    for correlation_id in asked:
        await replying.answer(caller, "team", correlation_id)
    for correlation_id in asked:
        assert sum((CORRELATION_ID, correlation_id) in record.headers for record in caller.read) == 1


async def test_an_answer_that_is_too_large_for_its_topic_is_a_dead_letter_and_small_ones_go_on(
    replying: Replying,
) -> None:
    large, refused = uuid.uuid4().bytes, [uuid.uuid4().bytes for _ in range(20)]
    async with replying.caller() as caller:
        await caller.send(replying.request(request_id="large-1"), replying.to("small", 3, correlation_id=large))
        letter = await replying.letter(caller, large)
        headers = dict(letter.headers)
        assert headers[DEAD_LETTER_CODE].decode() == UNDELIVERABLE_ANSWER
        assert b"too large" not in headers[DEAD_LETTER_TEXT]
        assert b"no record as large" in headers[DEAD_LETTER_TEXT]
        assert headers[DEAD_LETTER_REPLY_TOPIC].decode() == replying.topics["small"]
        assert headers[DEAD_LETTER_REPLY_PARTITION] == b"3"
        assert headers[DEAD_LETTER_TOPIC].decode() == replying.settings.topic_names.conversation_commands
        assert letter.key == b"large-1"
        assert plain_answer(letter)["conversations"][0]["resume_token"]
        # Errors are small: each fits alone, but not twenty in one record batch.
        await asyncio.gather(
            *(
                caller.send(
                    replying.request(external_id=None),
                    replying.to("small", 0, correlation_id=correlation_id),
                    partition=0,
                )
                for correlation_id in refused
            )
        )
        for correlation_id in refused:
            answer = await replying.answer(caller, "small", correlation_id)
            assert only(answer, ANSWER_SCHEMA_HEADER) == ERROR_RESPONSE.encode()
        await assert_answered_as_ever(replying, caller)
        for correlation_id in (large, *refused):
            assert sum((CORRELATION_ID, correlation_id) in record.headers for record in caller.read) == 1


async def test_a_reply_topic_that_is_deleted_stops_nobody(replying: Replying) -> None:
    before, after = uuid.uuid4().bytes, [uuid.uuid4().bytes for _ in range(3)]
    async with replying.caller() as caller:
        await caller.send(replying.request(), replying.to("deleted", correlation_id=before))
        await assert_answered_as_ever(replying, caller)
        await delete(replying.settings, replying.topics["deleted"])
        for correlation_id in after:
            await caller.send(replying.request(), replying.to("deleted", 0, correlation_id=correlation_id))
        refusal = uuid.uuid4().bytes
        await caller.send(replying.request(external_id=None), replying.to("deleted", correlation_id=refusal))
        for correlation_id in (*after, refusal):
            letter = await replying.letter(caller, correlation_id)
            assert dict(letter.headers)[DEAD_LETTER_CODE].decode() == UNDELIVERABLE_ANSWER
            assert b"does not exist" in dict(letter.headers)[DEAD_LETTER_TEXT]
        assert plain_answer(await replying.letter(caller, refusal))["code"] == "missing_identifier"
        await assert_answered_as_ever(replying, caller)
        learnt = await reopened(replying)
        for correlation_id in [uuid.uuid4().bytes for _ in range(3)]:
            await caller.send(replying.request(), replying.to("deleted", 0, correlation_id=correlation_id))
            await replying.letter(caller, correlation_id)
        assert await reopened(replying) <= learnt + PARTITIONS, "the same is learnt again and again"
        for correlation_id in (*after, refusal):
            assert sum((CORRELATION_ID, correlation_id) in record.headers for record in caller.read) == 1


async def test_a_reply_topic_that_is_made_anew_with_fewer_partitions_stops_nobody(replying: Replying) -> None:
    settings, topic = replying.settings, replying.topics["shrunk"]
    await delete(settings, topic)
    await create(settings, topic, 1)
    lost, kept = uuid.uuid4().bytes, uuid.uuid4().bytes
    async with replying.caller() as caller, calling(settings, topic) as team:
        await caller.send(replying.request(), replying.to("shrunk", 3, correlation_id=lost))
        letter = await replying.letter(caller, lost)
        assert b"is no partition" in dict(letter.headers)[DEAD_LETTER_TEXT]
        await caller.send(replying.request(), replying.to("shrunk", 0, correlation_id=kept))
        assert (await team.answer(kept)).partition == 0
        await assert_answered_as_ever(replying, caller)


async def refused_answers(
    replying: Replying, caller: KafkaCaller, name: str, why: bytes
) -> tuple[bytes, bytes, list[str]]:
    """Ask for a whole answer and for a refusal; return their correlation ids, and where their dead letters lie."""
    whole, refusal = uuid.uuid4().bytes, uuid.uuid4().bytes
    await caller.send(replying.request(), replying.to(name, 1, correlation_id=whole))
    wrong = replying.request(external_id=None)
    await caller.send(wrong, replying.to(name, correlation_id=refusal), partition=0)
    letters = [await replying.letter(caller, correlation_id) for correlation_id in (whole, refusal)]
    for letter in letters:
        assert dict(letter.headers)[DEAD_LETTER_CODE].decode() == UNDELIVERABLE_ANSWER
        assert why in dict(letter.headers)[DEAD_LETTER_TEXT]
    assert plain_answer(letters[0])["conversations"][0]["resume_token"]
    await assert_answered_as_ever(replying, caller)
    return whole, refusal, [f"{letter.partition}:{letter.offset}" for letter in letters]


async def written_again(replying: Replying, name: str, partition: int) -> None:
    """A shard that has not met the refusal writes at once; those that have try again after five minutes."""
    async with calling(replying.settings, replying.topics[name]) as team:
        later = uuid.uuid4().bytes
        await team.send(
            replying.request(external_id=None), replying.to(name, correlation_id=later), partition=partition
        )
        assert plain_answer(await team.answer(later))["code"] == "missing_identifier"


async def test_a_reply_topic_that_an_acl_hides_stops_nobody_and_is_written_again_without_it(
    replying: Replying,
) -> None:
    settings, topic = replying.settings, replying.topics["hidden"]
    async with replying.caller() as caller:
        async with denied(settings.kafka_bootstrap_servers, ResourceType.TOPIC, topic, AclOperation.ALL):
            whole, refusal, places = await refused_answers(replying, caller, "hidden", b"may not be")
        async with calling(settings, topic) as team:
            code, _, errors = await call(settings, "dead-letters", "retry", "--yes", *places)
            assert code == 0, errors
            assert (await team.answer(whole)).partition == 1
            await team.answer(refusal)
        await written_again(replying, "hidden", 1)
        for correlation_id in (whole, refusal):
            assert sum((CORRELATION_ID, correlation_id) in record.headers for record in caller.read) == 1


async def test_a_reply_topic_that_an_acl_denies_is_written_again_as_the_runbook_says(
    replying: Replying, tmp_path: Path
) -> None:
    settings, topic = replying.settings, replying.topics["denied"]
    async with (
        replying.caller() as caller,
        denied(settings.kafka_bootstrap_servers, ResourceType.TOPIC, topic, AclOperation.WRITE),
        entry("A reply topic does not take answers", tmp_path) as book,
    ):
        why = b"may not be written by this service"
        whole, refusal, places = await refused_answers(replying, caller, "denied", why)
        book.use(settings, replying.worker, PRINCIPAL=PRINCIPAL, TOPIC=topic)
        said = await book.run("Check")
        assert UNDELIVERABLE_ANSWER in said
        assert f"principal={PRINCIPAL}, host=*, operation=WRITE, permissionType=DENY" in said
        book.steps["Act"] = book.steps["Act"].replace("--code undeliverable_answer", " ".join(places))
        async with calling(settings, topic) as team:
            assert f"{topic}:1:0" in await book.run("Act")
            assert (await team.answer(whole)).partition == 1
            await team.answer(refusal)
        await book.run("Verify")
        await written_again(replying, "denied", 2)
