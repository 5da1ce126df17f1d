"""The main job through real topics and processes, over both doors."""

import asyncio
import base64
import hashlib
import hmac
import json
import uuid
from typing import Any

from airy_identify.core.values import ChannelId
from airy_identify.wire.airy import Channel, encode_channel
from airy_identify.wire.answers import ANSWER_SCHEMA_HEADER, ERROR_RESPONSE, IDENTIFY_RESPONSE
from tests.kafka.conftest import JWT_SECRET
from tests.kafka.service import Answer, Service, poll, produce, put_channels, put_messages


def person() -> str:
    """Return an external id that nobody else has."""
    return f"person-{uuid.uuid4()}"


def conversation_of(answer: Answer) -> Any:
    (conversation,) = answer["conversations"]
    return conversation


async def test_a_person_is_created_once_and_found_again_over_both_doors(service: Service) -> None:
    who = person()
    first = await service.identify(external_id=who, email=f"{who}@Example.com", metadata={"first_name": "Ada"})
    again = await service.identify(external_id=who)
    by_email = json.loads((await service.ask(email=f"{who}@example.com", key=b"any key", partition=3)).value)

    assert first["status"] == 200
    assert first["created"] == {"contact": True, "conversation": True}
    assert first["contact"]["email"] == f"{who}@example.com"
    assert first["contact"]["first_name"] == "Ada"
    assert again["created"] == {"contact": False, "conversation": False}
    assert first["contact"]["id"] == again["contact"]["id"] == by_email["contact"]["id"]
    assert conversation_of(first)["id"] == conversation_of(again)["id"] == conversation_of(by_email)["id"]


async def test_an_answer_record_names_its_request_its_caller_and_its_schema(service: Service) -> None:
    answer = await service.ask(external_id=person(), request_id="mine-1")
    refusal = await service.ask(request_id="mine-2")

    assert (answer.key, json.loads(answer.value)["request_id"]) == (b"mine-1", "mine-1")
    assert dict(answer.headers)[ANSWER_SCHEMA_HEADER] == IDENTIFY_RESPONSE.encode()
    assert dict(refusal.headers)[ANSWER_SCHEMA_HEADER] == ERROR_RESPONSE.encode()
    assert json.loads(refusal.value)["code"] == "missing_identifier"


async def test_a_soft_contact_is_promoted_and_keeps_its_id(service: Service) -> None:
    who = person()
    soft = await service.identify(email=f"{who}@example.com")
    promoted = await service.identify(email=f"{who}@example.com", external_id=who)

    assert promoted["contact"]["id"] == soft["contact"]["id"]
    assert promoted["contact"]["external_id"] == who
    assert conversation_of(promoted)["id"] == conversation_of(soft)["id"]


async def test_what_belongs_to_somebody_else_stays_theirs(service: Service) -> None:
    one, other = person(), person()
    first = await service.identify(external_id=one, email=f"{one}@example.com")
    warned = await service.identify(external_id=other, email=f"{one}@example.com")
    refused = await service.identify(external_id=person(), email=f"{one}@example.com", on_conflict="reject")

    assert [warning["field"] for warning in warned["warnings"]] == ["email"]
    assert warned["contact"]["email"] is None
    assert warned["contact"]["id"] != first["contact"]["id"]
    assert first["contact"]["id"] not in json.dumps(warned)
    assert (refused["status"], refused["code"], refused["field"]) == (409, "identifier_conflict", "email")
    assert (await service.identify(email=f"{one}@example.com"))["contact"]["id"] == first["contact"]["id"]


async def test_twenty_at_once_make_one_person_and_one_conversation(service: Service) -> None:
    who = person()
    answers = await asyncio.gather(*(service.identify(external_id=who) for _ in range(20)))

    assert {answer["status"] for answer in answers} == {200}
    assert len({answer["contact"]["id"] for answer in answers}) == 1
    assert len({conversation_of(answer)["id"] for answer in answers}) == 1
    assert sum(answer["created"]["contact"] for answer in answers) == 1


async def test_the_last_message_is_the_latest_whatever_the_order_of_arrival(service: Service) -> None:
    who = person()
    conversation_id = conversation_of(await service.identify(external_id=who))["id"]
    common = {"conversation_id": conversation_id, "channel_id": service.channel}
    late, early = (str(uuid.uuid4()) for _ in range(2))
    await put_messages(
        service.settings,
        common | {"id": late, "sent_at_ms": 2_000, "content": '{"text":"second"}'},
        common | {"id": early, "sent_at_ms": 1_000, "content": "first"},
        common | {"id": late, "sent_at_ms": 2_000, "updated_at_ms": 3_000, "content": '{"text":"second, mended"}'},
    )

    async def mended() -> Any:
        message = conversation_of(await service.identify(external_id=who))["last_message"]
        return message if message and "mended" in str(message["content"]) else None

    message = await poll(mended, "the update did not arrive")
    assert message["id"] == late
    assert message["content"] == {"text": "second, mended"}
    assert message["sent_at"] == "1970-01-01T00:00:02.000Z"
    assert set(message) == {
        "id", "content", "sent_at", "delivery_state", "from_contact", "source", "metadata", "sender"
    }  # fmt: skip


async def test_the_token_is_the_one_that_airy_would_make(service: Service) -> None:
    answer = await service.identify(external_id=person())
    conversation = conversation_of(answer)
    head, body, signature = conversation["resume_token"].split(".")
    text = "".join(character for character in JWT_SECRET if character.isalnum() or character in "+/=")
    secret = base64.b64decode(text[: len(text) // 4 * 4])
    expected = hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha256).digest()
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))

    assert base64.urlsafe_b64decode(signature + "==") == expected
    assert base64.urlsafe_b64decode(head + "==") == b'{"alg":"HS256"}'
    assert list(claims) == ["sub", "iat", "resume_conversation_id", "resume_channel_id", "exp"]
    assert claims["sub"] == claims["resume_conversation_id"] == conversation["id"]
    assert claims["resume_channel_id"] == service.channel
    assert isinstance(claims["iat"], int)
    assert claims["exp"] - claims["iat"] == 7 * 24 * 60 * 60


async def test_only_connected_chat_plugin_channels_are_accepted_and_changes_are_seen(service: Service) -> None:
    settings, fresh, foreign = service.settings, str(uuid.uuid4()), str(uuid.uuid4())
    unknown = await service.identify(external_id="u", channel_id=fresh)
    assert (unknown["status"], unknown["code"]) == (404, "unknown_channel")

    async def answers(channel_id: str, code: str | None) -> Answer | None:
        answer = await service.identify(external_id="u", channel_id=channel_id)
        return answer if answer.get("code") == code else None

    await put_channels(settings, [fresh])
    await poll(lambda: answers(fresh, None), "the new channel was not seen")
    await put_channels(settings, [fresh], connected=False)
    await poll(lambda: answers(fresh, "unknown_channel"), "the disconnected channel was not seen")
    facebook = Channel(id=ChannelId(foreign), source="facebook", source_channel_id="x", connected=True)
    await produce(settings, settings.topic_names.airy_channels, (foreign.encode(), encode_channel(facebook), ()))
    await poll(lambda: answers(foreign, "unsupported_channel"), "the foreign channel was not seen")
