"""What the processes tell about themselves: log lines on standard error, and the metrics, all declared here.

Our modules log through the standard library; structlog writes the lines, those of Faust and aiokafka too. No line
holds an e-mail address, a phone number, a token or metadata: nobody logs one, and `_conceal` makes sure.
"""

import contextlib
import logging
import re
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from structlog.typing import EventDict, Processor

CONCEALED = "[concealed]"

_PRIVATE_KEYS = frozenset(
    {
        "authorization",
        "avatar_url",
        "content",
        "display_name",
        "email",
        "external_id",
        "first_name",
        "headers",
        "identifiers",
        "jwt_previous_secret",
        "jwt_secret",
        "last_message",
        "last_name",
        "metadata",
        "phone_number",
        "resume_token",
        "system_token",
        "token",
        "value",
    }
)
_PRIVATE_TEXT = re.compile(
    r"[\w.%+-]+@[\w-]+\.[\w.-]+"  # an e-mail address
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JSON web token
    r"|(?i:bearer)\s+\S+"
    r"|(?<![\w.])\+\d{7,15}\b"  # a phone number in E.164
)
_CHATTY = ("aiokafka", "faust", "mode", "kafka", "asyncio")
_REPEATS_ITSELF = "aiokafka"
_REPEAT_AFTER_S = 30.0
_DIGEST_SHOWN_BYTES = 6


def set_up_logging(*, level: str, log_format: str, process: str, stream: TextIO | None = None) -> None:
    """Send every log line of this process to standard error (or `stream`), as JSON or, for people, in columns.

    Args:
        level: The lowest level that is shown; libraries show warnings and worse.
        log_format: `json` or `console`.
        process: `worker` or `bridge`; it is in every line.
        stream: Where the lines go.
    """
    output = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,  # the plain traceback: one with local variables would show people's data
        _adder(process),
        _conceal,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False, default=repr)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=output.isatty())
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(_Repetitions(time.monotonic))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(capture=True)


def _adder(process: str) -> Processor:
    def add(_logger: Any, _method: str, event: EventDict) -> EventDict:  # noqa: ANN401 - the signature is structlog's
        event["process"] = process
        return event

    return add


def _conceal(_logger: Any, _method: str, event: EventDict) -> EventDict:  # noqa: ANN401 - the signature is structlog's
    """Take out what must not be read in a log, wherever somebody put it by mistake."""
    for key, value in event.items():
        if key in _PRIVATE_KEYS:
            event[key] = CONCEALED
        elif isinstance(value, str):
            event[key] = _PRIVATE_TEXT.sub(CONCEALED, value)
    return event


class _Repetitions(logging.Filter):
    """Lets aiokafka say the same thing once in half a minute: it repeats itself while a broker is away."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.split(".", 1)[0] != _REPEATS_ITSELF:
            return True
        key, now = (record.name, str(record.msg)), self._clock()
        if now - self._said.get(key, -_REPEAT_AFTER_S) < _REPEAT_AFTER_S:
            return False
        self._said[key] = now
        return True


def make_registry() -> CollectorRegistry:
    """Return an empty registry for the metrics of this process.

    prometheus_client would add to each counter and histogram a gauge that says since when it counts: a series more
    for each that nobody asked for, and that no table of ours has.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    return CollectorRegistry()


