"""A local Kafka broker: real Apache Kafka (KRaft, one node) in a child process, for `dev`, `demo` and the tests.

`docker-compose.kafka.yml` describes the same broker; a test holds `BROKER_SETTINGS` against it.
"""

import asyncio
import atexit
import contextlib
import os
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from airy_identify.ops.admin import answers
from airy_identify.ops.child import start_child
from airy_identify.ops.errors import BrokerError
from airy_identify.ops.java import ClassArchive, Java, find_java
from airy_identify.ops.kafka_jars import fetch_jars
from airy_identify.ops.maven import cache_directory
from airy_identify.topics import RECORD_BYTES_MAX

BROKER_SETTINGS: dict[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    # One node: nothing can be replicated.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    # As in production: topics are made on purpose, and the service's largest record fits.
    "auto.create.topics.enable": "false",
    "num.partitions": "1",
    "message.max.bytes": str(RECORD_BYTES_MAX),
    # Quick and small: no wait before the first assignment, few internal partitions, little memory.
    "group.initial.rebalance.delay.ms": "0",
    # A killed broker may come back after this, instead of 9 s.
    "broker.session.timeout.ms": "6000",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.index.size.max.bytes": "1048576",
    "num.network.threads": "2",
    "num.io.threads": "4",
}
"""Everything about the broker but its addresses and directories."""

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20
_ENDED_IN_GOOD_ORDER = (0, 128 + signal.SIGTERM)
_POLL_S = 0.05
_JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Djava.awt.headless=true")
_JVM_SHORT = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_LOG4J = """\
log4j.rootLogger=WARN, file
log4j.appender.file=org.apache.log4j.FileAppender
log4j.appender.file.File={path}
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=[%d] %p %m (%c)%n
"""


def free_port() -> int:
    """Return a port on 127.0.0.1 that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class LocalKafka:
    """One broker with its ports and directory; it may be started, stopped or killed, and started again.

    Everything is bound to 127.0.0.1. The broker ends with this process, however that ends.

    Args:
        directory: Where its data and logs are. The data of an earlier start is found again.
        port: The port of clients; any free one when null.
        cache: Where the jars are kept; the user's cache directory when null.
        properties: Settings of the broker beside, or instead of, `BROKER_SETTINGS`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        cache: Path | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory.resolve()
        self.port = free_port() if port is None else port
        self._controller_port = free_port()
        self._properties = dict(properties or {})
        self._cache = cache_directory(os.environ) if cache is None else cache
        self._process: subprocess.Popen[bytes] | None = None
        self._archive: ClassArchive | None = None

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        """What the broker has to say: warnings and errors."""
        return self.directory / "kafka.log"

    @property
    def process_id(self) -> int | None:
        """The broker's process, null when it does not run."""
        return None if self.exited else self._require().pid

    @property
    def exited(self) -> bool:
        """Whether the broker does not run: never started, stopped, killed, or dead."""
        return self._process is None or self._process.poll() is not None

    async def start(self) -> None:
        """Start the broker and wait until it answers a client.

        Raises:
            ToolMissingError: Java or Maven is missing.
            BrokerError: The port is taken, or the broker died or did not answer in time; nothing is left running.
        """
        if not self.exited:
            raise BrokerError(f"the broker on port {self.port} is already running")
        java = find_java()
        jars = await asyncio.to_thread(fetch_jars, self._cache)
        require_free(self.port)
        require_free(self._controller_port)
        self._write_files()
        archive = self._archive = ClassArchive(jars, java)
        properties = str(self.directory / "server.properties")
        if not (self.directory / "data" / "meta.properties").exists():
            format_storage = ("kafka.tools.StorageTool", "format", f"--cluster-id={_cluster_id()}", "-c", properties)
            await self._format_storage(self._run(java, jars, format_storage, [*_JVM_SHORT, *archive.read_options()]))
        self._process = self._run(java, jars, ("kafka.Kafka", properties), [*_JVM, *archive.options()])
        atexit.register(self.kill)
        try:
            await self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    async def stop(self) -> None:
        """Stop the broker in good order, by force when it takes more than `STOP_TIMEOUT_S` seconds."""
        if not self.exited:
            self.resume()
            self._require().send_signal(signal.SIGTERM)
            await self._wait_for_exit(STOP_TIMEOUT_S)
        if self._archive is not None and self._process is not None:
            self._archive.keep(whole=self._process.poll() in _ENDED_IN_GOOD_ORDER)
        self.kill()

    def kill(self) -> None:
        """End the broker at once (kill -9). Does nothing when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._archive is not None:
            self._archive.keep(whole=False)
        self._process = None
        atexit.unregister(self.kill)

    def pause(self) -> None:
        """Freeze the broker (SIGSTOP): connections stay open and nothing is answered."""
        self._require().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen broker go on."""
        self._require().send_signal(signal.SIGCONT)

    def _require(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise BrokerError(f"the broker on port {self.port} is not running")
        return self._process

    def _write_files(self) -> None:
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        addresses = {
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "log.dirs": str(self.directory / "data"),
        }
        lines = (f"{name}={value}\n" for name, value in (BROKER_SETTINGS | self._properties | addresses).items())
        (self.directory / "server.properties").write_text("".join(lines), encoding="utf-8")
        (self.directory / "log4j.properties").write_text(_LOG4J.format(path=self.log_file), encoding="utf-8")

    def _run(
        self, java: Java, jars: Path, arguments: Sequence[str], options: Sequence[str]
    ) -> "subprocess.Popen[bytes]":
        log4j = f"-Dlog4j.configuration=file:{self.directory / 'log4j.properties'}"
        command = [java.program, *options, log4j, "-cp", f"{jars}/*", *arguments]
        with (self.directory / "output.log").open("ab") as output:
            return start_child(command, output=output, environment=os.environ)

    async def _format_storage(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait for the process that makes an empty data directory known to KRaft."""
        self._process = process
        try:
            await self._wait_for_exit(START_TIMEOUT_S)
            if process.poll() != 0:
                raise BrokerError(f"Kafka's storage could not be formatted: see {self.directory / 'output.log'}")
        finally:
            self.kill()

    async def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not await answers(self.bootstrap_servers):
            if self.exited:
                raise BrokerError(f"Kafka ended while it started: see {self.log_file} and output.log beside it")
            if time.monotonic() > deadline:
                raise BrokerError(f"Kafka did not answer within {START_TIMEOUT_S} s: see {self.log_file}")
            await asyncio.sleep(_POLL_S)

    async def _wait_for_exit(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self.exited:  # noqa: ASYNC110 - the end of a process sets no event
                    await asyncio.sleep(_POLL_S)


def _cluster_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def require_free(port: int) -> None:
    """Raise `BrokerError` when somebody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise BrokerError(f"port {port} is in use: end the program that has it, or choose another port") from None
