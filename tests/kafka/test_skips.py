"""A record that stops a partition, passed over by an operator: at once, for good, and with a trace."""

import json
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from airy_identify.kafka import partition_for
from airy_identify.settings import Settings
from airy_identify.topics import IDENTITY
from airy_identify.wire.headers import DEAD_LETTER_CODE, DEAD_LETTER_OFFSET, DEAD_LETTER_TEXT, DEAD_LETTER_TOPIC
from tests.kafka.any_names import ODD_NAME, produce_any_names
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.replay import read
from tests.kafka.runbook import entry
from tests.kafka.service import Service, poll, put_channels
from tests.kafka.test_operator_commands import call
from tests.kafka.test_verify import metric, verify

POISON = b"no command at all"
TENANT = b"default"
WHY = ("--reason", "a test wrote it", "--by", "ada@ops")


async def test_a_record_that_stops_a_partition_is_passed_over_for_good(
    make_installation: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    settings = await make_installation(partitions=2)
    log, partition = settings.topic_names.identity_commands, partition_for(TENANT, 2)
    channel = str(uuid.uuid4())
    await put_odd_names(settings)
    await put_channels(settings, [channel])
    worker, bridge = (ServiceProcess(command, settings, tmp_path) for command in ("worker", "web"))
    service = Service(settings, channel, worker, bridge)
    async with ended_afterwards(worker, bridge):
        for process in (worker, bridge):
            await process.start().until_ready()
        await put_odd_names(settings)
        before = await service.identify(external_id="before")
        assert before["status"] == 200
        poison = (TENANT, POISON, (("trace", b"t"), (ODD_NAME, b"n")))
        await produce_any_names(settings.kafka_bootstrap_servers, log, poison, partition=partition)
        (poisoned,) = [record for record in await read(settings, log) if record.value == POISON]
        place = f"{log}:{partition}:{poisoned.offset}"

        async def paused() -> bool:
            return place in (await worker.status())[1]

        await poll(paused, "the worker is not ready, and says at which record it stands")
        assert "UndecodableError" in (await worker.status())[1]
        assert place in worker.log_file.read_text()
        _, metrics = await worker.status("/metrics")
        labels = f'{{agent="{IDENTITY}",partition="{partition}"}}'
        assert metric(metrics, f"airy_identify_paused_offset{labels}") == poisoned.offset

        await the_wrong_places_are_refused(settings, log, partition, poisoned.offset)
        assert await paused(), "nothing of that passes the record"
        code, output, errors = await call(settings, "skip", place, *WHY)
        assert (code, errors) == (0, ""), output
        await worker.until_ready()
        assert (await service.identify(external_id="after"))["status"] == 200
        code, _, errors = await call(settings, "skip", place, *WHY)
        assert (code, "ada@ops has decided that already" in errors) == (1, True)
        await the_trace(settings, poisoned.offset)
        code, _ = await verify(worker, settings, "--all-sides")
        assert code == 0, "the fold of the log passes it too"

        worker.kill()
        await worker.start().until_ready()
        assert await worker.terminate() == 0
        worker.wipe()
        await worker.start().until_ready()
        again = await service.identify(external_id="before")
        assert again["contact"] == before["contact"]
        code, _ = await verify(worker, settings, "--all-sides")
        assert code == 0
        await the_trace(settings, poisoned.offset)
        await the_runbook_passes_another(settings, worker, partition, tmp_path)


async def the_runbook_passes_another(
    settings: Settings, worker: ServiceProcess, partition: int, directory: Path
) -> None:
    log = settings.topic_names.identity_commands
    offset = await produce_any_names(settings.kafka_bootstrap_servers, log, (TENANT, POISON, ()), partition=partition)
    place = f"{log}:{partition}:{offset}"

    async def paused() -> bool:
        return place in (await worker.status())[1]

    await poll(paused, "the worker does not stop at it")
    async with entry("A record stops a partition", directory) as book:
        book.use(settings, worker, PLACE=place, REASON="a test wrote it")
        said = await book.run("Check")
        assert place in said
        assert f'partition="{partition}"}} {offset}.0' in said
        await book.run("Act")
        said = await book.run("Verify")
    assert "a test wrote it" in said
    assert "differ" not in said


async def put_odd_names(settings: Settings) -> None:
    """Put a record with a header name that is no UTF-8 on whatever is read without shards: a nothing to its readers."""
    names = settings.topic_names
    for topic in (names.airy_channels, names.skips, names.responses, names.bridge_responses):
        await produce_any_names(settings.kafka_bootstrap_servers, topic, (b"odd", None, [(ODD_NAME, b"")]))


async def the_wrong_places_are_refused(settings: Settings, log: str, partition: int, offset: int) -> None:
    for place, why in (
        (f"{log}:{partition}:{offset - 1}", "was applied already"),
        (f"{log}:{partition}:{offset + 1000}", "there is no such record"),
        (f"{log}:9:0", "has no partition 9"),
        (f"{settings.topic_names.responses}:0:0", "is none of the logs"),
    ):
        code, output, errors = await call(settings, "skip", place, *WHY)
        assert (code, output) == (1, "")
        assert why in errors
    code, output, _ = await call(settings, "skips", "--json")
    assert (code, json.loads(output)) == (0, [])


async def the_trace(settings: Settings, offset: int) -> None:
    """The record is in the dead letters once, byte for byte, and the list says who passed it and why."""
    names = settings.topic_names
    (letter,) = await read(settings, names.dead_letters)
    headers = dict(letter.headers)
    assert (letter.key, letter.value, headers["trace"], headers[ODD_NAME]) == (TENANT, POISON, b"t", b"n")
    assert headers[DEAD_LETTER_TOPIC] == names.identity_commands.encode()
    assert headers[DEAD_LETTER_OFFSET] == str(offset).encode()
    assert headers[DEAD_LETTER_CODE] == b"skipped"
    assert headers[DEAD_LETTER_TEXT] == b"skipped by ada@ops: a test wrote it"
    code, output, _ = await call(settings, "skips", "--json")
    (listed,) = json.loads(output)
    assert code == 0
    assert (listed["offset"], listed["passed"], listed["by"], listed["reason"]) == (
        offset,
        True,
        "ada@ops",
        "a test wrote it",
    )
    code, output, _ = await call(settings, "skips")
    assert (code, "ada@ops" in output) == (0, True)