class WorkerMetrics:
    """The metrics of a worker. Shards report to it (it is their `ShardMetrics`), the agents count dead letters."""

    def __init__(self, registry: CollectorRegistry) -> None:
        by_agent = ("agent",)
        self._records = Counter(
            "airy_identify_records", "Records applied, in committed batches", by_agent, registry=registry
        )
        self._batches = Counter("airy_identify_batches", "Batch transactions committed", by_agent, registry=registry)
        self._transaction_seconds = Histogram(
            "airy_identify_transaction_seconds",
            "Time that a batch transaction took, outputs and commit",
            by_agent,
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15),
            registry=registry,
        )
        self._shard_state = Gauge(
            "airy_identify_shard_state",
            "1 for the state that a shard of this worker is in",
            ("agent", "partition", "state"),
            registry=registry,
        )
        self._paused_shards = Gauge(
            "airy_identify_paused_shards",
            "Shards that stand at a record which an agent cannot process",
            registry=registry,
        )
        self._paused_offset = Gauge(
            "airy_identify_paused_offset",
            "Offset of the record that a paused shard stands at",
            ("agent", "partition"),
            registry=registry,
        )
        self._table_offset = Gauge(
            "airy_identify_table_offset",
            "Offset of its log that a table partition has applied last",
            ("agent", "partition"),
            registry=registry,
        )
        self._table_digest = Gauge(
            "airy_identify_table_digest",
            "The first 48 bits of the table partition's digest at `airy_identify_table_offset`",
            ("agent", "partition"),
            registry=registry,
        )
        self._table_generation = Gauge(
            "airy_identify_table_generation",
            "The generation of its changelog that a table partition has: 1, and more with each rebuild",
            ("agent", "partition"),
            registry=registry,
        )
        self._shard_behind = Gauge(
            "airy_identify_shard_behind_records",
            "Offsets of its log that a running shard has not applied yet",
            ("agent", "partition"),
            registry=registry,
        )
        self._restore_behind = Gauge(
            "airy_identify_restore_behind_rows",
            "Offsets of its changelog that an opening shard has not restored yet",
            ("agent", "partition"),
            registry=registry,
        )
        self._standby_state = Gauge(
            "airy_identify_standby_state",
            "1 for the state that a standby of this worker is in",
            ("agent", "partition", "state"),
            registry=registry,
        )
        self._standby_behind = Gauge(
            "airy_identify_standby_behind_rows",
            "Offsets of the changelog that a standby of this worker has not read yet",
            ("agent", "partition"),
            registry=registry,
        )
        self._reopened = Counter(
            "airy_identify_shard_reopened",
            "Shards that had to open again; `fenced` means that another worker has taken over",
            ("agent", "cause"),
            registry=registry,
        )
        self._restored_rows = Counter(
            "airy_identify_restored_rows", "Rows read from a changelog", by_agent, registry=registry
        )
        self._dead_letters = Counter(
            "airy_identify_dead_letters", "Records put on the dead letters topic", ("code",), registry=registry
        )
        self._store_memory = Gauge(
            "airy_identify_store_memory_bytes",
            "Memory that the RocksDB stores use of their bound: blocks, indexes, filters, memtables",
            registry=registry,
        )
        self._states: dict[tuple[str, int], str] = {}
        self._standby_states: dict[tuple[str, int], str] = {}
        self._of_shards = (
            self._paused_offset,
            self._table_offset,
            self._table_digest,
            self._table_generation,
            self._shard_behind,
        )

    def shard_entered(self, agent: str, partition: int, state: str) -> None:
        """Note the state that a shard is in now."""
        before = self._states.get((agent, partition))
        if before is not None:
            self._shard_state.remove(agent, str(partition), before)
        self._shard_state.labels(agent, str(partition), state).set(1)
        self._states[agent, partition] = state
        self._paused_shards.set(sum(state == "paused" for state in self._states.values()))
        # What it stood at, or had still to restore, may not be true any more, here or at all.
        for gauge in (self._restore_behind, *(self._of_shards if state != "running" else ())):
            with contextlib.suppress(KeyError):
                gauge.remove(agent, str(partition))

    def shard_paused(self, agent: str, partition: int, offset: int) -> None:
        """Note the record that a shard stands at, because its agent cannot process it."""
        self._paused_offset.labels(agent, str(partition)).set(offset)

    def table_stands(self, agent: str, partition: int, offset: int, digest: bytes) -> None:
        """Note the digest of a table partition, and the offset of its log that was applied last.

        Prometheus' numbers are exact up to 53 bits, so the digest is cut to 48: one in 10^14 tables looks alike.
        """
        self._table_offset.labels(agent, str(partition)).set(offset)
        self._table_digest.labels(agent, str(partition)).set(int.from_bytes(digest[:_DIGEST_SHOWN_BYTES], "big"))

    def table_generation(self, agent: str, partition: int, generation: int) -> None:
        """Note which generation of its changelog a table partition has."""
        self._table_generation.labels(agent, str(partition)).set(generation)

    def shard_behind(self, agent: str, partition: int, records: int) -> None:
        """Note how many offsets of its log a running shard has not applied yet."""
        self._shard_behind.labels(agent, str(partition)).set(records)

    def restore_behind(self, agent: str, partition: int, rows: int) -> None:
        """Note how many offsets of its changelog an opening shard has not restored yet."""
        self._restore_behind.labels(agent, str(partition)).set(rows)

    def standby_entered(self, agent: str, partition: int, state: str, behind: int | None) -> None:
        """Note the state that a standby is in now, and how far it is behind; one that has stopped is shown no more."""
        before = self._standby_states.pop((agent, partition), None)
        if before is not None:
            self._standby_state.remove(agent, str(partition), before)
        if state != "stopped":
            self._standby_state.labels(agent, str(partition), state).set(1)
            self._standby_states[agent, partition] = state
        if behind is not None:
            self._standby_behind.labels(agent, str(partition)).set(behind)
        else:
            with contextlib.suppress(KeyError):
                self._standby_behind.remove(agent, str(partition))

    def shard_reopened(self, agent: str, cause: str) -> None:
        """Count a shard that has to open again: `fenced`, or the name of an error."""
        self._reopened.labels(agent, cause).inc()

    def rows_restored(self, agent: str, rows: int) -> None:
        """Count rows read from a changelog."""
        self._restored_rows.labels(agent).inc(rows)

    def watch_store_memory(self, used: Callable[[], int]) -> None:
        """Ask `used` for the bytes that all stores use, whenever the metrics are read."""
        self._store_memory.set_function(used)

    def batch_committed(self, agent: str, records: int, seconds: float) -> None:
        """Count a batch, and the time that its transaction took."""
        self._batches.labels(agent).inc()
        self._records.labels(agent).inc(records)
        self._transaction_seconds.labels(agent).observe(seconds)

    def dead_lettered(self, code: str) -> None:
        """Count a record that went to the dead letters."""
        self._dead_letters.labels(code).inc()


