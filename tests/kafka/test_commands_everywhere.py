"""Every command about people does the same through every door: twice, by old ids, and inside its tenant only."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from airy_identify.kafka import partition_for
from tests.kafka.doors import DOORS, Door, HttpDoor, open_door
from tests.kafka.replay import read
from tests.kafka.service import Answer, Service, Tenant


class Caller:
    """Asks for one tenant."""

    def __init__(self, door: Door, tenant: Tenant) -> None:
        self.door = door
        self.tenant = tenant

    async def ask(self, command: str, status: int = 200, **fields: Any) -> Answer:
        answered, answer = await self.door.ask(command, {"tenant": self.tenant.name} | fields)
        assert answered == status, (command, answer)
        return answer

    async def identify(self, **fields: Any) -> Answer:
        return await self.ask("identify", channel_id=self.tenant.channel, **fields)


@pytest.fixture(params=DOORS)
async def door(request: pytest.FixtureRequest, service: Service) -> AsyncIterator[Door]:
    async with open_door(request.param, service) as opened:
        yield opened


async def test_commands_work_by_old_ids_and_may_come_twice(door: Door, service: Service) -> None:
    asking = Caller(door, service.new_tenant())
    first = (await asking.identify(external_id="u-1", email="ada@example.org"))["contact"]["id"]
    second = (await asking.identify(external_id="u-2", email="bob@example.org"))["contact"]["id"]

    merged = [(await asking.ask("merge", source_id=second, destination_id=first))["contact"] for _ in range(2)]
    assert merged[0] == merged[1]
    assert merged[0]["id"] == first
    shown = [await asking.ask("info", contact_id=each) for each in (first, second)]
    assert shown[0]["contact"] == shown[1]["contact"] == merged[0]
    assert [len(each["journal"]) for each in shown] == [1, 1]

    parted = await asking.ask("unmerge", contact_id=second)
    assert (parted["contact"]["id"], parted["restored"]["id"]) == (first, second)
    assert (await asking.ask("unmerge", 409, contact_id=second))["code"] == "not_latest_merge"
    assert (await asking.ask("info", contact_id=second))["contact"] == parted["restored"]

    await asking.ask("merge", source_id=second, destination_id=first)
    email = {"contact_id": second, "kind": "email", "value": "Ada@example.org"}
    released = [(await asking.ask("release", **email))["contact"] for _ in range(2)]
    assert released[0] == released[1]
    assert (released[0]["id"], released[0]["email"]) == (first, None)

    for contact_id in (second, first, second):
        assert set(await asking.ask("forget", contact_id=contact_id)) == {"request_id"}
    for contact_id in (first, second):
        assert (await asking.ask("info", 404, contact_id=contact_id))["code"] == "unknown_contact"
    assert (await asking.identify(external_id="u-2"))["created"] == {"contact": True, "conversation": True}


async def test_no_command_reaches_into_another_tenant(door: Door, service: Service) -> None:
    mine, theirs = (Caller(door, service.new_tenant()) for _ in range(2))
    ada = (await mine.identify(external_id="u-1", email="ada@example.org"))["contact"]
    soft = (await mine.identify(phone_number="+493012345601"))["contact"]["id"]
    await mine.ask("merge", source_id=soft, destination_id=ada["id"])
    before = await mine.ask("info", contact_id=ada["id"])
    other = (await theirs.identify(external_id="u-1", email="ada@example.org"))["contact"]["id"]
    assert other != ada["id"]

    for contact_id in (ada["id"], soft):
        for command, fields in {
            "info": {"contact_id": contact_id},
            "unmerge": {"contact_id": contact_id},
            "release": {"contact_id": contact_id, "kind": "email", "value": "ada@example.org"},
            "forget": {"contact_id": contact_id},
        }.items():
            assert (await theirs.ask(command, 404, **fields))["code"] == "unknown_contact"
        for source, destination in ((contact_id, other), (other, contact_id)):
            refused = await theirs.ask("merge", 404, source_id=source, destination_id=destination)
            assert refused["code"] == "unknown_contact"
    assert (await theirs.ask("info", 404, phone_number="+493012345601"))["code"] == "unknown_contact"
    channel = await theirs.ask("identify", 404, channel_id=mine.tenant.channel, external_id="u-1")
    assert channel["code"] == "unknown_channel"

    await theirs.ask("forget", contact_id=other)
    after = await mine.ask("info", contact_id=ada["id"])
    assert {name: after[name] for name in after if name != "request_id"} == {
        name: before[name] for name in before if name != "request_id"
    }


async def test_tokens_stay_in_their_tenant_and_on_their_channel(service: Service) -> None:
    door = HttpDoor(service)
    mine, theirs = (Caller(door, service.new_tenant()) for _ in range(2))
    conversation = (await mine.identify(external_id="u-1"))["conversations"][0]["id"]
    places = {
        (mine, mine.tenant.channel): 200,
        (mine, mine.tenant.other_channel): "unknown_conversation",
        (theirs, mine.tenant.channel): "unknown_channel",
        (theirs, theirs.tenant.channel): "unknown_conversation",
        (mine, theirs.tenant.channel): "unknown_channel",
    }
    for (caller, channel), expected in places.items():
        status = 200 if expected == 200 else 404
        answer = await caller.ask("resume_token", status, channel_id=channel, conversation_id=conversation)
        assert answer.get("code", 200) == expected
    unknown = await mine.ask("resume_token", 404, channel_id=mine.tenant.channel, conversation_id=str(uuid.uuid4()))
    assert unknown["code"] == "unknown_conversation"


async def test_a_tenant_is_one_partition_and_tenants_are_spread(service: Service) -> None:
    tenants = [service.new_tenant() for _ in range(12)]
    for tenant in tenants:
        for _ in range(2):
            await Caller(HttpDoor(service), tenant).identify(identifiers={"device": str(uuid.uuid4())})

    log = await read(service.settings, service.settings.topic_names.identity_commands)
    places = {
        tenant.name: {record.partition for record in log if record.key == tenant.name.encode()} for tenant in tenants
    }
    for name, partitions in places.items():
        assert partitions == {partition_for(name.encode(), service.settings.partitions)}
    assert len(set().union(*places.values())) > 1
