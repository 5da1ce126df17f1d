"""What is left of somebody who was forgotten: bare markers in both tables, and nothing that comes late brings more back.

Everything that is known of this person has a word in it that nobody else has, so that it can be looked for byte by byte.
"""

import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest

from airy_identify.core.values import (
    AliasKey,
    ContactId,
    ContactKey,
    ConversationId,
    ConversationOwnerKey,
    Forgotten,
    IdentityKey,
    TenantId,
)
from airy_identify.topics import CONVERSATION, IDENTITY
from airy_identify.wire.rows import (
    PROGRESS_KEY,
    decode_conversation_row,
    decode_identity_key,
    decode_identity_row,
    decode_progress,
    encode_identity_key,
)
from tests.kafka.doors import DOORS, HttpDoor, open_door
from tests.kafka.replay import fold, read
from tests.kafka.service import Service, Tenant, poll, produce, put_messages

MARK = "marzipan"


@dataclass
class Ada:
    """Somebody with two contacts that become one, and three conversations in which something was said."""

    service: Service
    tenant: Tenant
    contacts: list[str] = field(default_factory=list)
    conversations: list[str] = field(default_factory=list)

    async def identify(self, **fields: Any) -> dict[str, Any]:
        answer = await self.service.identify(**{"tenant": self.tenant.name, "channel_id": self.tenant.channel} | fields)
        assert answer["status"] == 200, answer
        return answer

    async def live(self) -> None:
        for fields in (
            {"external_id": f"{MARK}-u-1", "email": f"{MARK}@example.org", "metadata": {"first_name": MARK}},
            {"phone_number": "+493012345601", "identifiers": {"device": f"{MARK}-1", f"{MARK}_kind": "badge"}},
            {"external_id": f"{MARK}-u-1", "channel_id": self.tenant.other_channel, "metadata": {MARK: [1]}},
        ):
            answer = await self.identify(**fields)
            self.contacts.append(answer["contact"]["id"])
            self.conversations.append(answer["conversations"][0]["id"])
        await HttpDoor(self.service).ask(
            "merge", {"tenant": self.tenant.name, "source_id": self.contacts[1], "destination_id": self.contacts[0]}
        )
        for conversation in self.conversations:
            await self.say(conversation)

        async def said() -> bool:
            _, info = await HttpDoor(self.service).ask(
                "info", {"tenant": self.tenant.name, "contact_id": self.contacts[0]}
            )
            return all(each["last_message"] for each in info["conversations"])

        await poll(said, "the messages did not arrive")

    async def say(self, conversation: str, message_id: str | None = None) -> str:
        message_id = message_id or str(uuid.uuid4())
        message = {
            "id": message_id,
            "conversation_id": conversation,
            "channel_id": self.tenant.channel,
            "content": f'{{"text":"{MARK}"}}',
            "sender_id": f"{MARK}-visitor",
        }
        await put_messages(self.service.settings, message)
        return message_id


async def identity_rows(ada: Ada) -> dict[IdentityKey, bytes]:
    """Return the rows of the tenant, as the changelog is once it is compacted."""
    tables = fold(await read(ada.service.settings, ada.service.settings.topic_names.changelog(IDENTITY)))
    rows = {decode_identity_key(key): row for table in tables.values() for key, row in table.items()}
    return {key: row for key, row in rows.items() if key.tenant == ada.tenant.name}


async def conversation_rows(ada: Ada) -> dict[str, bytes]:
    tables = fold(await read(ada.service.settings, ada.service.settings.topic_names.changelog(CONVERSATION)))
    rows = {key.decode(): row for table in tables.values() for key, row in table.items()}
    return {conversation: rows[conversation] for conversation in ada.conversations if conversation in rows}


def marked(rows: dict[Any, bytes]) -> list[Any]:
    """Return the keys of rows in which, or in whose keys, the word is."""
    return [key for key, row in rows.items() if MARK in str(key) or MARK.encode() in row or b"12345601" in row]


async def until_forgotten(ada: Ada) -> None:
    async def forgotten() -> bool:
        rows = await conversation_rows(ada)
        return all(isinstance(decode_conversation_row(row), Forgotten) for row in rows.values())

    await poll(forgotten, "the conversations were not forgotten")


async def assert_only_markers_are_left(ada: Ada) -> None:
    identity, conversations = await identity_rows(ada), await conversation_rows(ada)
    assert marked(identity) == []
    assert marked(conversations) == []
    assert {type(decode_identity_row(row)) for row in identity.values()} == {Forgotten}
    tenant = TenantId(ada.tenant.name)
    gone: set[IdentityKey] = {ContactKey(tenant=tenant, contact_id=ContactId(ada.contacts[0]))}
    gone |= {ConversationOwnerKey(tenant=tenant, conversation_id=ConversationId(each)) for each in ada.conversations}
    gone.add(AliasKey(tenant=tenant, contact_id=ContactId(ada.contacts[1])))
    derived = {key for key in identity if key not in gone}
    assert gone <= identity.keys()
    assert len(derived) == 1, "the id that Airy derives from the conversation on the other channel"
    assert {type(key) for key in derived} == {AliasKey}
    assert set(conversations) == set(ada.conversations)
    await assert_the_rest_are_tombstones(ada, identity)


