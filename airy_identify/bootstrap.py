"""The only place that wires: settings in, running processes out."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from aiokafka.structs import ConsumerRecord, TopicPartition
from prometheus_client import CollectorRegistry

from airy_identify.core.values import ConversationId, TenantId
from airy_identify.intake.channel_reader import ChannelReader
from airy_identify.intake.channels import ChannelDirectory
from airy_identify.intake.clients import load_clients
from airy_identify.intake.contact_rows import ContactRows
from airy_identify.intake.policy import IntakePolicy, Stamp
from airy_identify.kafka import KafkaClients
from airy_identify.ops.ask import send
from airy_identify.ops.commands.base import PhaseProgress
from airy_identify.ops.commands.rebuild import RebuildOptions
from airy_identify.ops.commands.skips import whoami
from airy_identify.ops.commands.verify import VerifyOptions
from airy_identify.ops.errors import KafkaUnreachableError, OpsError, TopicsError
from airy_identify.ops.generations import current_numbers, read_generations, table_partitions
from airy_identify.ops.topics import check_topics, create_topics, missing_of_airy, read_topics
from airy_identify.registry import (
    RegistryClient,
    RegistryRefusedError,
    SchemaResolver,
    wait_for_ids,
    wait_for_registered,
)
from airy_identify.settings import Settings
from airy_identify.stream.agents.contacts import ContactsAgent
from airy_identify.stream.agents.contacts_out import ContactsOut
from airy_identify.stream.agents.conversation import ConversationAgent, NoSigner
from airy_identify.stream.agents.identity import IdentityAgent
from airy_identify.stream.agents.intake import IntakeAgent
from airy_identify.stream.agents.messages import MessagesAgent
from airy_identify.stream.agents.replies import DeadLetters
from airy_identify.stream.airy_pace import AiryPace
from airy_identify.stream.app import AgentSpec, Process
from airy_identify.stream.control import ControlReader
from airy_identify.stream.errors import StreamError
from airy_identify.stream.folding import FoldStoppedError
from airy_identify.stream.generations import Generations
from airy_identify.stream.group import cluster_id
from airy_identify.stream.opening import RestoreRules
from airy_identify.stream.rebuild import PartitionRebuild, Rebuilding, Rebuilt
from airy_identify.stream.rebuild_plan import Planning, Reach
from airy_identify.stream.rebuild_table import RebuiltTable
from airy_identify.stream.shard_parts import Prepare, ShardSettings, ShardSpec
from airy_identify.stream.skips import SkipBook, Skipping
from airy_identify.stream.store import StoreMemory
from airy_identify.stream.verification import TableSpec, Verdict, Verification
from airy_identify.stream.watchdog import WatchdogLimits
from airy_identify.stream.worker import SchemasNotReadyError, TopicsNotReadyError, Worker, WorkerParts
from airy_identify.subjects import answer_subject, contacts_schema_text, contacts_subject, schema_text
from airy_identify.telemetry import (
    BridgeMetrics,
    SchemaRegistryMetrics,
    WorkerMetrics,
    make_registry,
    set_up_logging,
)
from airy_identify.topics import (
    CONTACTS,
    CONVERSATION,
    DELETE_RETENTION_MS,
    IDENTITY,
    INTAKE,
    MESSAGES,
    TopicDeclaration,
    TopicNames,
    declare,
    of_generation,
)
from airy_identify.web.app import make_app
from airy_identify.web.auth import SystemToken
from airy_identify.web.bodies import BodyLimits
from airy_identify.web.callers import Callers
from airy_identify.web.client_book import ClientBook
from airy_identify.web.commands import CommandDoor
from airy_identify.web.rate_limit import RateLimit
from airy_identify.web.replies import AskLimits, KafkaAsker
from airy_identify.web.server import serving
from airy_identify.web.worker_app import make_health_app
from airy_identify.wire.airy import METADATA
from airy_identify.wire.answers import ANSWER_RECORDS
from airy_identify.wire.confluent import WriterSchemas
from airy_identify.wire.errors import UndecodableError
from airy_identify.wire.generations import (
    BUILDING,
    Generation,
    GenerationBook,
    encode_generation,
    encode_generation_key,
)
from airy_identify.wire.resume_token import ResumeTokenSigner, ResumeTokenVerifier

logger = logging.getLogger(__name__)

EXIT_OK, EXIT_FAILED = 0, 1
GRACE_S = 10.0

_CONTROL_TOPICS_S = 30.0
"""How long the control topics may take to be read before a rebuild begins."""


def run_worker(settings: Settings) -> int:
    """Run a worker until it is told to stop; return its exit code."""
    set_up_logging(level=settings.log_level, log_format=settings.log_format, process="worker")
    return _run(_worker(settings))


def run_web(settings: Settings) -> int:
    """Run a bridge until it is told to stop; return its exit code. Raises `ClientsFileError` before it begins."""
    if settings.clients_file is not None:
        load_clients(settings.clients_file)
    set_up_logging(level=settings.log_level, log_format=settings.log_format, process="bridge")
    return _run(_bridge(settings))


def _run(process: Coroutine[Any, Any, int]) -> int:
    """Run a process to its end. Whatever it dies of is in its log, as a line like every other."""
    raise_open_files_limit()
    try:
        return asyncio.run(process)
    except Exception:
        logger.critical("the process ended with an error", exc_info=True)
        return EXIT_FAILED


def raise_open_files_limit() -> None:
    """Allow this process as many open files as the system lets it have.

    Each connection and each table file is one, and the usual 1,024 are soon used up by callers that only connect: then
    not even Kafka could be reached any more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # some systems promise more than they give
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


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


