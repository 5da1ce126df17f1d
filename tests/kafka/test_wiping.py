"""Wiping a data directory, on a running cluster or a stopped one, changes no answer."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from airy_identify.settings import Settings
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.service import Answer, Service, put_channels, put_messages

PEOPLE = 60


async def answered(service: Service, **fields: object) -> Answer:
    """Ask until it is answered: while partitions move, a request may be refused cleanly or run into its time-out."""
    async with asyncio.timeout(60):
        while (answer := await service.identify(**fields))["status"] != 200:
            assert answer["status"] in {503, 504}
    return answer


async def remembered(service: Service) -> list[Answer]:
    """Return what is answered about everybody, without request ids and tokens, which are new each time."""
    answers = await asyncio.gather(
        *(answered(service, external_id=f"person-{number}", email=f"p{number}@example.com") for number in range(PEOPLE))
    )
    for answer in answers:
        del answer["request_id"], answer["created"]
        for conversation in answer["conversations"]:
            assert conversation.pop("resume_token")
    return list(answers)


async def test_wiping_changes_no_answer(make_installation: Callable[..., Awaitable[Settings]], tmp_path: Path) -> None:
    settings = await make_installation()
    channel = str(uuid.uuid4())
    await put_channels(settings, [channel])
    one, other = (ServiceProcess("worker", settings, tmp_path, name=name) for name in ("one", "other"))
    bridge = ServiceProcess("web", settings, tmp_path)
    service = Service(settings, channel, one, bridge)
    async with ended_afterwards(one, other, bridge):
        for process in (one, bridge):
            await process.start().until_ready()
        first = await remembered(service)
        said = [answer["conversations"][0]["id"] for answer in first[:10]]
        await put_messages(
            settings,
            *(
                {"id": str(uuid.uuid4()), "conversation_id": each, "channel_id": channel, "content": "hi"}
                for each in said
            ),
        )
        async with asyncio.timeout(60):
            while sum(answer["conversations"][0]["last_message"] is not None for answer in first) < len(said):
                first = await remembered(service)

        assert await one.terminate() == 0
        one.wipe()
        await one.start().until_ready()
        assert await remembered(service) == first, "stopped, wiped, started"

        await other.start().until_ready()
        one.kill()
        one.wipe()
        await other.until_ready()
        assert await remembered(service) == first, "killed and wiped, the other goes on"
        await one.start().until_ready()
        assert await remembered(service) == first, "and again with the wiped one"