async def assert_the_rest_are_tombstones(ada: Ada, left: dict[IdentityKey, bytes]) -> None:
    last: dict[bytes, bytes | None] = {}
    for record in await read(ada.service.settings, ada.service.settings.topic_names.changelog(IDENTITY)):
        if record.key.startswith(f"{ada.tenant.name}\x1f".encode()):
            last[record.key] = record.value
    keys = {encode_identity_key(key) for key in left}
    assert {key for key, row in last.items() if row is not None} == keys
    assert sum(MARK.encode() in key for key, row in last.items() if row is None) >= 4, "identifiers had rows"


async def until_applied(ada: Ada, message_id: str) -> None:
    """Wait until a message is in the log of conversations, and the table stands behind it."""
    names = ada.service.settings.topic_names

    async def arrived() -> Any:
        log = await read(ada.service.settings, names.conversation_commands)
        found = [record for record in log if message_id.encode() in record.value]
        return found[0] if found else None

    record = await poll(arrived, "the message did not come through")

    async def applied() -> bool:
        progress = [
            decode_progress(each.value).offset
            for each in await read(ada.service.settings, names.changelog(CONVERSATION))
            if each.key == PROGRESS_KEY and each.partition == record.partition
        ]
        return bool(progress) and progress[-1] >= record.offset

    await poll(applied, "the message was not applied")


@pytest.mark.parametrize("name", DOORS)
async def test_nothing_but_bare_markers_is_left(service: Service, name: str) -> None:
    ada = Ada(service, service.new_tenant())
    await ada.live()
    assert len(marked(await identity_rows(ada))) >= 6
    assert len(marked(await conversation_rows(ada))) == 3

    async with open_door(name, service) as door:
        status, answer = await door.ask("forget", {"tenant": ada.tenant.name, "contact_id": ada.contacts[1]})
    assert (status, set(answer)) == (200, {"request_id"})

    await until_forgotten(ada)
    await assert_only_markers_are_left(ada)


async def test_nothing_late_brings_anything_back(service: Service) -> None:
    ada = Ada(service, service.new_tenant())
    await ada.live()
    names, tenant = service.settings.topic_names, {"tenant": ada.tenant.name}
    first, second = ada.contacts[:2]
    door = HttpDoor(service)
    await door.ask("forget", tenant | {"contact_id": first})
    await until_forgotten(ada)

    late = [await ada.say(conversation) for conversation in ada.conversations]
    for message_id in late:
        await until_applied(ada, message_id)
    for command, fields in {
        "merge": {"source_id": second, "destination_id": first},
        "unmerge": {"contact_id": second},
        "release": {"contact_id": second, "kind": "email", "value": f"{MARK}@example.org"},
        "info": {"contact_id": second},
    }.items():
        status, answer = await door.ask(command, tenant | fields)
        assert (status, answer["code"]) == (404, "unknown_contact")
    for conversation in ada.conversations:
        for channel in (ada.tenant.channel, ada.tenant.other_channel):
            status, answer = await door.ask(
                "resume_token", tenant | {"channel_id": channel, "conversation_id": conversation}
            )
            assert (status, answer["code"]) == (404, "unknown_conversation")
    assert (await door.ask("forget", tenant | {"contact_id": second}))[0] == 200
    await assert_only_markers_are_left(ada)

    log = [
        record for record in await read(service.settings, names.identity_commands)
        if record.key == ada.tenant.name.encode()
    ]  # fmt: skip
    await produce(service.settings, names.identity_commands, (log[0].key, log[0].value, ()), partition=log[0].partition)
    again = await ada.identify(external_id=f"{MARK}-u-1")
    assert again["created"] == {"contact": False, "conversation": False}, "the first request came once more"
    assert again["contact"]["id"] not in ada.contacts
    assert again["conversations"][0]["id"] not in ada.conversations
    assert again["conversations"][0]["last_message"] is None
    assert (again["contact"]["phone_number"], again["contact"]["metadata"]) == (None, {"first_name": MARK})
    rows = await identity_rows(ada)
    assert isinstance(
        decode_identity_row(rows[ContactKey(tenant=TenantId(ada.tenant.name), contact_id=ContactId(first))]), Forgotten
    )
    assert marked(await conversation_rows(ada)) == []
