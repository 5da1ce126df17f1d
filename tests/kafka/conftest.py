"""Fresh topics for each test, on the broker of the session."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from airy_identify.intake.policy import DEFAULT_TENANT
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.ops.local_registry import LocalRegistry
from airy_identify.ops.schemas import register_schemas
from airy_identify.ops.topics import create_topics
from airy_identify.settings import Settings
from airy_identify.topics import AIRY_PARTITIONS, TopicDeclaration, declare, declare_airy
from tests.kafka.foreign import ForeignWriter, put_channel
from tests.kafka.processes import ServiceProcess
from tests.kafka.service import Service, channels_of, make_tenants, put_channels

JWT_SECRET = "dGVzdC1zZWNyZXQtb2YtdGhpcnR5LXR3by1ieXRlcy1vci1tb3Jl"
SYSTEM_TOKEN = "test-system-token"
TENANTS = 280
"""How many tests and examples can have a tenant of the shared service to themselves."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder `kafka`, so that `make check` can leave them out."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.kafka)


def settings_of(broker: LocalKafka, directory: Path, **overrides: object) -> Settings:
    """Return settings of an installation of its own: fresh prefix, app id, Airy namespace and data directory."""
    prefix = f"test-{uuid.uuid4().hex[:12]}"
    values: dict[str, object] = {
        "kafka_bootstrap_servers": broker.bootstrap_servers,
        "data_dir": directory / prefix,
        "topic_prefix": f"{prefix}-",
        "airy_core_namespace": prefix,
        "system_token": SYSTEM_TOKEN,
        "jwt_secret": JWT_SECRET,
        "partitions": 4,
        "http_port": 0,
        "worker_port": 0,
        "session_timeout_ms": 6000,
    }
    return Settings.model_validate(values | overrides)


async def create_all_topics(settings: Settings) -> None:
    """Create our topics and Airy's."""
    names = settings.topic_names
    ours = declare(
        names, partitions=settings.partitions, messages_partitions=AIRY_PARTITIONS, production=settings.production
    )
    declarations = (*declare_airy(names), *ours)
    await create_topics(settings.kafka_bootstrap_servers, declarations, replication_factor=settings.replication_factor)


@pytest.fixture
def make_settings(broker: LocalKafka, tmp_path: Path) -> Callable[..., Settings]:
    """Return what makes settings: `settings_of` on the session's broker."""

    def make(**overrides: object) -> Settings:
        return settings_of(broker, tmp_path, **overrides)

    return make


@pytest.fixture
def make_installation(make_settings: Callable[..., Settings]) -> Callable[..., Awaitable[Settings]]:
    """Return settings as `make_settings` does, with our topics and Airy's created."""

    async def make(**overrides: object) -> Settings:
        settings = make_settings(**overrides)
        await create_all_topics(settings)
        return settings

    return make


@pytest.fixture(scope="session")
def service(broker: LocalKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A worker and a bridge that tests share which only ask, many of them in a tenant of their own.

    They log at INFO into their files.
    """
    directory = tmp_path_factory.mktemp("service")
    tenants = make_tenants(TENANTS)
    allowed = frozenset({DEFAULT_TENANT, *(tenant.name for tenant in tenants)})
    patient = 30_000  # a busy machine is no reason for a 504
    settings = settings_of(
        broker, directory, channel_tenants=channels_of(tenants), requests_tenants=allowed, request_timeout_ms=patient
    )
    worker, bridge = (ServiceProcess(command, settings, directory) for command in ("worker", "web"))
    asking = Service(settings, str(uuid.uuid4()), worker, bridge, list(tenants))

    async def start() -> None:
        await create_all_topics(settings)
        await put_channels(settings, [asking.channel, *settings.channel_tenants])
        worker.start()
        bridge.start()
        await worker.until_ready()
        await bridge.until_ready()

    try:
        asyncio.run(start())
        yield asking
    finally:
        worker.kill()
        bridge.kill()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Real Apicurio Registry on a free port. A test that stops it has to start it again."""
    local = LocalRegistry(tmp_path_factory.mktemp("registry"))
    asyncio.run(local.start())
    yield local
    asyncio.run(local.stop())


@pytest.fixture(scope="session")
def registered_service(
    broker: LocalKafka, registry: LocalRegistry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A worker and a bridge that use the registry. Their one channel was written by a foreign serializer.

    Answers may also go to a topic of the application in examples/spring.
    """
    directory = tmp_path_factory.mktemp("registered")
    settings = settings_of(broker, directory, schema_registry_url=registry.url)
    replies = shop_replies(settings)
    allowed = frozenset({settings.topic_names.responses, replies})
    settings = settings.model_copy(update={"reply_topics": allowed})
    worker, bridge = (ServiceProcess(command, settings, directory) for command in ("worker", "web"))
    asking = Service(settings, str(uuid.uuid4()), worker, bridge)

    async def start() -> None:
        await create_all_topics(settings)
        declaration = TopicDeclaration(name=replies, partitions=2)
        await create_topics(settings.kafka_bootstrap_servers, [declaration], replication_factor=1)
        await register_schemas(settings)
        put_channel(ForeignWriter(settings, registry.url), settings, asking.channel)
        worker.start()
        bridge.start()
        await worker.until_ready()
        await bridge.until_ready()

    try:
        asyncio.run(start())
        yield asking
    finally:
        worker.kill()
        bridge.kill()


def shop_replies(settings: Settings) -> str:
    """Return the topic that the application in examples/spring reads."""
    return f"{settings.topic_prefix}shop-replies"