async def _worker(settings: Settings) -> int:
    registry = make_registry()
    async with _schema_registry(settings, registry) as found:
        return await _live(settings, registry, Worker(_worker_parts(settings, WorkerMetrics(registry), found)))


async def _live(settings: Settings, registry: CollectorRegistry, worker: Worker) -> int:
    app = make_health_app(problems=worker.problems, registry=registry)
    async with serving(app, host=settings.worker_host, port=settings.worker_port, grace_s=1.0) as (host, port):
        logger.info("worker health and metrics at http://%s:%d", host, port)
        _on_termination(worker.stop)
        try:
            await worker.run()
        except TopicsNotReadyError as error:
            logger.critical("the topics are not as they have to be; `airy-identify topics check` says more:\n%s", error)
            return EXIT_FAILED
        except SchemasNotReadyError as error:
            logger.critical("the registry lacks schemas of ours; run `airy-identify schemas register`:\n%s", error)
            return EXIT_FAILED
    logger.info("worker stopped")
    return EXIT_OK


@dataclass(frozen=True, slots=True, kw_only=True)
class _SchemaRegistry:
    """What a process has of the schema registry."""

    client: RegistryClient
    resolver: SchemaResolver

    def prepare(self, records: Sequence[ConsumerRecord], waits: Callable[[str], None]) -> Awaitable[None] | None:
        """Let a shard learn the schemas of its records before they are processed."""
        return self.resolver.learn((record.value for record in records), waits)


@asynccontextmanager
async def _schema_registry(settings: Settings, registry: CollectorRegistry) -> AsyncIterator[_SchemaRegistry | None]:
    """Give the schema registry, null when none is configured."""
    if settings.schema_registry_url is None:
        yield None
        return
    async with RegistryClient(settings.schema_registry_url) as client:
        resolver = SchemaResolver(client, WriterSchemas(), SchemaRegistryMetrics(registry))
        yield _SchemaRegistry(client=client, resolver=resolver)


