"""The same request is refused with the same code and field over HTTP, over Kafka in JSON, and over Kafka in Avro."""

import asyncio
import json
import uuid
from typing import Any

import avro.errors
import pytest

from airy_identify.core.reasons import HTTP_STATUS, Reason
from airy_identify.core.values import ChannelId
from airy_identify.wire.airy import Channel, encode_channel
from airy_identify.wire.answers import ANSWER_SCHEMA_HEADER, ERROR_RESPONSE
from airy_identify.wire.headers import CORRELATION_ID, DEAD_LETTER_CODE
from airy_identify.wire.schemas import SINGLE_OBJECT_MARKER
from tests.avro_form import write_by_apache
from tests.kafka.caller import calling, plain_answer
from tests.kafka.service import Service, poll, produce, put_channels
from tests.refusals import ONLY_ONE_DOOR, PATHS, RECORDS, REFUSALS, Refusal, World


@pytest.fixture(scope="module")
def world(service: Service) -> World:
    """Make the contacts and channels that the refusals are about."""
    return asyncio.run(_make_world(service))


async def _make_world(service: Service) -> World:
    settings, mark = service.settings, uuid.uuid4().hex
    disconnected, facebook = str(uuid.uuid4()), str(uuid.uuid4())
    await put_channels(settings, [disconnected], connected=False)
    other = Channel(id=ChannelId(facebook), source="facebook", source_channel_id="x", connected=True)
    await produce(settings, settings.topic_names.airy_channels, (facebook.encode(), encode_channel(other), ()))

    async def seen() -> bool:
        answer = await service.identify(external_id="u", channel_id=facebook)
        return bool(answer.get("code") == Reason.UNSUPPORTED_CHANNEL)

    await poll(seen, "the channel was not seen")
    who, email = f"whole-{mark}", f"{mark}@example.com"
    contact = (await service.identify(external_id=who, email=email))["contact"]["id"]
    return World(
        channel=service.channel,
        disconnected_channel=disconnected,
        facebook_channel=facebook,
        contact=contact,
        external_id=who,
        email=email,
        large=await _large(service, f"large-{mark}", "abc"),
        also_large=await _large(service, f"also-large-{mark}", "def"),
    )


async def _large(service: Service, who: str, members: str) -> str:
    """Make a contact with 45 KiB of metadata."""
    contact_id = ""
    for name in members:
        answer = await service.identify(external_id=who, metadata={name: "x" * 15_000})
        contact_id = answer["contact"]["id"]
    return contact_id


def codes(answer: dict[str, Any]) -> tuple[str, str | None]:
    assert set(answer) == {"message", "code", "field", "request_id"}
    assert answer["message"]
    return answer["code"], answer["field"]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
async def test_every_door_and_format_gives_the_same_code_and_field(
    service: Service, world: World, refusal: Refusal
) -> None:
    body = refusal.body(world)
    expected = (refusal.code.value, refusal.field)

    status, over_http, _ = await service.post(json.dumps(body).encode(), path=PATHS[refusal.command])
    assert (status, *codes(over_http)) == (HTTP_STATUS[refusal.code], *expected)

    async with calling(service.settings) as caller:
        in_json = await caller.ask(json.dumps(body | {"command": refusal.command}).encode())
        assert codes(plain_answer(in_json)) == expected
        assert dict(in_json.headers)[ANSWER_SCHEMA_HEADER] == ERROR_RESPONSE.encode()
        if not refusal.in_avro:
            with pytest.raises(avro.errors.AvroTypeException):
                write_by_apache(RECORDS[refusal.command], body)
            return
        in_avro = await caller.ask(write_by_apache(RECORDS[refusal.command], body))
        assert in_avro.value.startswith(SINGLE_OBJECT_MARKER)
        assert codes(plain_answer(in_avro)) == expected
        assert plain_answer(in_avro)["message"] == plain_answer(in_json)["message"] == over_http["message"]


def test_every_code_is_here_or_belongs_to_one_door() -> None:
    assert {refusal.code for refusal in REFUSALS} | ONLY_ONE_DOOR == set(Reason)
    assert {refusal.code for refusal in REFUSALS} & ONLY_ONE_DOOR == set()


