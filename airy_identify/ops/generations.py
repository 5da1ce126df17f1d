"""Which generation of its changelog each table partition has, as operators' commands need it; and throwing old ones away."""

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError, for_code

from airy_identify.kafka import partitions_of, read_to_end
from airy_identify.ops.admin import connect
from airy_identify.ops.errors import TopicsError
from airy_identify.ops.reading import existing_partitions, reader
from airy_identify.settings import Settings
from airy_identify.topics import CONTACTS, CONVERSATION, IDENTITY, INTAKE, MESSAGES, of_generation
from airy_identify.wire.generations import FIRST, GenerationBook

TABLES = (IDENTITY, CONVERSATION, INTAKE, MESSAGES, CONTACTS)


async def read_generations(settings: Settings) -> GenerationBook:
    """Return what the topic of generations says; nothing when there is no such topic. Raises `KafkaUnreachableError`."""
    book = GenerationBook()
    async with reader(settings.kafka_bootstrap_servers) as consumer:
        partitions = await partitions_of(consumer, settings.topic_names.generations)
        async for records in read_to_end(consumer, partitions):
            for record in records:
                book.apply(record.value)
    return book


async def current_changelogs(
    consumer: AIOKafkaConsumer, settings: Settings, table: str, book: GenerationBook
) -> list[TopicPartition]:
    """Return the partitions of a table's changelog, each of the generation that it has now.

    To be asked before any are assigned: from then on a client knows only their topics.

    Raises:
        TopicsError: There is no such topic.
    """
    names = settings.topic_names
    partitions: list[TopicPartition] = []
    count = 1
    while len(partitions) < count:
        changelog = names.changelog(table, book.number(table, len(partitions)))
        found = await existing_partitions(consumer, changelog)
        count = len(found)
        partitions.append(found[len(partitions)])
    return partitions


def table_partitions(settings: Settings, messages_partitions: int, contacts_partitions: int | None) -> dict[str, int]:
    """Return how many partitions each table has, those of Airy's topics as these have; null where they are not read."""
    counts = dict.fromkeys(TABLES, settings.partitions) | {MESSAGES: messages_partitions}
    return counts | {CONTACTS: contacts_partitions or 0}


def current_numbers(book: GenerationBook, counts: Mapping[str, int]) -> dict[str, set[int]]:
    """Return the generations that the partitions of each table have. `counts` are their numbers of partitions."""
    return {table: {book.number(table, partition) for partition in range(count)} for table, count in counts.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Old:
    """What no partition of a table uses any more: topics of the cluster, directories of this machine."""

    topics: tuple[str, ...]
    directories: tuple[Path, ...]


async def find_old(settings: Settings, counts: Mapping[str, int]) -> Old:
    """Return the changelogs that no partition has and that nobody builds, and such directories. Raises `OpsError`."""
    book = await read_generations(settings)
    names = settings.topic_names
    async with connect(settings.kafka_bootstrap_servers) as admin:
        existing = {topic["topic"] for topic in await admin.describe_topics() if topic["error_code"] == 0}
    topics: list[str] = []
    directories: list[Path] = []
    for table, count in counts.items():
        used = book.in_use(table, count)
        topics += _unused(existing, names.changelog(table), used, book.highest(table))
        for partition in range(count):
            name = f"{table}-{partition}"
            kept = {book.number(table, partition), *_numbers(book, table, partition)}
            for number in range(FIRST, book.highest(table) + 1):
                directory = settings.data_dir / names.app_id / of_generation(name, number)
                if number not in kept and directory.exists():
                    directories.append(directory)
    return Old(topics=tuple(topics), directories=tuple(directories))


def _unused(existing: Collection[str], changelog: str, used: Collection[int], highest: int) -> list[str]:
    numbers = (number for number in range(FIRST, highest + 1) if number not in used)
    return [name for number in numbers if (name := of_generation(changelog, number)) in existing]


def _numbers(book: GenerationBook, table: str, partition: int) -> list[int]:
    building = book.building(table, partition)
    return [] if building is None else [building.generation]


async def discard(settings: Settings, old: Old) -> None:
    """Delete the topics and the directories. Raises `TopicsError`, `KafkaUnreachableError`."""
    async with connect(settings.kafka_bootstrap_servers) as admin:
        if old.topics:
            response = await admin.delete_topics(list(old.topics))
            refused = [
                f"{topic}: {for_code(code).__name__}"
                for topic, code, *_ in response.topic_error_codes
                if code not in (0, UnknownTopicOrPartitionError.errno)
            ]
            if refused:
                raise TopicsError("\n".join(refused))
    for directory in old.directories:
        shutil.rmtree(directory, ignore_errors=True)