def _schema_check(
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


def _worker_parts(settings: Settings, metrics: WorkerMetrics, registry: _SchemaRegistry | None) -> WorkerParts:
    names = settings.topic_names
    clients = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers)
    resolver = None if registry is None else registry.resolver
    writers = None if resolver is None else resolver.schemas
    prepare: Prepare | None = None if registry is None else registry.prepare
    schema_ids: dict[str, int] = {}
    directory = ChannelDirectory(writers)
    partition_counts: dict[str, int] = {}
    dead_letters = DeadLetters(topic=names.dead_letters, partitions=settings.partitions, metrics=metrics)
    policy = IntakePolicy(
        default_region=settings.default_region,
        channel_tenants=settings.channel_tenants,
        allowed_tenants=settings.requests_tenants,
        allowed_channels=settings.requests_channels,
        tokens=ResumeTokenVerifier(settings.accepted_jwt_secrets),
    )
    intake = IntakeAgent(
        names=names,
        channels=directory,
        policy=policy,
        reply_topics=settings.allowed_reply_topics,
        dead_letters=dead_letters,
        partitions=partition_counts,
        stamp=lambda: Stamp(accepted_at_ms=_clock_ms(), new_id=ConversationId(_new_uuid())),
        writers=writers,
        schema_ids=schema_ids,
    )
    messages = MessagesAgent(
        names=names,
        dead_letters=dead_letters,
        now_ms=_clock_ms,
        writers=writers,
        channel_tenants=settings.channel_tenants,
    )
    rows = ContactRows(
        tenant=TenantId(settings.contacts_tenant), default_region=settings.default_region, writers=writers
    )
    contacts = ContactsAgent(names=names, rows=rows, dead_letters=dead_letters, now_ms=_clock_ms)
    identity = IdentityAgent(
        names=names,
        conversation_partitions=settings.partitions,
        schema_ids=schema_ids,
        contacts_out=ContactsOut(topic=names.airy_contacts, tenant=rows.tenant, schema_ids=schema_ids)
        if settings.contacts_out
        else None,
    )
    signer = ResumeTokenSigner(settings.jwt_secret_bytes)
    conversation = ConversationAgent(names=names, partitions=settings.partitions, signer=signer, schema_ids=schema_ids)
    return WorkerParts(
        clients=clients,
        channels=ChannelReader(clients, names.airy_channels, directory, resolver),
        skipping=Skipping(book=SkipBook(), topic=names.skips, dead_letters=dead_letters),
        generations=names.generations,
        agents=(
            AgentSpec(name=INTAKE, log=names.requests, process=intake.process),
            AgentSpec(name=MESSAGES, log=names.airy_messages, process=messages.process),
            AgentSpec(name=IDENTITY, log=names.identity_commands, process=identity.process),
            AgentSpec(name=CONVERSATION, log=names.conversation_commands, process=conversation.process),
            *(
                [AgentSpec(name=CONTACTS, log=names.airy_contacts, process=contacts.process)]
                if settings.contacts_in
                else []
            ),
        ),
        shards=(
            ShardSpec(
                agent=INTAKE,
                log=names.requests,
                changelog=names.changelog(INTAKE),
                needs_whole_log=False,
                prepare=prepare,
            ),
            ShardSpec(
                agent=MESSAGES,
                log=names.airy_messages,
                changelog=names.changelog(MESSAGES),
                needs_whole_log=False,
                compacted=True,
                prepare=prepare,
            ),
            ShardSpec(agent=IDENTITY, log=names.identity_commands, changelog=names.changelog(IDENTITY)),
            ShardSpec(agent=CONVERSATION, log=names.conversation_commands, changelog=names.changelog(CONVERSATION)),
            *(
                [_contacts_shard(names, AiryPace(prepare) if settings.contacts_out else prepare)]
                if settings.contacts_in
                else []
            ),
        ),
        shard_settings=ShardSettings(
            app_id=names.app_id,
            data_dir=settings.data_dir,
            session_timeout_s=settings.session_timeout_ms / 1000,
            store_max_age_ms=DELETE_RETENTION_MS // 2,
            partition_counts=partition_counts,
            group_instance_id=settings.group_instance_id,
            standby_replicas=settings.standby_replicas,
        ),
        limits=WatchdogLimits(),
        metrics=metrics,
        keep_answer=dead_letters.send_answer,
        check=_topic_check(settings, partition_counts),
        check_schemas=None if registry is None else _schema_check(settings, registry.client, schema_ids),
    )


def _contacts_shard(names: TopicNames, prepare: Prepare | None) -> ShardSpec:
    return ShardSpec(
        agent=CONTACTS,
        log=names.airy_contacts,
        changelog=names.changelog(CONTACTS),
        needs_whole_log=False,
        compacted=True,
        prepare=prepare,
    )


