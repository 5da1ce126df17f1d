"""`verify` and `rebuild`, wired: they work on the tables with the agents' own functions."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager

from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from aiokafka.structs import ConsumerRecord, TopicPartition

from airy_identify.bootstrap.process import clock_ms
from airy_identify.bootstrap.schema_registry import schema_registry
from airy_identify.kafka import KafkaClients
from airy_identify.ops.ask import send
from airy_identify.ops.commands.base import PhaseProgress
from airy_identify.ops.commands.rebuild import RebuildOptions
from airy_identify.ops.commands.skips import whoami
from airy_identify.ops.commands.verify import VerifyOptions
from airy_identify.ops.errors import KafkaUnreachableError, OpsError, TopicsError
from airy_identify.ops.generations import current_numbers, read_generations
from airy_identify.ops.topics import create_topics, read_topics
from airy_identify.settings import Settings
from airy_identify.stream.agents.conversation import ConversationAgent, NoSigner
from airy_identify.stream.agents.identity import IdentityAgent
from airy_identify.stream.app import Process
from airy_identify.stream.control import ControlReader
from airy_identify.stream.errors import StreamError
from airy_identify.stream.folding import FoldStoppedError
from airy_identify.stream.generations import Generations
from airy_identify.stream.group import cluster_id
from airy_identify.stream.opening import RestoreRules
from airy_identify.stream.rebuild import PartitionRebuild, Rebuilding, Rebuilt
from airy_identify.stream.rebuild_base import ConversationBase, Reading
from airy_identify.stream.rebuild_plan import Planning, Reach
from airy_identify.stream.rebuild_table import RebuiltTable
from airy_identify.stream.skips import SkipBook
from airy_identify.stream.store import StoreMemory
from airy_identify.stream.verification import TableSpec, Verdict, Verification
from airy_identify.telemetry import make_registry
from airy_identify.topics import (
    CONTACTS,
    CONVERSATION,
    DELETE_RETENTION_MS,
    IDENTITY,
    INTAKE,
    MESSAGES,
    declare,
    of_generation,
)
from airy_identify.wire.errors import UndecodableError
from airy_identify.wire.generations import (
    BUILDING,
    Generation,
    GenerationBook,
    encode_generation,
    encode_generation_key,
)

logger = logging.getLogger(__name__)

_CONTROL_TOPICS_S = 30.0
"""How long the control topics may take to be read before a rebuild begins."""


async def verify(settings: Settings, options: VerifyOptions, on_progress: PhaseProgress) -> AsyncIterator[Verdict]:
    """Yield what is found about each partition of the tables. Raises `OpsError`."""
    names = settings.topic_names
    identity = IdentityAgent(names=names, conversation_partitions=settings.partitions)
    conversation = ConversationAgent(names=names, partitions=settings.partitions, signer=NoSigner())
    tables = {
        IDENTITY: (names.identity_commands, identity.process),
        CONVERSATION: (names.conversation_commands, conversation.process),
    }
    verification = Verification(
        clients=KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers),
        app_id=names.app_id,
        data_dir=settings.data_dir,
        skips_topic=names.skips,
        work_dir=options.work_dir,
        keep=options.keep,
    )
    book = await read_generations(settings)
    logs = [tables[table][0] for table in options.tables]
    numbers = current_numbers(book, dict.fromkeys(options.tables, settings.partitions))
    changelogs = [names.changelog(table, number) for table in options.tables for number in numbers[table]]
    found = await read_topics(settings.kafka_bootstrap_servers, [*logs, *changelogs, names.skips])
    if missing := [name for name in (*logs, *changelogs, names.skips) if name not in found]:
        raise TopicsError("\n".join(f"{name}: is missing; `airy-identify topics create` makes it" for name in missing))
    for table in options.tables:
        log, process = tables[table]
        for partition in options.partitions or range(found[log].partitions):
            generation = book.number(table, partition)
            changelog = names.changelog(table, generation)
            spec = TableSpec(name=table, log=log, changelog=changelog, generation=generation, process=process)
            if changelog not in found or partition >= found[changelog].partitions:
                raise TopicsError(f"{changelog} has no partition {partition}")
            try:
                yield await verification.partition(spec, partition, on_progress)
            except (KafkaError, TimeoutError) as error:
                servers = settings.kafka_bootstrap_servers
                raise KafkaUnreachableError(f"Kafka at {servers} does not answer ({type(error).__name__})") from error
            except (StreamError, UndecodableError) as error:
                raise OpsError(f"{table} {partition} could not be verified: {error}") from error


@asynccontextmanager
async def _reading(settings: Settings) -> AsyncIterator[Reading]:
    """Give what reads Airy's records."""
    async with schema_registry(settings, make_registry()) as found:

        async def learn(records: Iterable[ConsumerRecord]) -> None:
            to_do = None if found is None else found.prepare(list(records), logger.warning)
            if to_do is not None:
                await to_do

        yield Reading(writers=None if found is None else found.resolver.schemas, learn=learn)


