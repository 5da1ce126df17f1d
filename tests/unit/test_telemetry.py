import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from airy_identify.telemetry import CONCEALED, BridgeMetrics, WorkerMetrics, set_up_logging


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def fail(text: str) -> None:
    raise ValueError(text)


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_time_level_logger_and_process(output: io.StringIO) -> None:
    set_up_logging(level="INFO", log_format="json", process="worker", stream=output)

    logging.getLogger("airy_identify.x").info("shard %d is open", 3, extra={"partition": 3})

    (line,) = lines_of(output)
    assert line["event"] == "shard 3 is open"
    assert line["partition"] == 3
    assert (line["level"], line["logger"], line["process"]) == ("info", "airy_identify.x", "worker")
    assert line["timestamp"].endswith("Z")


def test_the_level_is_kept(output: io.StringIO) -> None:
    set_up_logging(level="WARNING", log_format="json", process="worker", stream=output)

    logging.getLogger("airy_identify.x").info("unheard")

    assert output.getvalue() == ""


@pytest.mark.parametrize(
    "private",
    [
        "ada.love+x@mail.example.org",
        "+4915112345678",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln",
        "Bearer open-sesame",
    ],
)
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_personal_values_are_concealed_wherever_they_stand(output: io.StringIO, private: str, log_format: str) -> None:
    set_up_logging(level="INFO", log_format=log_format, process="bridge", stream=output)
    logger = logging.getLogger("airy_identify.x")

    logger.info("a message with %s in it", private)
    logger.info("said", extra={"note": private})
    try:
        fail(private)
    except ValueError:
        logger.exception("failed")

    assert private not in output.getvalue()
    assert output.getvalue().count(CONCEALED) == 3


def test_values_under_private_names_are_concealed(output: io.StringIO) -> None:
    set_up_logging(level="INFO", log_format="json", process="bridge", stream=output)

    logging.getLogger("airy_identify.x").info("x", extra={"metadata": {"plan": "pro"}, "external_id": "u-1"})

    (line,) = lines_of(output)
    assert (line["metadata"], line["external_id"]) == (CONCEALED, CONCEALED)


def test_ids_offsets_and_times_stay_readable(output: io.StringIO) -> None:
    set_up_logging(level="INFO", log_format="json", process="worker", stream=output)
    text = "identity-commands:3:1234567 a1c0ffee-0000-4000-8000-000000000001 2026-01-01T00:00:00+0000 http://127.0.0.1:8080"

    logging.getLogger("airy_identify.x").info(text)

    assert lines_of(output)[0]["event"] == text


def test_a_traceback_shows_no_local_variables(output: io.StringIO) -> None:
    set_up_logging(level="INFO", log_format="json", process="worker", stream=output)
    secret = "known only here"[::-1]

    def fail_holding() -> None:
        held = secret
        raise RuntimeError(str(len(held)))

    try:
        fail_holding()
    except RuntimeError:
        logging.getLogger("airy_identify.x").exception("failed")

    (line,) = lines_of(output)
    assert "RuntimeError: 15" in line["exception"]
    assert secret not in output.getvalue()


def test_libraries_are_quiet_below_warnings_and_aiokafka_does_not_repeat_itself(output: io.StringIO) -> None:
    set_up_logging(level="DEBUG", log_format="json", process="worker", stream=output)

    logging.getLogger("faust.worker").info("unheard")
    for attempt in range(3):
        logging.getLogger("aiokafka.client").error("no connection, attempt %d", attempt)
        logging.getLogger("faust.worker").error("attempt %d", attempt)

    assert [line["event"] for line in lines_of(output)] == [
        "no connection, attempt 0",
        "attempt 0",
        "attempt 1",
        "attempt 2",
    ]


def test_worker_metrics_count_what_shards_report() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)

    metrics.batch_committed("intake", 40, 0.01)
    metrics.batch_committed("intake", 2, 0.02)
    metrics.rows_restored("contact-identity", 7)
    metrics.shard_reopened("intake", "fenced")
    metrics.dead_lettered("malformed_json")

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("airy_identify_records_total", agent="intake") == 42
    assert value("airy_identify_batches_total", agent="intake") == 2
    assert value("airy_identify_transaction_seconds_count", agent="intake") == 2
    assert value("airy_identify_restored_rows_total", agent="contact-identity") == 7
    assert value("airy_identify_shard_reopened_total", agent="intake", cause="fenced") == 1
    assert value("airy_identify_dead_letters_total", code="malformed_json") == 1


def test_a_shard_has_one_state_at_a_time() -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)

    for state in ("opening", "running", "paused"):
        metrics.shard_entered("identity", 3, state)
    metrics.shard_entered("identity", 4, "running")

    states = [
        sample for metric in registry.collect() for sample in metric.samples if metric.name.endswith("shard_state")
    ]
    assert {(sample.labels["partition"], sample.labels["state"], sample.value) for sample in states} == {
        ("3", "paused", 1.0),
        ("4", "running", 1.0),
    }
    assert registry.get_sample_value("airy_identify_paused_shards") == 1


def test_bridge_metrics_count_requests() -> None:
    registry = CollectorRegistry()
    metrics = BridgeMetrics(registry)

    metrics.observe(route="/contacts.identify", status=200, duration_s=0.01, client="shop", code=None)
    metrics.watch_pending(lambda: 5)

    labels = {"route": "/contacts.identify", "status": "200"}
    assert registry.get_sample_value("airy_identify_http_requests_total", labels) == 1
    assert registry.get_sample_value("airy_identify_http_pending") == 5


def worker_metrics() -> tuple[WorkerMetrics, CollectorRegistry]:
    registry = CollectorRegistry()
    return WorkerMetrics(registry), registry


def test_a_table_has_its_digest_and_its_offset_as_long_as_its_shard_runs() -> None:
    metrics, registry = worker_metrics()
    labels = {"agent": "contact-identity", "partition": "3"}
    metrics.table_stands("contact-identity", 3, 17, bytes.fromhex("0102030405ff") + bytes(26))

    assert registry.get_sample_value("airy_identify_table_offset", labels) == 17
    assert registry.get_sample_value("airy_identify_table_digest", labels) == 0x0102030405FF
    metrics.shard_entered("contact-identity", 3, "running")
    assert registry.get_sample_value("airy_identify_table_offset", labels) == 17

    metrics.shard_entered("contact-identity", 3, "stopped")
    assert registry.get_sample_value("airy_identify_table_offset", labels) is None
    assert registry.get_sample_value("airy_identify_table_digest", labels) is None


def test_a_paused_shard_tells_at_which_offset_until_it_goes_on() -> None:
    metrics, registry = worker_metrics()
    labels = {"agent": "intake", "partition": "0"}
    metrics.shard_entered("intake", 0, "paused")
    metrics.shard_paused("intake", 0, 41)
    assert registry.get_sample_value("airy_identify_paused_offset", labels) == 41

    metrics.shard_entered("intake", 0, "opening")
    assert registry.get_sample_value("airy_identify_paused_offset", labels) is None