def _topic_check(settings: Settings, partition_counts: dict[str, int]) -> Callable[[], Awaitable[list[str]]]:
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


def _rebuilt_tables(settings: Settings) -> dict[str, RebuiltTable]:
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
    return {
        table: RebuiltTable(
            name=table,
            log=log,
            changelog=names.changelog(table),
            process=process,
            compacted=table in {MESSAGES, CONTACTS},
        )
        for table, (log, process) in logs.items()
    }


async def _to_rebuild(settings: Settings, options: RebuildOptions) -> list[tuple[RebuiltTable, int]]:
    """Return the partitions that are asked for. Raises `TopicsError`."""
    tables = _rebuilt_tables(settings)
    names = settings.topic_names
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
                written_at_ms=_clock_ms(),
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
                    max_age_ms=DELETE_RETENTION_MS // 2, now_ms=_clock_ms, cluster_id=await cluster_id(clients)
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


async def _bridge(settings: Settings) -> int:
    if settings.system_token is None:
        raise LookupError("the bridge does not start without a system token")
    registry = make_registry()
    async with _schema_registry(settings, registry) as found:
        resolver = None if found is None else found.resolver
        writers = None if resolver is None else resolver.schemas
        clients = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers)
        topic = settings.topic_names.airy_channels
        channels = ChannelReader(clients, topic, ChannelDirectory(writers), resolver)
        return await _serve(settings, registry, channels, settings.system_token.get_secret_value())


async def _serve(settings: Settings, registry: CollectorRegistry, channels: ChannelReader, system_token: str) -> int:
    names = settings.topic_names
    metrics = BridgeMetrics(registry)
    clients = KafkaClients(bootstrap_servers=settings.kafka_bootstrap_servers)
    limits = AskLimits(pending_max=settings.pending_requests_max, answer_timeout_s=settings.request_timeout_ms / 1000)
    asker = KafkaAsker(clients, names, limits=limits)
    metrics.watch_pending(lambda: asker.pending)

    book = None if settings.clients_file is None else ClientBook(settings.clients_file, metrics)
    callers = None if book is None else Callers(book, key=os.urandom(32))
    app = make_app(
        commands=CommandDoor(
            asker=asker,
            channels=channels.directory,
            channels_ready=lambda: channels.ready,
            policy=IntakePolicy(
                default_region=settings.default_region,
                channel_tenants=settings.channel_tenants,
                tokens=ResumeTokenVerifier(settings.accepted_jwt_secrets),
            ),
            limits=BodyLimits(),
            clock_ms=_clock_ms,
            new_uuid=_new_uuid,
        ),
        system_token=SystemToken(system_token),
        rate_limit=RateLimit(settings.http_requests_per_second_max, time.monotonic),
        problems=lambda: [*asker.problems(), *channels.problems()],
        registry=registry,
        metrics=metrics,
        callers=callers,
    )
    stopping = asyncio.Event()
    _on_termination(stopping.set)
    reading = asyncio.create_task(channels.run(), name="channel reader")
    asker.start()
    async with (
        _following(book, callers),
        serving(app, host=settings.http_host, port=settings.http_port, grace_s=GRACE_S) as (host, port),
    ):
        logger.info("bridge at http://%s:%d", host, port)
        done, _ = await asyncio.wait(
            {reading, asyncio.create_task(stopping.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
    await asker.stop()
    if reading in done:
        logger.critical("the channel reader ended: %r", reading.exception())
        return EXIT_FAILED
    reading.cancel()
    await asyncio.wait({reading})
    logger.info("bridge stopped")
    return EXIT_OK


@asynccontextmanager
async def _following(book: ClientBook | None, callers: Callers | None) -> AsyncIterator[None]:
    """Follow the file of clients within the block."""
    watching = None if book is None else asyncio.create_task(book.watch(), name="file of clients")
    try:
        yield
    finally:
        if watching is not None and callers is not None:
            watching.cancel()
            callers.close()
            await asyncio.wait({watching})


def _on_termination(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def _clock_ms() -> int:
    return int(time.time() * 1000)


def _new_uuid() -> str:
    return str(uuid.uuid4())
