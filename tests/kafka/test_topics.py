import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiokafka.admin import NewPartitions

from airy_identify.ops.admin import connect
from airy_identify.ops.errors import KafkaUnreachableError, TopicsError
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.ops.ports import free_port
from airy_identify.ops.topics import MISSING, check_topics, create_topics, read_topics
from airy_identify.settings import Settings
from airy_identify.topics import AIRY_PARTITIONS, TopicDeclaration, declare, declare_airy

DEADLINE_S = 30.0


async def test_created_topics_pass_the_check(make_installation: Callable[..., Awaitable[Settings]]) -> None:
    settings = await make_installation()
    ours = declare(settings.topic_names, partitions=4, messages_partitions=AIRY_PARTITIONS, production=False)

    assert await check_topics(settings.kafka_bootstrap_servers, (*declare_airy(settings.topic_names), *ours)) == []


async def test_creating_twice_creates_nothing_the_second_time(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    declarations = declare(settings.topic_names, partitions=2, messages_partitions=3, production=False)

    first = await create_topics(settings.kafka_bootstrap_servers, declarations, replication_factor=1)
    second = await create_topics(settings.kafka_bootstrap_servers, declarations, replication_factor=1)

    assert first == [declaration.name for declaration in declarations]
    assert second == []


async def test_check_reports_every_difference_at_once(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    name = settings.topic_names.requests
    made = TopicDeclaration(
        name=name,
        partitions=2,
        config={
            "cleanup.policy": "compact",
            "min.insync.replicas": "1",
            "unclean.leader.election.enable": "true",
            "max.message.bytes": "1000",
        },
    )
    await create_topics(settings.kafka_bootstrap_servers, [made], replication_factor=1)
    wanted = declare(settings.topic_names, partitions=4, messages_partitions=3, production=True)

    problems = await check_topics(settings.kafka_bootstrap_servers, wanted, replication_factor=3)

    assert [problem.message for problem in problems if problem.topic == name] == [
        "has 2 partitions, not 4",
        "has 1 replicas, fewer than 3",
        "cleanup.policy is compact, not delete",
        "min.insync.replicas is 1, not 2",
        "unclean.leader.election.enable is true, not false",
        "max.message.bytes is 1000, not 4194304",
    ]
    missing = {problem.topic for problem in problems if problem.message == MISSING}
    assert missing == {declaration.name for declaration in wanted} - {name}


async def test_partitions_added_later_are_noticed(make_installation: Callable[..., Awaitable[Settings]]) -> None:
    settings = await make_installation(partitions=2)
    name = settings.topic_names.identity_commands
    async with connect(settings.kafka_bootstrap_servers) as admin:
        await admin.create_partitions({name: NewPartitions(3)})
    async with asyncio.timeout(DEADLINE_S):
        while (await read_topics(settings.kafka_bootstrap_servers, [name]))[name].partitions != 3:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    wanted = declare(settings.topic_names, partitions=2, messages_partitions=AIRY_PARTITIONS, production=False)
    problems = await check_topics(settings.kafka_bootstrap_servers, wanted)
    assert [str(problem) for problem in problems] == [f"{name}: has 3 partitions, not 2"]


async def test_refused_topics_are_all_named(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    wrong = [
        TopicDeclaration(name=f"{settings.topic_prefix}one", partitions=1, config={"cleanup.policy": "nonsense"}),
        TopicDeclaration(name=f"{settings.topic_prefix}two", partitions=1, config={"no.such.setting": "1"}),
    ]

    with pytest.raises(TopicsError, match=r"one: (.|\n)*two: "):
        await create_topics(settings.kafka_bootstrap_servers, wrong, replication_factor=1)


async def test_no_broker_is_said_in_one_line(broker: LocalKafka) -> None:
    assert broker.port
    with pytest.raises(KafkaUnreachableError, match="does not answer"):
        await check_topics(f"127.0.0.1:{free_port()}", [])
