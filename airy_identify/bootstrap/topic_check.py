"""The topics as these settings want them."""

import logging
from collections.abc import Awaitable, Callable

from airy_identify.ops.generations import current_numbers, read_generations, table_partitions
from airy_identify.ops.topics import check_topics, missing_of_airy, read_topics
from airy_identify.settings import Settings
from airy_identify.topics import (
    TopicDeclaration,
    declare,
)
from airy_identify.wire.generations import (
    GenerationBook,
)

logger = logging.getLogger(__name__)


def topic_declarations(
    settings: Settings,
    messages_partitions: int,
    contacts_partitions: int | None,
    book: GenerationBook | None = None,
) -> tuple[TopicDeclaration, ...]:
    """Return the service's own topics as these settings want them, with the changelogs that `book` says are current."""
    counts = table_partitions(settings, messages_partitions, contacts_partitions)
    return declare(
        settings.topic_names,
        partitions=settings.partitions,
        messages_partitions=messages_partitions,
        contacts_partitions=contacts_partitions,
        production=settings.production,
        generations=None if book is None else current_numbers(book, counts),
    )


def topic_check(settings: Settings, partition_counts: dict[str, int]) -> Callable[[], Awaitable[list[str]]]:
    """Return what checks the topics before a worker begins, and learns how many partitions each has."""

    async def check() -> list[str]:
        names = settings.topic_names
        servers = settings.kafka_bootstrap_servers
        replies = sorted(settings.allowed_reply_topics)
        airy = [names.airy_messages, names.airy_channels, *([names.airy_contacts] if settings.contacts_in else [])]
        found = await read_topics(servers, [*airy, *replies])
        missing = [missing_of_airy(names, name) for name in airy if name not in found]
        missing += [
            f"{name}: is missing; the settings allow it as a reply topic" for name in replies if name not in found
        ]
        if missing:
            return missing
        contacts_partitions = found[names.airy_contacts].partitions if settings.contacts_in else None
        book = await read_generations(settings)
        declarations = topic_declarations(settings, found[names.airy_messages].partitions, contacts_partitions, book)
        problems = await check_topics(servers, declarations, replication_factor=settings.replication_factor)
        partition_counts.update({name: state.partitions for name, state in found.items()})
        partition_counts.update({topic.name: topic.partitions for topic in declarations})
        counts = table_partitions(settings, found[names.airy_messages].partitions, contacts_partitions)
        partition_counts.update({names.changelog(table): count for table, count in counts.items()})
        return [str(problem) for problem in problems]

    return check
