from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from airy_identify.telemetry import BridgeMetrics, SchemaRegistryMetrics, WorkerMetrics
from tests.metrics_page import rows_of_page

MAKE: dict[str, Callable[[CollectorRegistry], object]] = {
    "worker": WorkerMetrics,
    "bridge": BridgeMetrics,
    "both": SchemaRegistryMetrics,
}
UNITS = (
    "_clients",
    "_broken",
    "_seconds",
    "_bytes",
    "_ratio",
    "_rows",
    "_records",
    "_shards",
    "_state",
    "_pending",
    "_offset",
    "_digest",
    "_waiting",
    "_generation",
)
LABELS = {"agent", "partition", "state", "cause", "code", "route", "status", "outcome", "client"}
"""Each has few values, all of them ours: an agent, a number below the partitions, a code, a route as declared, a client of the file."""


def declared(process: str) -> list[MetricWrapperBase]:
    registry = CollectorRegistry()
    MAKE[process](registry)
    found = list(dict.fromkeys(registry._collector_to_names))
    assert all(isinstance(metric, MetricWrapperBase) for metric in found)
    return [metric for metric in found if isinstance(metric, MetricWrapperBase)]


def name_of(metric: MetricWrapperBase) -> str:
    return str(metric._name) + ("_total" if metric._type == "counter" else "")


@pytest.mark.parametrize("process", MAKE)
def test_the_page_has_every_metric_and_no_other(process: str) -> None:
    made = {
        (name_of(metric), metric._type, tuple(metric._labelnames), metric._documentation)
        for metric in declared(process)
    }
    assert {(row.name, row.kind, row.labels, row.text) for row in rows_of_page() if row.process == process} == made


def test_every_row_of_the_page_is_of_one_of_the_processes() -> None:
    assert {row.process for row in rows_of_page()} == set(MAKE)


@pytest.mark.parametrize("process", MAKE)
def test_names_and_labels_follow_the_conventions(process: str) -> None:
    for metric in declared(process):
        name = name_of(metric)
        assert name.startswith("airy_identify_")
        assert name.endswith("_total") == (metric._type == "counter"), name
        assert metric._type != "histogram" or name.endswith("_seconds"), name
        assert metric._type != "gauge" or name.endswith(UNITS), name
        assert set(metric._labelnames) <= LABELS, name
