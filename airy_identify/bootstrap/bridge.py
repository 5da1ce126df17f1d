"""A bridge, wired."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from airy_identify.bootstrap.process import EXIT_FAILED, EXIT_OK, clock_ms, new_uuid, on_termination, run
from airy_identify.bootstrap.schema_registry import schema_registry
from airy_identify.intake.channel_reader import ChannelReader
from airy_identify.intake.channels import ChannelDirectory
from airy_identify.intake.clients import load_clients
from airy_identify.intake.policy import IntakePolicy
from airy_identify.kafka import KafkaClients
from airy_identify.settings import Settings
from airy_identify.telemetry import (
    BridgeMetrics,
    make_registry,
    set_up_logging,
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
from airy_identify.wire.resume_token import ResumeTokenVerifier

logger = logging.getLogger(__name__)

GRACE_S = 10.0


def run_web(settings: Settings) -> int:
    """Run a bridge until it is told to stop; return its exit code. Raises `ClientsFileError` before it begins."""
    if settings.clients_file is not None:
        load_clients(settings.clients_file)
    set_up_logging(level=settings.log_level, log_format=settings.log_format, process="bridge")
    return run(_bridge(settings))


async def _bridge(settings: Settings) -> int:
    if settings.system_token is None:
        raise LookupError("the bridge does not start without a system token")
    registry = make_registry()
    async with schema_registry(settings, registry) as found:
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
            clock_ms=clock_ms,
            new_uuid=new_uuid,
        ),
        system_token=SystemToken(system_token),
        rate_limit=RateLimit(settings.http_requests_per_second_max, time.monotonic),
        problems=lambda: [*asker.problems(), *channels.problems()],
        registry=registry,
        metrics=metrics,
        callers=callers,
    )
    stopping = asyncio.Event()
    on_termination(stopping.set)
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
