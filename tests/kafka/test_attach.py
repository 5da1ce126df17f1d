"""The visitor's token through real topics: attached once, whoever is first, and in no topic of ours but as it came."""

import asyncio
import time
import uuid
from typing import Any

import pytest

from airy_identify.topics import CONVERSATION, IDENTITY
from airy_identify.wire.resume_token import ResumeTokenSigner
from tests.avro_form import read_by_apache, write_by_apache
from tests.kafka.replay import read
from tests.kafka.service import Service, Tenant, put_messages

IDENTIFY_REQUEST = "airy_identify.IdentifyRequest"
IDENTIFY_RESPONSE = "airy_identify.IdentifyResponse"


@pytest.fixture
def tenant(service: Service) -> Tenant:
    return service.new_tenant()


def token_of(service: Service, chat: str, channel: str) -> str:
    issued_at_s = int(time.time()) - 60  # tokens of one conversation and second are the same
    return ResumeTokenSigner(service.settings.jwt_secret_bytes).sign(chat, channel, issued_at_s)  # type: ignore[arg-type]


def codes(answer: Any) -> list[str]:
    return [warning["code"] for warning in answer["warnings"]]


async def test_of_many_logins_at_once_one_gets_the_chat(service: Service, tenant: Tenant) -> None:
    chat = str(uuid.uuid4())
    fields = {"tenant": tenant.name, "channel_id": tenant.channel, "attach": token_of(service, chat, tenant.channel)}
    answers = await asyncio.gather(*(service.identify(external_id=f"u-{each}", **fields) for each in range(8)))
    assert [answer["status"] for answer in answers] == [200] * 8
    have_it = [answer for answer in answers if chat in [each["id"] for each in answer["conversations"]]]
    assert len(have_it) == 1
    assert sorted(map(codes, answers)) == [[], *[["conversation_not_attached"]] * 7]


async def test_what_was_said_before_the_login_comes_with_the_answer(service: Service, tenant: Tenant) -> None:
    chat = str(uuid.uuid4())
    message = {"id": str(uuid.uuid4()), "conversation_id": chat, "channel_id": tenant.channel, "content": "Hello?"}
    await put_messages(service.settings, message)
    fields = {"tenant": tenant.name, "channel_id": tenant.channel, "external_id": "u-1"}
    answer = await service.identify(**fields, attach=token_of(service, chat, tenant.channel))
    async with asyncio.timeout(60):
        while (last := answer["conversations"][0]["last_message"]) is None:
            answer = await service.identify(**fields)
    assert (answer["conversations"][0]["id"], last["content"]) == (chat, "Hello?")
    given = answer["conversations"][0]["resume_token"]
    assert codes(await service.identify(**fields | {"external_id": "u-2"}, attach=given)) == [
        "conversation_not_attached"
    ]


async def test_over_kafka_the_token_stays_in_the_bytes_of_the_request(service: Service, tenant: Tenant) -> None:
    chat = str(uuid.uuid4())
    token = token_of(service, chat, tenant.channel)
    fields = {"tenant": tenant.name, "channel_id": tenant.channel, "external_id": "u-1", "attach": token}
    record = await service.ask_bytes(write_by_apache(IDENTIFY_REQUEST, fields))
    assert record.value is not None
    answer = read_by_apache(IDENTIFY_RESPONSE, record.value)
    assert [conversation["id"] for conversation in answer["conversations"]] == [chat]
    signature = token.rpartition(".")[2].encode()
    names = service.settings.topic_names
    topics = (names.identity_commands, names.conversation_commands, names.changelog(IDENTITY), names.responses)
    for topic in (*topics, names.changelog(CONVERSATION), names.dead_letters):
        assert not [each for each in await read(service.settings, topic) if signature in (each.value or b"")], topic
    assert [each for each in await read(service.settings, names.requests) if signature in (each.value or b"")]
