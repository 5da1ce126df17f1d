"""A local Kafka broker: real Apache Kafka (KRaft, one node) in a child process, for `dev`, `demo` and the tests.

`docker-compose.kafka.yml` describes the same broker; a test holds `BROKER_SETTINGS` against it.
"""

import asyncio
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from airy_identify.ops.admin import answers
from airy_identify.ops.errors import BrokerError
from airy_identify.ops.java import ClassArchive, Java, find_java
from airy_identify.ops.java_server import JavaServer
from airy_identify.ops.kafka_jars import fetch_jars
from airy_identify.ops.ports import free_port, require_free
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

_JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-Djava.awt.headless=true")
_JVM_SHORT = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_LOG4J = """\
log4j.rootLogger=WARN, file
log4j.appender.file=org.apache.log4j.FileAppender
log4j.appender.file.File={path}
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=[%d] %p %m (%c)%n
"""


class LocalKafka(JavaServer):
    """One broker with its ports and directory. Everything is bound to 127.0.0.1. Raises `BrokerError`.

    Args:
        directory: Where its data and logs are. The data of an earlier start is found again.
        port: The port of clients; any free one when null.
        cache: Where the jars are kept; the user's cache directory when null.
        properties: Settings of the broker beside, or instead of, `BROKER_SETTINGS`.
    """

    title = "Kafka"
    error = BrokerError
    start_timeout_s = 60
    stop_timeout_s = 20
    log_name = "kafka.log"

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        cache: Path | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(directory, port=port, cache=cache)
        self._controller_port = free_port()
        self._properties = dict(properties or {})

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients."""
        return f"127.0.0.1:{self.port}"

    async def _launch(self) -> None:
        java = find_java()
        jars = await asyncio.to_thread(fetch_jars, self._cache)
        require_free(self.port)
        require_free(self._controller_port)
        self._write_files()
        archive = self._archive = ClassArchive(jars, java)
        properties = str(self.directory / "server.properties")
        if not (self.directory / "data" / "meta.properties").exists():
            format_storage = ("kafka.tools.StorageTool", "format", f"--cluster-id={_cluster_id()}", "-c", properties)
            await self._format_storage(
                self._run_java(java, jars, format_storage, [*_JVM_SHORT, *archive.read_options()])
            )
        self._process = self._run_java(java, jars, ("kafka.Kafka", properties), [*_JVM, *archive.options()])

    async def _answers(self) -> bool:
        return await answers(self.bootstrap_servers)

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

    def _run_java(
        self, java: Java, jars: Path, arguments: Sequence[str], options: Sequence[str]
    ) -> "subprocess.Popen[bytes]":
        log4j = f"-Dlog4j.configuration=file:{self.directory / 'log4j.properties'}"
        command = [java.program, *options, log4j, "-cp", f"{jars}/*", *arguments]
        return self._run(command, self.directory / "output.log")

    async def _format_storage(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait for the process that makes an empty data directory known to KRaft."""
        self._process = process
        try:
            await self._wait_for_exit(self.start_timeout_s)
            if process.poll() != 0:
                raise BrokerError(f"Kafka's storage could not be formatted: see {self.directory / 'output.log'}")
        finally:
            self.kill()


def _cluster_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
