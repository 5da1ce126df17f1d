"""What the brokers do not allow a worker: it says which ACL is missing, and goes on by itself once that is there."""

import asyncio
from pathlib import Path

from airy_identify.ops.local_broker import LocalKafka
from tests.kafka.acls import PRINCIPAL, AclOperation, ResourcePatternType, ResourceType, denied, given_to_others
from tests.kafka.conftest import create_all_topics, settings_of
from tests.kafka.processes import POLL_S, ServiceProcess, ended_afterwards
from tests.kafka.runbook import entry


async def test_a_worker_says_which_acl_it_lacks_and_begins_once_that_is_there(
    broker: LocalKafka, tmp_path: Path
) -> None:
    settings = settings_of(broker, tmp_path, partitions=1)
    servers, app_id = broker.bootstrap_servers, settings.topic_names.app_id
    worker = ServiceProcess("worker", settings, tmp_path)
    await create_all_topics(settings)
    async with (
        ended_afterwards(worker),
        given_to_others(servers, ResourceType.GROUP, app_id),
        given_to_others(servers, ResourceType.TRANSACTIONAL_ID, f"{app_id}-", ResourcePatternType.PREFIXED),
        entry("An ACL is missing", tmp_path) as book,
    ):
        worker.start()
        group = (f"GroupAuthorizationFailedError('{app_id}')", "Read and Describe on this group")
        await says(worker, *group)
        book.use(settings, worker, PRINCIPAL=PRINCIPAL)
        assert says_all(await book.run("Check"), group)
        to_join, to_write = book.steps["Act"].split("kafka-acls.sh")[1:]
        book.steps["Act"] = f"kafka-acls.sh{to_join}"
        await book.run("Act")
        await says(worker, f"TransactionalIdAuthorizationFailed('{app_id}-intake-0')", "transactional ids that begin")
        book.steps["Act"] = f"kafka-acls.sh{to_write}"
        await book.run("Act")
        await book.run("Verify")
    log = worker.log_file.read_text()
    assert "An ACL has to allow Read and Describe on this group" in log
    assert "An ACL has to allow Write and Describe on the transactional ids" in log


async def test_a_topic_that_an_acl_hides_ends_the_worker_with_words(broker: LocalKafka, tmp_path: Path) -> None:
    settings = settings_of(broker, tmp_path, partitions=1)
    hidden = settings.topic_names.identity_commands
    worker = ServiceProcess("worker", settings, tmp_path)
    await create_all_topics(settings)
    async with ended_afterwards(worker), denied(broker.bootstrap_servers, ResourceType.TOPIC, hidden, AclOperation.ALL):
        assert await worker.start().ended() == 1
    assert f"{hidden}: is missing, or an ACL hides it" in worker.log_file.read_text()


async def says(worker: ServiceProcess, *words: str) -> None:
    async with asyncio.timeout(90):
        while not says_all((await worker.status())[1], words):
            assert worker.runs
            await asyncio.sleep(POLL_S)


def says_all(text: str, words: tuple[str, ...]) -> bool:
    return all(word in text for word in words)
