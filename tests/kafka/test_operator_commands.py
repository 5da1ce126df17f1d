"""The operators' commands as processes of their own, against topics that the test has filled itself."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any

import pytest
from aiokafka import TopicPartition

from airy_identify.core.values import (
    AliasKey,
    ContactId,
    ContactKey,
    ConversationOwnerKey,
    IdentifierKey,
    IdentityKey,
    IdentityRow,
    Owner,
)
from airy_identify.kafka import KafkaClients, close_client, partition_for
from airy_identify.ops.tail import follow_answers
from airy_identify.settings import Settings, to_environment
from airy_identify.topics import CONVERSATION, IDENTITY
from airy_identify.wire.answers import ANSWER_SCHEMA_HEADER, ERROR_RESPONSE
from airy_identify.wire.headers import (
    CORRELATION_ID,
    DEAD_LETTER_CODE,
    DEAD_LETTER_OFFSET,
    DEAD_LETTER_PARTITION,
    DEAD_LETTER_TEXT,
    DEAD_LETTER_TIME,
    DEAD_LETTER_TOPIC,
)
from airy_identify.wire.rows import (
    PROGRESS_KEY,
    Progress,
    encode_conversation_key,
    encode_conversation_row,
    encode_identity_key,
    encode_identity_row,
    encode_progress,
)
from tests.builders import TENANT, make_contact, make_conversation

PARTITIONS = 4
DEADLINE_S = 60.0
MakeInstallation = Callable[..., Awaitable[Settings]]
Record = tuple[str, int, bytes | None, bytes | None, list[tuple[str, bytes]]]


async def call(settings: Settings, *arguments: str) -> tuple[int, str, str]:
    """Run `airy-identify` and return exit code, standard output and standard error."""
    values = {
        "kafka_bootstrap_servers": settings.kafka_bootstrap_servers,
        "topic_prefix": settings.topic_prefix,
        "airy_core_namespace": settings.airy_core_namespace,
        "partitions": settings.partitions,
        "data_dir": settings.data_dir,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "airy_identify", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ) | to_environment(values) | {"COLUMNS": "200"},
    )
    async with asyncio.timeout(DEADLINE_S):
        output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


async def write(settings: Settings, records: Iterable[Record], *, abort: bool = False) -> None:
    """Append records in one transaction, which is committed or aborted."""
    clients = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers)
    producer = clients.transactional_producer(f"{settings.topic_prefix}test", request_timeout_ms=10_000)
    await producer.start()
    try:
        await producer.begin_transaction()
        for topic, partition, key, value, headers in records:
            await producer.send_and_wait(topic, key=key, value=value, partition=partition, headers=headers)
        await (producer.abort_transaction() if abort else producer.commit_transaction())
    finally:
        await close_client(producer)


def identity_rows(settings: Settings, rows: Iterable[tuple[IdentityKey, IdentityRow | None]]) -> list[Record]:
    """Return the changelog records of rows of the default tenant."""
    topic, partition = settings.topic_names.changelog(IDENTITY), partition_for(TENANT.encode(), PARTITIONS)
    return [
        (topic, partition, encode_identity_key(key), None if row is None else encode_identity_row(row), [])
        for key, row in rows
    ]


ADA = make_contact(
    external_id="u-1", email="ada@example.org", phone_number="+4915112345678", identifiers={"crm": ("1", "2")}
)
ALIAS = ContactId("11111111-2222-5333-8444-555555555555")
OWNED = Owner(contact_id=ADA.id)
ROWS: list[tuple[IdentityKey, IdentityRow | None]] = [
    (ContactKey(tenant=TENANT, contact_id=ADA.id), make_contact(email="old@example.org")),
    (ContactKey(tenant=TENANT, contact_id=ADA.id), ADA),
    (AliasKey(tenant=TENANT, contact_id=ALIAS), OWNED),
    (IdentifierKey(tenant=TENANT, kind="external_id", value="u-1"), OWNED),
    (IdentifierKey(tenant=TENANT, kind="email", value="old@example.org"), OWNED),
    (IdentifierKey(tenant=TENANT, kind="email", value="old@example.org"), None),
    (IdentifierKey(tenant=TENANT, kind="email", value="ada@example.org"), OWNED),
    (IdentifierKey(tenant=TENANT, kind="crm", value="2"), OWNED),
    (ConversationOwnerKey(tenant=TENANT, conversation_id=make_conversation().id), OWNED),
]


@pytest.mark.parametrize(
    "selector",
    [
        (ADA.id,),
        (ALIAS,),
        ("--external-id", "u-1"),
        ("--email", "Ada@Example.org"),
        ("--identifier", "crm=2"),
    ],
)
async def test_state_get_finds_a_contact(make_installation: MakeInstallation, selector: tuple[str, ...]) -> None:
    settings = await make_installation(partitions=PARTITIONS)
    await write(settings, identity_rows(settings, ROWS))
    aborted = make_contact(email="aborted@example.org")
    await write(settings, identity_rows(settings, [(ROWS[0][0], aborted)]), abort=True)

    code, output, errors = await call(settings, "state", "get", *selector, "--json")

    assert (code, errors) == (0, "")
    contact = json.loads(output)
    assert (contact["id"], contact["email"]["value"], contact["external_id"]) == (ADA.id, "ada@example.org", "u-1")


async def test_state_get_shows_people_a_table_and_says_when_there_is_none(make_installation: MakeInstallation) -> None:
    settings = await make_installation(partitions=PARTITIONS)
    await write(settings, identity_rows(settings, ROWS))

    code, output, _ = await call(settings, "state", "get", "--external-id", "u-1")
    assert code == 0
    for text in (ADA.id, "ada@example.org", "+4915112345678", "1, 2", "2023-11-14T22:13:20.000Z"):
        assert text in output

    for selector in (("--email", "old@example.org"), ("unknown",), ("--external-id", "u-1", "--tenant", "other")):
        code, output, errors = await call(settings, "state", "get", *selector)
        assert (code, output) == (1, "")
        assert "no such contact" in errors


async def test_state_stats_counts_rows_by_kind_and_partition(make_installation: MakeInstallation) -> None:
    settings = await make_installation(partitions=PARTITIONS)
    conversation = make_conversation()
    conversations = settings.topic_names.changelog(CONVERSATION)
    progress = encode_progress(Progress(offset=41, fingerprint=b"x" * 8))
    key, row = encode_conversation_key(conversation.id), encode_conversation_row(conversation)
    await write(
        settings,
        [
            *identity_rows(settings, ROWS),
            (conversations, 2, key, row, []),
            (conversations, 2, key, row, []),
            (conversations, 2, PROGRESS_KEY, progress, []),
            (conversations, 3, key, None, []),
        ],
    )

    code, output, errors = await call(settings, "state", "stats", "--json")

    assert (code, errors) == (0, "")
    found = {(entry["table"], entry["partition"]): entry for entry in json.loads(output)}
    assert len(found) == 2 * PARTITIONS
    tenants = found[IDENTITY, partition_for(TENANT.encode(), PARTITIONS)]
    assert tenants["rows"] == {"alias": 1, "contact": 1, "conversation owner": 1, "identifier": 3}
    assert tenants["applied_offset"] is None
    assert found[CONVERSATION, 2] == {
        "table": CONVERSATION,
        "partition": 2,
        "rows": {"conversation": 1},
        "applied_offset": 41,
    }
    assert found[CONVERSATION, 3]["rows"] == {"conversation": 0}

    code, output, _ = await call(settings, "state", "stats")
    assert code == 0
    assert "log applied up to" in output


def dead_letter(settings: Settings, partition: int, number: int, value: bytes | None) -> Record:
    headers = {
        DEAD_LETTER_TOPIC: settings.topic_names.requests,
        DEAD_LETTER_PARTITION: "1",
        DEAD_LETTER_OFFSET: str(number),
        DEAD_LETTER_CODE: "malformed_json",
        DEAD_LETTER_TEXT: "no JSON",
        DEAD_LETTER_TIME: f"2026-01-01T00:00:{number:02}.000Z",
    }
    encoded = [("trace", b"\x00\xff"), *((name, text.encode()) for name, text in headers.items())]
    return (settings.topic_names.dead_letters, partition, b"key", value, encoded)


async def test_dead_letters_are_listed_by_time_and_shown_safely(make_installation: MakeInstallation) -> None:
    settings = await make_installation(partitions=PARTITIONS)
    await write(settings, [dead_letter(settings, number % PARTITIONS, number, b"\x1b[31m{") for number in range(12)])

    code, output, errors = await call(settings, "dead-letters", "list", "--newest", "3", "--json")
    assert (code, errors) == (0, "")
    letters = json.loads(output)
    assert [letter["source"].rsplit(":", 1)[1] for letter in letters] == ["9", "10", "11"]
    assert (letters[2]["partition"], letters[2]["offset"]) == (3, 2)

    code, output, _ = await call(settings, "dead-letters", "list")
    assert code == 0
    assert output.count("malformed_json") == 12

    code, output, _ = await call(settings, "dead-letters", "show", "3:2")
    assert code == 0
    assert "\x1b" not in output
    for text in (f"{settings.topic_names.requests}:1:11", "no JSON", "\\x1b[31m{", "00 ff", "key"):
        assert text in output

    code, output, _ = await call(settings, "dead-letters", "show", "3:2", "--json")
    assert json.loads(output)["value_base64"] == "G1szMW17"


@pytest.mark.parametrize("place", ["0:0", "3:99", "99:0"])
async def test_a_dead_letter_that_is_not_there_ends_with_1(make_installation: MakeInstallation, place: str) -> None:
    settings = await make_installation(partitions=PARTITIONS)

    code, output, errors = await call(settings, "dead-letters", "show", place)

    assert (code, output) == (1, "")
    assert f"there is no dead letter at {place}" in errors


async def answer_requests(settings: Settings, answers: list[dict[str, Any]], *, schema: str) -> dict[str, Any]:
    """Play the worker: answer the first request with somebody else's answer and then with this one's."""
    names = settings.topic_names
    consumer = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers).consumer()
    await consumer.start()
    try:
        partitions = [TopicPartition(names.requests, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        while not (found := await consumer.getmany(timeout_ms=200)):
            pass
        ((request,),) = found.values()
        correlation_id = dict(request.headers)[CORRELATION_ID]
        headers = [(CORRELATION_ID, correlation_id), (ANSWER_SCHEMA_HEADER, schema.encode())]
        others = [(CORRELATION_ID, b"somebody else's")]
        records = [
            (names.responses, 0, b"x", b"{}", others),
            *((names.responses, 1, b"r", json.dumps(answer).encode(), headers) for answer in answers),
        ]
        await write(settings, records)
        body: dict[str, Any] = json.loads(request.value)
        return body
    finally:
        await close_client(consumer)


ANSWER = {
    "request_id": "r-1",
    "contact": {"id": ADA.id, "email": "ada@example.org"},
    "conversations": [],
    "created": {"contact": True, "conversation": False},
    "merged": [],
    "warnings": [],
    "truncated": False,
}
IDENTIFY = ("identify", "--channel-id", "c-1", "--external-id", "u-1", "--metadata", '{"plan":"pro"}')


async def test_identify_sends_one_request_and_prints_its_own_answer(make_installation: MakeInstallation) -> None:
    settings = await make_installation(partitions=PARTITIONS)

    request, (code, output, errors) = await asyncio.gather(
        answer_requests(settings, [ANSWER], schema="airy_identify.IdentifyResponse"),
        call(settings, *IDENTIFY, "--request-id", "r-1", "--json"),
    )

    assert (code, errors) == (0, "")
    assert json.loads(output) == ANSWER
    assert request == {"channel_id": "c-1", "external_id": "u-1", "metadata": {"plan": "pro"}, "request_id": "r-1"}


async def test_identify_shows_people_tables(make_installation: MakeInstallation) -> None:
    settings = await make_installation(partitions=PARTITIONS)

    _, (code, output, _) = await asyncio.gather(
        answer_requests(settings, [ANSWER], schema="airy_identify.IdentifyResponse"), call(settings, *IDENTIFY)
    )

    assert code == 0
    assert "contact (created), request r-1" in output


async def test_a_refusal_ends_with_1(make_installation: MakeInstallation) -> None:
    settings = await make_installation(partitions=PARTITIONS)
    refusal = {"message": "no such channel", "code": "unknown_channel", "field": "channel_id", "request_id": "r-1"}

    _, (code, output, errors) = await asyncio.gather(
        answer_requests(settings, [refusal], schema=ERROR_RESPONSE), call(settings, *IDENTIFY)
    )

    assert (code, output) == (1, "")
    assert errors.strip() == "refused: unknown_channel (channel_id): no such channel"


async def test_no_worker_means_no_answer_and_1(make_installation: MakeInstallation) -> None:
    settings = await make_installation(partitions=PARTITIONS)

    code, output, errors = await call(settings, *IDENTIFY, "--timeout", "0.5")

    assert (code, output) == (1, "")
    assert "no answer within 0.5 s" in errors


@pytest.mark.parametrize("arguments", [("state", "stats"), ("dead-letters", "list"), IDENTIFY])
async def test_missing_topics_are_named(make_settings: Callable[..., Settings], arguments: tuple[str, ...]) -> None:
    code, _, errors = await call(make_settings(), *arguments)

    assert code == 1
    assert "is missing; `airy-identify topics create` makes it" in errors


async def test_topics_create_and_check(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(partitions=PARTITIONS)

    code, _, errors = await call(settings, "topics", "check")
    assert code == 1
    for name in ("messages", "channels", "contacts"):
        assert f"{settings.topic_names.airy(name)}: is missing; it is Airy's" in errors

    code, output, errors = await call(settings, "topics", "create", "--with-airy", "--json")
    assert (code, errors) == (0, "")
    assert len(json.loads(output)["created"]) == 16
    assert await call(settings, "topics", "create") == (0, "0 topics created; the others were there already\n", "")
    assert await call(settings, "topics", "check") == (0, "all topics are as they have to be\n", "")

    other = settings.model_copy(update={"partitions": 5})
    code, output, errors = await call(other, "topics", "check", "--json")
    assert code == 1
    assert f"{settings.topic_names.identity_commands}: has 4 partitions, not 5" in errors.splitlines()
    assert {"topic": settings.topic_names.requests, "message": "has 4 partitions, not 5"} in json.loads(output)[
        "problems"
    ]


async def test_answers_can_be_followed(make_installation: MakeInstallation) -> None:
    settings = await make_installation(partitions=PARTITIONS)
    names = settings.topic_names
    await write(settings, [(names.responses, 0, b"r", json.dumps(ANSWER).encode(), [])])

    async with asyncio.timeout(DEADLINE_S), aclosing(follow_answers(settings)) as lines:
        assert await anext(lines) is None
        await write(settings, [(names.bridge_responses, 3, b"r", json.dumps(ANSWER).encode(), [])])

        assert await anext(lines) == f"HTTP   request r-1  contact {ADA.id} created  0 conversations"
