"""Fresh topics for each test, on the broker of the session."""

import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from airy_identify.ops.local_broker import LocalKafka
from airy_identify.ops.topics import create_topics
from airy_identify.settings import Settings
from airy_identify.topics import AIRY_PARTITIONS, declare, declare_airy

JWT_SECRET = "dGVzdC1zZWNyZXQtb2YtdGhpcnR5LXR3by1ieXRlcy1vci1tb3Jl"
SYSTEM_TOKEN = "test-system-token"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder `kafka`, so that `make check` can leave them out."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.kafka)


@pytest.fixture
def make_settings(broker: LocalKafka, tmp_path: Path) -> Callable[..., Settings]:
    """Return settings of an installation of its own: fresh prefix, app id, Airy namespace and data directory."""

    def make(**overrides: object) -> Settings:
        prefix = f"test-{uuid.uuid4().hex[:12]}"
        values: dict[str, object] = {
            "kafka_bootstrap_servers": broker.bootstrap_servers,
            "data_dir": tmp_path / prefix,
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

    return make


@pytest.fixture
def make_installation(make_settings: Callable[..., Settings]) -> Callable[..., Awaitable[Settings]]:
    """Return settings as `make_settings` does, with our topics and Airy's created."""

    async def make(**overrides: object) -> Settings:
        settings = make_settings(**overrides)
        names = settings.topic_names
        ours = declare(
            names,
            partitions=settings.partitions,
            messages_partitions=AIRY_PARTITIONS,
            production=settings.production,
        )
        declarations = (*declare_airy(names), *ours)
        servers = settings.kafka_bootstrap_servers
        await create_topics(servers, declarations, replication_factor=settings.replication_factor)
        return settings

    return make
