"""`airy-identify rebuild` on real Kafka, with real workers, when something is lost or damaged, and what it refuses."""

import dataclasses
import json
from pathlib import Path

from aiokafka.admin import RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.core.values import Forgotten
from airy_identify.ops.admin import connect
from airy_identify.ops.topics import create_topics
from airy_identify.settings import Settings
from airy_identify.topics import AIRY_PARTITIONS, CONVERSATION, IDENTITY, INTAKE, declare
from airy_identify.wire.rows import PROGRESS_KEY, decode_progress, encode_conversation_row, encode_progress
from tests.kafka.rebuilding import PARTITION, PARTITIONS, Home, MakeInstallation, home
from tests.kafka.replay import read
from tests.kafka.service import poll, produce, put_messages


async def delete_topics(settings: Settings, *topics: str) -> None:
    async with connect(settings.kafka_bootstrap_servers) as admin:
        await admin.delete_topics(list(topics))


async def make_changelogs(settings: Settings, *topics: str) -> None:
    declared = declare(
        settings.topic_names, partitions=PARTITIONS, messages_partitions=AIRY_PARTITIONS, production=False
    )
    wanted = [topic for topic in declared if topic.name in topics]
    await create_topics(settings.kafka_bootstrap_servers, wanted, replication_factor=1)


async def test_changelogs_that_are_lost(make_installation: MakeInstallation, tmp_path: Path) -> None:
    """Made anew and empty: the shards close, and say what to run. It is run, and they open by themselves."""
    async with home(make_installation, tmp_path) as here:
        names = here.settings.topic_names
        await here.identify(100)
        await here.say(100)
        await poll(here.settled, "not applied")
        before = {
            (each["table"], each["partition"]): each["digests"]["log"] for each in await here.verdicts("--all-sides")
        }
        assert await here.worker.terminate() == 0
        lost = [names.changelog(table) for table in (IDENTITY, CONVERSATION, INTAKE)]
        await delete_topics(here.settings, *lost)
        await make_changelogs(here.settings, *lost)
        here.worker.start()

        async def closed() -> bool:
            _, reasons = await here.worker.status()
            return f"{INTAKE}-changelog:" in reasons and "`airy-identify rebuild --check`" in reasons

        await poll(closed, "the shards did not close")
        code, _, errors = await here.rebuild("--table", IDENTITY, "--partition", str(PARTITION))
        assert code == 1
        assert "its shard is closed, and cannot hand over; run `airy-identify rebuild --offline" in errors
        code, output, errors = await here.rebuild("--check", "--json", "--table", IDENTITY)
        (reach,) = [each for each in json.loads(output) if each["partition"] == PARTITION]
        assert str(here.worker.data_dir) in reach["answered"]["source"], (
            "the directory knows how far the log was answered"
        )
        tables = ("--table", IDENTITY, "--table", CONVERSATION, "--table", INTAKE)
        code, output, errors = await here.rebuild("--offline", *tables)
        assert code == 1, "nobody is there to say yes"
        code, output, errors = await here.rebuild("--offline", "--yes", "--json", *tables)
        assert code == 0, errors
        digests = {(each["table"], each["partition"]): each["digest"] for each in json.loads(output)}
        filled = {place: digest for place, digest in digests.items() if place in before and digest}
        assert len(filled) >= 3
        assert filled == {place: before[place] for place in filled}
        await here.worker.until_ready()
        await here.identify(50)
        await poll(here.settled, "not applied any more")
        await here.assert_answered_once()
        await here.verdicts()


async def test_a_log_that_will_not_be_kept_is_said_beforehand(
    make_installation: MakeInstallation, tmp_path: Path
) -> None:
    """Everything is there still, so the rebuild is done; that the next one could not be is said before and after."""
    async with home(make_installation, tmp_path) as here:
        names = here.settings.topic_names
        await here.identify(20)
        await poll(here.settled, "not applied")
        code, output, errors = await here.rebuild("--check")
        assert (code, "AT RISK" in output) == (0, False), output + errors
        assert f"{names.identity_commands} keeps everything" in output
        async with connect(here.settings.kafka_bootstrap_servers) as admin:
            settings = {"cleanup.policy": "delete", "retention.ms": "86400000"}
            resource = ConfigResource(ConfigResourceType.TOPIC, names.identity_commands, settings)
            await admin.alter_configs([resource])
        code, output, errors = await here.rebuild("--check")
        assert code == 0, errors
        assert f"AT RISK {names.identity_commands}: retention.ms is 86400000" in output
        code, output, errors = await here.rebuild("--check", "--json")
        at_risk = {topic["topic"] for reach in json.loads(output) for topic in reach["topics"] if topic["at_risk"]}
        assert (code, at_risk) == (0, {names.identity_commands})
        code, _, errors = await here.rebuild("--table", IDENTITY, "--partition", str(PARTITION))
        assert code == 0, errors
        assert f"the next rebuild is at risk: {names.identity_commands}: retention.ms is 86400000" in errors


