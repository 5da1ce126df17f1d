from pathlib import Path
from typing import Any

import yaml

from airy_identify.ops.kafka_jars import KAFKA_VERSION
from airy_identify.ops.local_broker import BROKER_SETTINGS
from airy_identify.ops.local_registry import API_PATH
from airy_identify.ops.registry_archive import REGISTRY_VERSION
from airy_identify.settings import Settings

ROOT = Path(__file__).parents[2]
OWN_ADDRESSES_AND_PLACES = {
    "listeners",
    "advertised.listeners",
    "controller.quorum.voters",
    "log.dirs",
}
"""What has to differ: a container listens elsewhere and keeps its data elsewhere."""


def service(name: str = "kafka") -> dict[str, Any]:
    compose = yaml.safe_load((ROOT / "docker-compose.kafka.yml").read_text(encoding="utf-8"))
    found: dict[str, Any] = compose["services"][name]
    return found


def settings_of_the_container() -> dict[str, str]:
    """Return the broker's settings: the image reads KAFKA_A_B as a.b."""
    environment = dict(service()["environment"])
    environment.pop("KAFKA_HEAP_OPTS")
    assert all(isinstance(value, str) for value in environment.values()), "YAML makes numbers of them: quote them"
    return {name.removeprefix("KAFKA_").lower().replace("_", "."): value for name, value in environment.items()}


def test_the_container_has_the_settings_of_the_local_broker_and_no_others() -> None:
    found = settings_of_the_container()

    assert {name: value for name, value in found.items() if name not in OWN_ADDRESSES_AND_PLACES} == BROKER_SETTINGS
    assert set(found) >= OWN_ADDRESSES_AND_PLACES


def test_the_container_runs_the_same_kafka() -> None:
    assert service()["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_the_default_settings_reach_the_container_and_nobody_else_does() -> None:
    host, port = Settings().kafka_bootstrap_servers.split(":")

    assert service()["ports"] == [f"127.0.0.1:{port}:9092", "127.0.0.1:8085:8080"]
    assert settings_of_the_container()["advertised.listeners"] == f"PLAINTEXT://{host}:{port}"


def test_the_registry_is_the_local_one_and_meets_the_broker_where_it_says_it_is() -> None:
    registry = service("registry")
    text = (ROOT / "docker-compose.kafka.yml").read_text(encoding="utf-8")

    assert registry["image"] == f"apicurio/apicurio-registry:{REGISTRY_VERSION}"
    assert registry["network_mode"] == "service:kafka"
    advertised = settings_of_the_container()["advertised.listeners"].removeprefix("PLAINTEXT://")
    assert registry["environment"]["APICURIO_KAFKASQL_BOOTSTRAP_SERVERS"] == advertised
    assert f"AIRY_IDENTIFY_SCHEMA_REGISTRY_URL=http://localhost:8085{API_PATH})" in text
