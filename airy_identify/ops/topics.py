"""Topics on the brokers: create those that are missing, and tell how the others differ from what they have to be."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from airy_identify.ops.admin import connect
from airy_identify.ops.errors import TopicsError
from airy_identify.topics import TopicDeclaration, TopicNames

CHECKED_SETTINGS = (
    "cleanup.policy",
    "min.insync.replicas",
    "unclean.leader.election.enable",
    "max.message.bytes",
)
"""The topic settings that a worker insists on; retention is the operator's decision once the topic is there."""

MISSING = "is missing, or an ACL hides it"

_CREATE_TIMEOUT_S = 30
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One way in which a topic is not as it has to be."""

    topic: str
    message: str

    def __str__(self) -> str:
        return f"{self.topic}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicState:
    """A topic as the brokers have it. `replicas` is the smallest number over its partitions."""

    partitions: int
    replicas: int
    config: dict[str, str]


def missing_of_airy(names: TopicNames, topic: str) -> str:
    """Say that a topic of Airy's is not there."""
    otherwise = ""
    if topic == names.airy_contacts:
        otherwise = "; an Airy without contacts is read with AIRY_IDENTIFY_CONTACTS_IN=false"
    return f"{topic}: is missing; it is Airy's{otherwise}"


async def create_topics(
    bootstrap_servers: str, declarations: Iterable[TopicDeclaration], *, replication_factor: int
) -> list[str]:
    """Create the topics that are missing, wait until each partition has a leader, and return their names.

    Topics that exist are left as they are, right or wrong: that is for `check_topics` to say.

    Raises:
        TopicsError: Brokers refused a topic; all refusals are named.
        KafkaUnreachableError: No broker answers.
    """
    async with connect(bootstrap_servers) as admin:
        existing = await _describe(admin)
        missing = [declaration for declaration in declarations if declaration.name not in existing]
        if not missing:
            return []
        response = await admin.create_topics(
            [
                NewTopic(
                    topic.name,
                    topic.partitions,
                    replication_factor,
                    topic_configs=dict(topic.config),
                )
                for topic in missing
            ]
        )
        refused = [
            f"{name}: {message or for_code(code).__name__}"
            for name, code, message in response.topic_errors
            if code not in (0, TopicAlreadyExistsError.errno)
        ]
        if refused:
            raise TopicsError("\n".join(refused))
        await _wait_for_leaders(admin, missing)
        return [declaration.name for declaration in missing]


async def read_topics(
    bootstrap_servers: str, names: Sequence[str], *, config: Sequence[str] = CHECKED_SETTINGS
) -> dict[str, TopicState]:
    """Return the state of those of the topics that exist, with these of their settings.

    Raises:
        KafkaUnreachableError: No broker answers.
    """
    async with connect(bootstrap_servers) as admin:
        described = await _describe(admin)
        existing = [name for name in names if name in described]
        configs = await _configs(admin, existing, config)
        return {
            name: TopicState(
                partitions=len(described[name]),
                replicas=min(len(partition["replicas"]) for partition in described[name]),
                config=configs[name],
            )
            for name in existing
        }


async def check_topics(
    bootstrap_servers: str, declarations: Iterable[TopicDeclaration], *, replication_factor: int = 1
) -> list[Problem]:
    """Return everything in which the topics differ from their declarations; an empty list when all is well.

    Of topics that are not ours only the existence matters.

    Raises:
        KafkaUnreachableError: No broker answers.
    """
    wanted = list(declarations)
    found = await read_topics(bootstrap_servers, [topic.name for topic in wanted])
    return [
        problem
        for declaration in wanted
        for problem in compare(declaration, found.get(declaration.name), replication_factor=replication_factor)
    ]


def compare(declaration: TopicDeclaration, state: TopicState | None, *, replication_factor: int = 1) -> list[Problem]:
    """Return how a topic differs from its declaration; `state` is null when it does not exist."""
    name = declaration.name
    if state is None:
        return [Problem(topic=name, message=MISSING)]
    if not declaration.ours:
        return []
    problems = []
    if state.partitions != declaration.partitions:
        message = f"has {state.partitions} partitions, not {declaration.partitions}"
        problems.append(Problem(topic=name, message=message))
    if state.replicas < replication_factor:
        message = f"has {state.replicas} replicas, fewer than {replication_factor}"
        problems.append(Problem(topic=name, message=message))
    for setting in CHECKED_SETTINGS:
        wanted, got = declaration.config.get(setting), state.config.get(setting)
        if wanted is not None and not _fits(setting, wanted, got):
            problems.append(Problem(topic=name, message=f"{setting} is {got}, not {wanted}"))
    return problems


def _fits(setting: str, wanted: str, got: str | None) -> bool:
    """A topic may take larger records than ours, and insist on more replicas in sync."""
    if setting in ("max.message.bytes", "min.insync.replicas"):
        return got is not None and int(got) >= int(wanted)
    return got == wanted


async def _describe(admin: AIOKafkaAdminClient) -> dict[str, list[dict[str, Any]]]:
    """Return the partitions of every topic. All are asked for, so that nothing is created by asking for it."""
    return {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics() if topic["error_code"] == 0}


async def _configs(
    admin: AIOKafkaAdminClient, names: Sequence[str], settings: Sequence[str]
) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    wanted = dict.fromkeys(settings)
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, wanted) for name in names]
    configs = {}
    for response in await admin.describe_configs(resources):
        for code, message, _, name, entries in response.resources:
            if code != 0:
                raise TopicsError(f"{name}: its settings could not be read: {message or for_code(code).__name__}")
            configs[name] = {entry[0]: entry[1] for entry in entries}
    return configs


async def _wait_for_leaders(admin: AIOKafkaAdminClient, declarations: Sequence[TopicDeclaration]) -> None:
    deadline = time.monotonic() + _CREATE_TIMEOUT_S
    while True:
        described = await _describe(admin)
        ready = [
            len(described.get(topic.name, ())) >= topic.partitions
            and all(partition["leader"] >= 0 for partition in described[topic.name])
            for topic in declarations
        ]
        if all(ready):
            return
        if time.monotonic() > deadline:
            raise TopicsError(f"some topics have no leader after {_CREATE_TIMEOUT_S} s")
        await asyncio.sleep(_POLL_S)