async def test_a_damaged_table_and_a_log_that_is_too_short(make_installation: MakeInstallation, tmp_path: Path) -> None:
    async with home(make_installation, tmp_path) as here:
        names = here.settings.topic_names
        await here.identify(60)
        await here.say(60)
        await poll(here.settled, "not applied")
        await a_running_table_that_is_not_what_its_log_gives(here)
        await poll(here.settled, "not applied")
        log = TopicPartition(names.identity_commands, PARTITION)
        async with connect(here.settings.kafka_bootstrap_servers) as admin:
            await admin.delete_records({log: RecordsToDelete(20)})
        chosen = ("--table", IDENTITY, "--partition", str(PARTITION))
        for arguments in (("--check",), ()):
            code, output, errors = await here.rebuild(*chosen, *arguments)
            assert code == 1
            assert f"{names.identity_commands} begins at offset 20" in output + errors
        assert {each.generation for each in await here.decided()} == {2}
        code, output, errors = await here.rebuild(*chosen, "--accept-gaps")
        assert code == 1, "what is left of the log is not what the table holds"
        assert "rows of the running table are not what its log gives" in errors
        await here.identify(10)
        await poll(here.settled, "not applied any more")
        await here.assert_answered_once()


async def a_running_table_that_is_not_what_its_log_gives(here: Home) -> None:
    """A row that somebody else wrote, with a progress row that says so: refused, unless it is to be replaced."""
    names = here.settings.topic_names
    assert await here.worker.terminate() == 0
    here.worker.wipe()
    changelog = [each for each in await read(here.settings, names.changelog(IDENTITY)) if each.partition == PARTITION]
    (key, row) = next((each.key, each.value) for each in changelog if b"contact" in each.key)
    latest = {each.key: each.value for each in changelog}
    await produce(
        here.settings,
        names.changelog(IDENTITY),
        (key + b"-of-nobody", row, ()),
        (PROGRESS_KEY, without_digest(latest[PROGRESS_KEY]), ()),
        partition=PARTITION,
    )
    await here.worker.start().until_ready()
    code, _, errors = await here.rebuild("--table", IDENTITY, "--partition", str(PARTITION))
    assert code == 1
    assert "1 rows of the running table are not what its log gives: nothing was switched" in errors
    assert await here.decided() == []
    code, output, errors = await here.rebuild("--table", IDENTITY, "--replace-different", "--show-keys")
    assert code == 0, errors
    assert "1 rows of the running table were not what its log gives" in output
    assert "-of-nobody" in output
    code, output, errors = await here.rebuild("--table", CONVERSATION)
    assert code == 0, errors
    await here.verdicts()


async def test_conversations_from_before_their_log_begins(make_installation: MakeInstallation, tmp_path: Path) -> None:
    """Thirty days later: the log has one record left, and the table is made of Airy's messages and the contacts' table."""
    async with home(make_installation, tmp_path) as here:
        names = here.settings.topic_names
        await here.identify(40)
        await here.say(40)
        await poll(here.settled, "not applied")
        answers = [json.loads(record.value) for record in await read(here.settings, names.responses)]
        minted = [answer["conversations"][0]["id"] for answer in answers]
        messages = [
            {
                "id": f"in-{number}",
                "conversation_id": chat,
                "channel_id": here.channel,
                "sent_at_ms": 1_000 - number % 7,
            }
            for number, chat in enumerate([*minted, *minted[::2]])
        ]
        await put_messages(here.settings, *messages)
        forgotten = {"command": "forget", "contact_id": answers[0]["contact"]["id"], "request_id": "forget"}
        await produce(here.settings, names.requests, (None, json.dumps(forgotten).encode(), ()))
        await poll(here.settled, "not applied")
        changelog = await read(here.settings, names.changelog(CONVERSATION))
        before = rows_of(changelog)
        assert encode_conversation_row(Forgotten()) in before.values()
        applied = {each.partition: decode_progress(each.value).offset for each in changelog if each.key == PROGRESS_KEY}
        async with connect(here.settings.kafka_bootstrap_servers) as admin:
            await admin.delete_records(
                {
                    TopicPartition(names.conversation_commands, number): RecordsToDelete(last)
                    for number, last in applied.items()
                }
            )
        code, _, errors = await here.rebuild("--table", CONVERSATION)
        assert code == 1
        assert "what it held before is made again from Airy's messages" in errors
        code, _, errors = await here.rebuild("--table", CONVERSATION, "--accept-gaps")
        assert code == 0, errors
        assert {each.generation for each in await here.decided()} == {2}
        assert rows_of(await read(here.settings, names.changelog(CONVERSATION, 2))) == before
        await here.identify(10)
        await poll(here.settled, "not applied any more")
        await here.verdicts()


def rows_of(changelog: list[ConsumerRecord]) -> dict[bytes, bytes]:
    latest = {record.key: record.value for record in changelog if record.key != PROGRESS_KEY}
    return {key: row for key, row in latest.items() if row is not None}


def without_digest(row: bytes) -> bytes:
    """Return the progress row as an earlier release wrote it."""
    return encode_progress(dataclasses.replace(decode_progress(row), digest=None))
