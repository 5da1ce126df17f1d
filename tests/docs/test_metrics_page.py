from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from airy_identify.telemetry import BridgeMetrics, SchemaRegistryMetrics, WorkerMetrics

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def rows() -> set[str]:
    found = set()
    for make in (WorkerMetrics, BridgeMetrics, SchemaRegistryMetrics):
        registry = CollectorRegistry()
        make(registry)
        for metric in registry._collector_to_names:
            assert isinstance(metric, MetricWrapperBase)
            name = metric._name + ("_total" if metric._type == "counter" else "")
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            found.add(f"| `{name}` | {metric._type} | {labels} | {metric._documentation} |")
    return found


def test_the_page_has_every_metric_and_no_other() -> None:
    assert {line for line in PAGE.read_text().splitlines() if line.startswith("| `")} == rows()
