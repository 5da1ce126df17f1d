"""A contact whose conversations lie on all partitions, made by merging: what its slip visits and what it brings."""

import asyncio
import collections
from typing import Any

from airy_identify.core.answers import ResumeSlip
from airy_identify.core.conversation import SUMMARIES_MAX
from airy_identify.kafka import partition_for
from airy_identify.topics import CONVERSATION
from airy_identify.wire.conversation_commands import decode_conversation_command
from airy_identify.wire.rows import PROGRESS_KEY
from tests.kafka.doors import HttpDoor
from tests.kafka.replay import read
from tests.kafka.service import Service, poll, put_messages

CHATS = 64
KINDS, VALUES = 8, 4
SPOKEN = 12
SAID_AT_MS = 1_700_000_000_000


def devices(numbers: range) -> dict[str, list[str]]:
    """Return device ids as identifiers of eight kinds, of which a request may have five values each."""
    kinds: dict[str, list[str]] = collections.defaultdict(list)
    for number in numbers:
        kinds[f"device_{number % KINDS}"].append(f"d-{number}")
    return kinds


async def test_a_contact_with_conversations_everywhere(service: Service) -> None:
    tenant, door, names = service.new_tenant(), HttpDoor(service), service.settings.topic_names

    async def identify(request_id: str = "slip", **fields: Any) -> dict[str, Any]:
        body = {"tenant": tenant.name, "channel_id": tenant.channel, "request_id": request_id} | fields
        answer: dict[str, Any] = await service.identify(**body)
        assert answer["status"] == 200, answer
        return answer

    found = await asyncio.gather(*(identify(identifiers=devices(range(one, one + 1))) for one in range(CHATS)))
    chats = [answer["conversations"][0] for answer in found]
    spoken = [chat["id"] for chat in chats[:: CHATS // SPOKEN]][:SPOKEN]
    await put_messages(
        service.settings,
        *(
            {
                "id": f"message-{number}",
                "conversation_id": chat,
                "channel_id": tenant.channel,
                "content": "hello",
                "sent_at_ms": SAID_AT_MS + number,
            }
            for number, chat in enumerate(spoken)
        ),
    )

    async def rows_written() -> int:
        changelog = await read(service.settings, names.changelog(CONVERSATION))
        keys = {chat["id"].encode() for chat in chats}
        return sum(record.key in keys for record in changelog if record.key != PROGRESS_KEY)

    async def settled() -> bool:
        return await rows_written() == CHATS + SPOKEN  # each was opened, and some were spoken in

    await poll(settled, "the conversations were not opened")
    step, survivors = KINDS * VALUES, []
    for start in range(0, CHATS, step):  # thirty-one anonymous contacts end in the oldest of them, twice
        united = await identify(identifiers=devices(range(start, start + step)))
        assert len(united["merged"]) == step - 1
        survivors.append(united["contact"]["id"])
    ends, survives = survivors
    fields = {"tenant": tenant.name, "source_id": ends, "destination_id": survives}
    assert (await door.ask("merge", fields))[0] == 200
    answer, info = await asyncio.gather(
        identify(external_id="u-1", identifiers={"device_0": "d-0"}),
        door.ask("info", {"tenant": tenant.name, "contact_id": found[-1]["contact"]["id"]}),
    )

    newest = sorted((chat for chat in chats if chat["id"] not in spoken), key=_newest_first)
    best = [*reversed(spoken), *(chat["id"] for chat in newest)][:SUMMARIES_MAX]
    for shown in (answer, info[1]):
        assert [chat["id"] for chat in shown["conversations"]] == best
        assert shown["truncated"] is True
    assert answer["contact"]["id"] == info[1]["contact"]["id"] == survives
    assert await rows_written() == CHATS + SPOKEN, "merges move no conversations"
    places = collections.Counter(partition_for(chat["id"].encode(), service.settings.partitions) for chat in chats)
    assert set(places) == set(range(service.settings.partitions))
    assert await _stops(service, answer["request_id"]) == collections.Counter(dict.fromkeys(places, 1))


def _newest_first(chat: dict[str, Any]) -> tuple[Any, ...]:
    """Return what sorts the newest first: the time, as text, turned round; then the id."""
    return tuple(-ord(character) for character in chat["created_at"]), chat["id"]


async def _stops(service: Service, request_id: str) -> collections.Counter[int]:
    """Return the partitions that a slip visited, and how often."""
    stops: collections.Counter[int] = collections.Counter()
    for record in await read(service.settings, service.settings.topic_names.conversation_commands):
        if request_id.encode() in record.value:
            slip = decode_conversation_command(record.value)
            if isinstance(slip, ResumeSlip) and slip.request_id == request_id and slip.pending:
                stops[record.partition] += 1
    return stops