class BridgeMetrics:
    """The metrics of a bridge. Its application reports to it (it is its `RequestMetrics`)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "airy_identify_http_requests", "HTTP requests answered", ("route", "status"), registry=registry
        )
        self._request_seconds = Histogram(
            "airy_identify_http_request_seconds",
            "Time from the head of a request to its answer",
            ("route",),
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
            registry=registry,
        )
        self._client_requests = Counter(
            "airy_identify_http_client_requests",
            "Requests by the client that sent them; `system` has the system token",
            ("client", "status"),
            registry=registry,
        )
        self._clients = Gauge("airy_identify_clients", "Clients in force, besides the system token", registry=registry)
        self._clients_file_broken = Gauge(
            "airy_identify_clients_file_broken",
            "1 while the file of clients cannot be used and the clients before it are in force",
            registry=registry,
        )
        self._refusals = Counter(
            "airy_identify_http_refusals", "HTTP requests answered with an error", ("code",), registry=registry
        )
        self._pending = Gauge(
            "airy_identify_http_pending", "Requests that wait for their answer record", registry=registry
        )

    def observe(self, *, route: str, status: int, duration_s: float, client: str | None, code: str | None) -> None:
        """Count one request; `client` is null for a stranger, `code` that of the error that it was answered with."""
        if client is not None:
            self._client_requests.labels(client, str(status)).inc()
        if code is not None:
            self._refusals.labels(code).inc()
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(duration_s)

    def clients_loaded(self, count: int) -> None:
        """Tell how many clients are in force."""
        self._clients.set(count)
        self._clients_file_broken.set(0)

    def clients_file_broken(self) -> None:
        """Tell that the file of clients cannot be used as it is now."""
        self._clients_file_broken.set(1)

    def watch_pending(self, count: Callable[[], int]) -> None:
        """Take the number of waiting requests from this function whenever the metrics are read."""
        self._pending.set_function(lambda: float(count()))


class SchemaRegistryMetrics:
    """The metrics of a worker or a bridge about the schema registry; there are none without one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lookups = Counter(
            "airy_identify_schema_lookups",
            "Schema ids asked for: `found`, `unknown` or `unavailable`",
            ("outcome",),
            registry=registry,
        )
        self._waiting = Gauge(
            "airy_identify_schema_registry_waiting",
            "Readers that stand still because the schema registry does not answer",
            registry=registry,
        )

    def registry_asked(self, outcome: str) -> None:
        """Count one lookup: `found`, `unknown` or `unavailable`."""
        self._lookups.labels(outcome).inc()

    def registry_waiting(self, count: int) -> None:
        """Note how many readers wait for the registry now."""
        self._waiting.set(count)