@pytest.mark.parametrize("value", [b"{", b"[]", b'{"a":NaN}', b"\xff", b"\xc3\x01", b"\xc3\x01" + bytes(9)])
async def test_what_is_no_request_is_a_dead_letter_and_answered_in_its_format(service: Service, value: bytes) -> None:
    correlation_id = uuid.uuid4().bytes
    names = service.settings.topic_names
    async with calling(service.settings, names.responses, names.dead_letters) as caller:
        origin = await caller.send(value, [("mark", correlation_id), (CORRELATION_ID, correlation_id)])
        letter = await caller.until(
            lambda record: record.topic == names.dead_letters and ("mark", correlation_id) in record.headers
        )
        answer = await caller.until(
            lambda record: record.topic == names.responses and (CORRELATION_ID, correlation_id) in record.headers
        )
    assert letter.value == value
    assert dict(letter.headers)[DEAD_LETTER_CODE] == b"malformed_json"
    assert answer.value.startswith(SINGLE_OBJECT_MARKER) == value.startswith(SINGLE_OBJECT_MARKER)
    assert codes(plain_answer(answer)) == ("malformed_json", None)
    assert (answer.key, plain_answer(answer)["request_id"]) == (origin.encode(), origin)
    status, over_http, _ = await service.post(value)
    assert (status, *codes(over_http)) == (400, "malformed_json", None)


async def test_a_request_id_that_is_none_is_named(service: Service) -> None:
    body = {"channel_id": service.channel, "external_id": "u-1", "request_id": "new\nline"}
    async with calling(service.settings) as caller:
        for value in (json.dumps(body).encode(), write_by_apache(RECORDS["identify"], body)):
            assert codes(plain_answer(await caller.ask(value))) == ("invalid_field", "request_id")


@pytest.mark.parametrize("command", sorted(set(RECORDS) - {"resume_token"}))
async def test_a_tenant_that_the_settings_do_not_allow_is_forbidden(
    service: Service, world: World, command: str
) -> None:
    body = {
        "identify": {"channel_id": world.channel, "external_id": "u-1"},
        "info": {"contact_id": world.contact},
        "merge": {"source_id": world.contact, "destination_id": world.contact},
        "release": {"contact_id": world.contact, "kind": "external_id", "value": "u-1"},
    }.get(command, {"contact_id": world.contact}) | {"tenant": "acme"}
    async with calling(service.settings) as caller:
        for value in (json.dumps(body | {"command": command}).encode(), write_by_apache(RECORDS[command], body)):
            assert codes(plain_answer(await caller.ask(value))) == ("forbidden", "tenant")


async def test_every_command_is_answered_in_avro_as_in_json(service: Service, world: World) -> None:
    """Walk one person through all commands, the question now in one format, now in the other."""
    who = f"walk-{uuid.uuid4()}"
    async with calling(service.settings) as caller:

        async def both(command: str, **body: Any) -> dict[str, Any]:
            in_avro = plain_answer(await caller.ask(write_by_apache(RECORDS[command], body | {"request_id": "same"})))
            again = json.dumps(body | {"command": command, "request_id": "same"}).encode()
            in_json = plain_answer(await caller.ask(again))
            in_avro.pop("explanation", None)
            in_avro.pop("created", None)
            in_json.pop("created", None)
            for conversation in (*in_avro.get("conversations", ()), *in_json.get("conversations", ())):
                conversation.pop("resume_token")
            in_avro.pop("resume_token", None)
            assert bool(in_json.pop("resume_token", None)) == (command == "resume_token")
            assert in_avro == in_json
            return in_json

        identified = await both(
            "identify",
            channel_id=world.channel,
            external_id=who,
            email=f"{who}@example.com",
            identifiers={"device": [who]},
            metadata={"first_name": "Ada", "plan": {"tier": [1, None, 2.5]}},
        )
        contact_id = identified["contact"]["id"]
        assert identified["contact"]["metadata"] == {"first_name": "Ada", "plan": {"tier": [1, None, 2.5]}}
        conversation_id = identified["conversations"][0]["id"]
        await both("resume_token", channel_id=world.channel, conversation_id=conversation_id)
        other = plain_answer(
            await caller.ask(json.dumps({"channel_id": world.channel, "external_id": f"{who}-2"}).encode())
        )
        other_id = other["contact"]["id"]
        await both("merge", source_id=other_id, destination_id=contact_id)
        info = await both("info", external_id=who)
        assert info["journal"][0]["merged_before"]["id"] == other_id
        unmerged = await caller.ask(write_by_apache(RECORDS["unmerge"], {"contact_id": other_id}))
        assert plain_answer(unmerged)["restored"]["id"] == other_id
        await both("release", contact_id=contact_id, kind="device", value=who)
        assert await both("forget", contact_id=contact_id) == {"request_id": "same"}
