"""A worker, wired."""

import logging

from prometheus_client import CollectorRegistry

from airy_identify.bootstrap.process import EXIT_FAILED, EXIT_OK, clock_ms, new_uuid, on_termination, run
from airy_identify.bootstrap.schema_registry import SchemaRegistry, schema_check, schema_registry
from airy_identify.bootstrap.topic_check import topic_check
from airy_identify.core.values import ConversationId, TenantId
from airy_identify.intake.channel_reader import ChannelReader
from airy_identify.intake.channels import ChannelDirectory
from airy_identify.intake.contact_rows import ContactRows
from airy_identify.intake.policy import IntakePolicy, Stamp
from airy_identify.kafka import KafkaClients
from airy_identify.settings import Settings
from airy_identify.stream.agents.contacts import ContactsAgent
from airy_identify.stream.agents.contacts_out import ContactsOut
from airy_identify.stream.agents.conversation import ConversationAgent
from airy_identify.stream.agents.identity import IdentityAgent
from airy_identify.stream.agents.intake import IntakeAgent
from airy_identify.stream.agents.messages import MessagesAgent
from airy_identify.stream.agents.replies import DeadLetters
from airy_identify.stream.airy_pace import AiryPace
from airy_identify.stream.app import AgentSpec
from airy_identify.stream.shard_parts import Prepare, ShardSettings, ShardSpec
from airy_identify.stream.skips import SkipBook, Skipping
from airy_identify.stream.watchdog import WatchdogLimits
from airy_identify.stream.worker import SchemasNotReadyError, TopicsNotReadyError, Worker, WorkerParts
from airy_identify.telemetry import (
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
    TopicNames,
)
from airy_identify.web.server import serving
from airy_identify.web.worker_app import make_health_app
from airy_identify.wire.resume_token import ResumeTokenSigner, ResumeTokenVerifier

logger = logging.getLogger(__name__)


def run_worker(settings: Settings) -> int:
    """Run a worker until it is told to stop; return its exit code."""
    set_up_logging(level=settings.log_level, log_format=settings.log_format, process="worker")
    return run(_worker(settings))


async def _worker(settings: Settings) -> int:
    registry = make_registry()
    async with schema_registry(settings, registry) as found:
        return await _live(settings, registry, Worker(_worker_parts(settings, WorkerMetrics(registry), found)))


async def _live(settings: Settings, registry: CollectorRegistry, worker: Worker) -> int:
    app = make_health_app(problems=worker.problems, registry=registry)
    async with serving(app, host=settings.worker_host, port=settings.worker_port, grace_s=1.0) as (host, port):
        logger.info("worker health and metrics at http://%s:%d", host, port)
        on_termination(worker.stop)
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


def _worker_parts(settings: Settings, metrics: WorkerMetrics, registry: SchemaRegistry | None) -> WorkerParts:
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
        stamp=lambda: Stamp(accepted_at_ms=clock_ms(), new_id=ConversationId(new_uuid())),
        writers=writers,
        schema_ids=schema_ids,
    )
    messages = MessagesAgent(
        names=names,
        dead_letters=dead_letters,
        now_ms=clock_ms,
        writers=writers,
        channel_tenants=settings.channel_tenants,
    )
    rows = ContactRows(
        tenant=TenantId(settings.contacts_tenant), default_region=settings.default_region, writers=writers
    )
    contacts = ContactsAgent(names=names, rows=rows, dead_letters=dead_letters, now_ms=clock_ms)
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
        check=topic_check(settings, partition_counts),
        check_schemas=None if registry is None else schema_check(settings, registry.client, schema_ids),
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