def _rebuilt_tables(settings: Settings, book: GenerationBook) -> dict[str, RebuiltTable]:
    names = settings.topic_names
    identity = IdentityAgent(names=names, conversation_partitions=settings.partitions)
    conversation = ConversationAgent(names=names, partitions=settings.partitions, signer=NoSigner())
    logs: dict[str, tuple[str, Process | None]] = {
        IDENTITY: (names.identity_commands, identity.process),
        CONVERSATION: (names.conversation_commands, conversation.process),
        INTAKE: (names.requests, None),
        MESSAGES: (names.airy_messages, None),
        CONTACTS: (names.airy_contacts, None),
    }
    base = ConversationBase(
        clients=KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers),
        names=names,
        process=conversation.process,
        partitions=settings.partitions,
        identity_changelogs={
            number: names.changelog(IDENTITY, book.number(IDENTITY, number)) for number in range(settings.partitions)
        },
        reading=lambda: _reading(settings),
    )
    return {
        table: RebuiltTable(
            name=table,
            log=log,
            changelog=names.changelog(table),
            process=process,
            compacted=table in {MESSAGES, CONTACTS},
            base=base.parts if table == CONVERSATION else None,
        )
        for table, (log, process) in logs.items()
    }


async def _to_rebuild(settings: Settings, options: RebuildOptions) -> list[tuple[RebuiltTable, int]]:
    """Return the partitions that are asked for. Raises `TopicsError`."""
    names = settings.topic_names
    book = await read_generations(settings)
    tables = _rebuilt_tables(settings, book)
    wanted = [tables[table].log for table in options.tables] + [names.skips, names.generations]
    found = await read_topics(settings.kafka_bootstrap_servers, wanted)
    if missing := [name for name in wanted if name not in found]:
        raise TopicsError("\n".join(f"{name}: is missing; `airy-identify topics create` makes it" for name in missing))
    asked: list[tuple[RebuiltTable, int]] = []
    for table in options.tables:
        count = found[tables[table].log].partitions
        if beyond := [number for number in options.partitions if number >= count]:
            raise TopicsError(f"{tables[table].log} has no partition {beyond[0]}")
        asked += [(tables[table], number) for number in options.partitions or range(count)]
    return asked


async def plan_rebuild(settings: Settings, options: RebuildOptions) -> AsyncIterator[Reach]:
    """Yield what can be made again of each partition. Raises `OpsError`."""
    asked = await _to_rebuild(settings, options)
    book = await read_generations(settings)
    names = settings.topic_names
    planning = Planning(
        clients=KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers),
        app_id=names.app_id,
        data_dir=settings.data_dir,
    )
    for table, partition in asked:
        generation, building = book.number(table.name, partition), book.building(table.name, partition)
        changelog = TopicPartition(names.changelog(table.name, generation), partition)
        directory = settings.data_dir / names.app_id / of_generation(f"{table.name}-{partition}", generation)
        number = None if building is None or options.anew else building.generation
        with _said(settings):
            current = book.current(table.name, partition)
            yield await planning.look(table, changelog, [directory], current=current, building=number)


async def rebuild(settings: Settings, options: RebuildOptions, on_progress: PhaseProgress) -> AsyncIterator[Rebuilt]:
    """Make tables again and switch to them; yield what became of each partition. Raises `OpsError`."""
    asked = await _to_rebuild(settings, options)
    async with _rebuilding(settings, options) as how:
        chosen = await _begin(settings, options, how, asked)
        rebuilds = [PartitionRebuild(how, *each, on_progress) for each in chosen]
        try:
            with _said(settings):
                if options.all_at_once:
                    for each in rebuilds:
                        await each.build(offline=False)
                        await each.prove()
                    for done in asyncio.as_completed([each.switch() for each in rebuilds]):
                        yield await done
                    return
                for each in rebuilds:
                    await each.build(offline=options.offline)
                    await each.prove()
                    yield await (each.switch_offline() if options.offline else each.switch())
                    await each.close()
        finally:
            await asyncio.gather(*(each.close() for each in rebuilds))


