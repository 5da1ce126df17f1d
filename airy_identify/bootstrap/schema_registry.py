"""The schema registry as a process has it."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka.structs import ConsumerRecord
from prometheus_client import CollectorRegistry

from airy_identify.registry import (
    RegistryClient,
    RegistryRefusedError,
    SchemaResolver,
    wait_for_ids,
    wait_for_registered,
)
from airy_identify.settings import Settings
from airy_identify.subjects import answer_subject, contacts_schema_text, contacts_subject, schema_text
from airy_identify.telemetry import (
    SchemaRegistryMetrics,
)
from airy_identify.wire.airy import METADATA
from airy_identify.wire.answers import ANSWER_RECORDS
from airy_identify.wire.confluent import WriterSchemas

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaRegistry:
    """What a process has of the schema registry."""

    client: RegistryClient
    resolver: SchemaResolver

    def prepare(self, records: Sequence[ConsumerRecord], waits: Callable[[str], None]) -> Awaitable[None] | None:
        """Let a shard learn the schemas of its records before they are processed."""
        return self.resolver.learn((record.value for record in records), waits)


@asynccontextmanager
async def schema_registry(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[SchemaRegistry | None]:
    """Give the schema registry, null when none is configured."""
    if settings.schema_registry_url is None:
        yield None
        return
    async with RegistryClient(settings.schema_registry_url) as client:
        resolver = SchemaResolver(client, WriterSchemas(), SchemaRegistryMetrics(registry))
        yield SchemaRegistry(client=client, resolver=resolver)


def schema_check(
    settings: Settings, client: RegistryClient, schema_ids: dict[str, int]
) -> Callable[[Callable[[str], None]], Awaitable[list[str]]]:
    """Return what learns the ids of the records of answers, and of rows for Airy, before a worker begins."""
    names = settings.topic_names

    async def check(waits: Callable[[str], None]) -> list[str]:
        subjects = {answer_subject(names, record): record for record in ANSWER_RECORDS}
        texts = {subject: schema_text(record) for subject, record in subjects.items()}
        found = await wait_for_ids(client, texts, waits)
        schema_ids.update({subjects[subject]: number for subject, number in found.items() if number is not None})
        problems = [
            f"{subject}: today's schema is not registered" for subject, number in found.items() if number is None
        ]
        if settings.contacts_out:
            subject = contacts_subject(names)
            try:
                schema_ids[METADATA] = await wait_for_registered(client, subject, contacts_schema_text(), waits)
            except RegistryRefusedError as error:
                problems.append(f"{subject}: the registry does not take the schema of rows for Airy ({error})")
        return problems

    return check
