"""Two rebuilds of the same logs, on other machines and with other assignments of partitions: the same digests."""

import asyncio
import itertools
import json
import re
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from airy_identify.settings import Settings
from airy_identify.topics import CONVERSATION, IDENTITY
from airy_identify.wire.generations import FIRST
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.rebuilding import Home, MakeInstallation, Rebuilding
from tests.kafka.service import channels_of, make_tenants, poll, produce, put_channels, put_messages

PARTITIONS = 4
PEOPLE = 12
"""Of each tenant."""
GAUGE = re.compile(r'^airy_identify_table_(offset|digest)\{agent="([a-z-]+)",partition="(\d+)"\} (\S+)$', re.MULTILINE)
DIGEST_SHOWN = 12
"""How many hexadecimal digits of a digest the metric has."""

Place = tuple[str, int]
Stand = tuple[int, str]
"""An offset of the log, and the digest of the table there."""


async def test_two_rebuilds_of_the_same_logs_give_the_same_digests(
    make_installation: MakeInstallation, tmp_path: Path
) -> None:
    """By one process while one worker has everything; by one for each partition while three share them, one of them killed."""
    tenants = make_tenants(2 * PARTITIONS)
    settings = await make_installation(
        partitions=PARTITIONS, requests_tenants=None, channel_tenants=channels_of(tenants)
    )
    await put_channels(settings, settings.channel_tenants)
    workers = [ServiceProcess("worker", settings, tmp_path, name=name) for name in ("one", "two", "three")]
    async with AsyncExitStack() as stack:
        for worker in workers:
            await stack.enter_async_context(ended_afterwards(worker))
        here = Home(settings, tenants[0].channel, workers[0], PEOPLE)
        await workers[0].start().until_ready()
        await asyncio.gather(*(people_come(settings, tenant.name, tenant.channel) for tenant in tenants))
        await poll(here.settled, "not applied")
        before = await verified(here, "--all-sides")
        assert len(before) == 2 * PARTITIONS, "every partition holds somebody"

        code, output, errors = await here.rebuild("--json")
        assert code == 0, errors
        alone = stands(json.loads(output))
        assert alone == before

        for worker in workers[1:]:
            worker.start()
        for worker in workers[1:]:
            await worker.until_ready()

        async def shared() -> bool:
            return all([await metrics([worker]) for worker in workers])

        await poll(shared, "the workers do not share the partitions")
        machines = [start_elsewhere(settings, tmp_path, number) for number in range(PARTITIONS)]
        try:
            workers[1].kill()
            codes = [await each.ended() for each in machines]
        finally:
            for each in machines:
                each.kill()
        assert codes == [0] * PARTITIONS, [each.said for each in machines]
        found = stands(itertools.chain.from_iterable(printed(each) for each in machines))
        assert found == before
        newest = {(each.agent, each.partition): each.generation for each in await here.decided()}
        assert newest.keys() == before.keys()
        assert min(newest.values()) > FIRST + 1, "every partition was rebuilt twice"
        assert await verified(here) == before
        left = [workers[0], workers[2]]
        shown = {place: (offset, digest[:DIGEST_SHOWN]) for place, (offset, digest) in before.items()}

        async def say_so() -> bool:
            return await metrics(left) == shown

        await poll(say_so, f"the metrics of the workers are not {shown}")


async def people_come(settings: Settings, tenant: str, channel: str) -> None:
    """Let people be identified, some by what others had, and let them write."""
    requests = [
        {
            "tenant": tenant,
            "channel_id": channel,
            "external_id": f"u-{number % PEOPLE}",
            "email": f"e-{number % (PEOPLE + 3)}@example.com",
            "metadata": {"plan": str(number)},
        }
        for number in range(3 * PEOPLE)
    ]
    records = [(None, json.dumps(request).encode(), ()) for request in requests]
    await produce(settings, settings.topic_names.requests, *records)
    messages = [
        {"id": f"{tenant}-{number}", "conversation_id": f"{tenant}-c-{number % PEOPLE}", "channel_id": channel}
        for number in range(2 * PEOPLE)
    ]
    await put_messages(settings, *messages)


def start_elsewhere(settings: Settings, directory: Path, number: int) -> Rebuilding:
    """Start the rebuild of one partition of both tables on a machine of its own, which has nobody's state."""
    machine = directory / f"machine-{number}"
    machine.mkdir()
    own = settings.model_copy(update={"data_dir": machine / "state"})
    return Rebuilding(own, machine / "rebuild.log", "--partition", str(number), "--json", "--wait", "120")


def printed(rebuilding: Rebuilding) -> list[dict[str, Any]]:
    """Return the JSON that a rebuild has printed after what it said."""
    said = "\n" + rebuilding.said
    found: list[dict[str, Any]] = json.loads(said[said.rindex("\n[") :])
    return found


def stands(rebuilt: Iterable[dict[str, Any]]) -> dict[Place, Stand]:
    return {(each["table"], each["partition"]): (each["offset"], each["digest"]) for each in rebuilt}


async def verified(here: Home, *arguments: str) -> dict[Place, Stand]:
    """Return the digest of each log; all sides that there are have the same."""
    verdicts = await here.verdicts(*arguments)
    return {(each["table"], each["partition"]): (each["offset"], each["digests"]["log"]) for each in verdicts}


async def metrics(workers: Iterable[ServiceProcess]) -> dict[Place, Stand]:
    """Return what workers say of their tables, digests in the length that metrics have."""
    shown: dict[Place, dict[str, float]] = {}
    for worker in workers:
        _, page = await worker.status("/metrics")
        for what, agent, partition, value in GAUGE.findall(page):
            if agent in (IDENTITY, CONVERSATION):
                shown.setdefault((agent, int(partition)), {})[what] = float(value)
    return {
        place: (int(each["offset"]), f"{int(each['digest']):0{DIGEST_SHOWN}x}")
        for place, each in shown.items()
        if len(each) == 2
    }