async def _begin(
    settings: Settings, options: RebuildOptions, how: Rebuilding, asked: list[tuple[RebuiltTable, int]]
) -> list[tuple[RebuiltTable, int, int]]:
    """Return the partitions with their new generation.

    A rebuild that was cut short goes on: its generation is that of every partition which does not have it yet. Else a new
    one is begun, and written down for all partitions, so that it is known what was cut short.
    """
    book = how.generations.book
    chosen: list[tuple[RebuiltTable, int, int]] = []
    for name in options.tables:
        here = [(table, number) for table, number in asked if table.name == name]
        begun = [found for _, number in here if (found := book.building(name, number)) is not None]
        generation = max((found.generation for found in begun), default=0)
        if options.anew or not begun:
            generation = book.highest(name) + 1
        await _make_changelog(settings, name, generation)
        for table, number in here:
            if book.number(name, number) >= generation:
                continue
            record = Generation(
                agent=name,
                partition=number,
                generation=generation,
                state=BUILDING,
                by=how.by,
                written_at_ms=clock_ms(),
            )
            place = settings.topic_names.generations
            await send(settings, place, encode_generation_key(record), encode_generation(record))
            chosen.append((table, number, generation))
    await how.generations.reader.up_to_date()
    return chosen


async def _make_changelog(settings: Settings, table: str, generation: int) -> None:
    names = settings.topic_names
    found = await read_topics(settings.kafka_bootstrap_servers, [names.airy_messages, names.airy_contacts])
    declared = declare(
        names,
        partitions=settings.partitions,
        messages_partitions=found[names.airy_messages].partitions,
        contacts_partitions=found[names.airy_contacts].partitions if names.airy_contacts in found else None,
        production=settings.production,
        generations={table: {generation}},
    )
    wanted = [topic for topic in declared if topic.name == names.changelog(table, generation)]
    await create_topics(settings.kafka_bootstrap_servers, wanted, replication_factor=settings.replication_factor)


@asynccontextmanager
async def _rebuilding(settings: Settings, options: RebuildOptions) -> AsyncIterator[Rebuilding]:
    """Give what rebuilds share, the control topics followed."""
    names = settings.topic_names
    clients = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers)
    skips, book = SkipBook(), GenerationBook()
    skip_reader = ControlReader(clients, names.skips, skips.apply)
    reader = ControlReader(clients, names.generations, lambda record: book.apply(record.value))
    following = [asyncio.create_task(each.run()) for each in (skip_reader, reader)]
    with _said(settings):
        try:
            async with asyncio.timeout(_CONTROL_TOPICS_S):
                await skip_reader.wait_until_ready()
                await reader.wait_until_ready()
            yield Rebuilding(
                clients=clients,
                app_id=names.app_id,
                data_dir=settings.data_dir,
                work_dir=options.work_dir or settings.data_dir,
                generations=Generations(book=book, topic=names.generations, reader=reader, skips=skip_reader),
                skips=skips,
                memory=StoreMemory(),
                rules=RestoreRules(
                    max_age_ms=DELETE_RETENTION_MS // 2, now_ms=clock_ms, cluster_id=await cluster_id(clients)
                ),
                by=whoami(),
                request_timeout_ms=int(settings.session_timeout_ms * 0.75),
                handover_timeout_s=options.handover_timeout_s,
                replace_different=options.replace_different,
                accept_gaps=options.accept_gaps,
                answered_to=options.answered_to,
                differences_max=options.differences,
            )
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)


@contextlib.contextmanager
def _said(settings: Settings) -> Iterator[None]:
    """Turn what goes wrong with Kafka or a table into the errors that commands say."""
    try:
        yield
    except (StreamError, FoldStoppedError, UndecodableError) as error:
        raise OpsError(str(error)) from error
    except ProducerFenced as error:
        raise OpsError(
            "somebody else has taken over (a rebuild that was started later, a worker); run it again"
        ) from error
    except (KafkaError, IllegalOperation, TimeoutError, OSError) as error:
        servers = settings.kafka_bootstrap_servers
        raise KafkaUnreachableError(f"Kafka at {servers} does not answer ({type(error).__name__})") from error
