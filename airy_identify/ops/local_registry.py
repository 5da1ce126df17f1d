"""A local schema registry: real Apicurio Registry in a child process, for the tests and for trying things out.

`docker-compose.kafka.yml` has the same version; a test holds the two against each other.
"""

import asyncio
import atexit
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from airy_identify.ops.child import start_child
from airy_identify.ops.errors import RegistryStartError
from airy_identify.ops.java import ClassArchive, find_java
from airy_identify.ops.local_broker import free_port, require_free
from airy_identify.ops.maven import cache_directory
from airy_identify.ops.registry_archive import fetch_registry, runner_of

API_PATH = "/apis/ccompat/v7"
"""Where Apicurio has Confluent's API."""

REGISTRY_SETTINGS: dict[str, str] = {
    "quarkus.http.host": "127.0.0.1",
    "quarkus.http.access-log.enabled": "false",
    "quarkus.log.level": "WARN",
    "apicurio.storage.kind": "sql",
    "apicurio.storage.sql.kind": "h2",
}
"""Everything but port and directory. H2 in a file starts in a third of the time of storage in Kafka."""

START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 60
"""The first run writes its archive of classes at the end, which takes longer than all others together."""
_POLL_S = 0.1
_PROBE_TIMEOUT_S = 2.0
_ENDED_IN_GOOD_ORDER = (0, 128 + signal.SIGTERM)
_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")


class LocalRegistry:
    """One registry with its port and directory; it may be stopped or frozen, and started again.

    It listens on 127.0.0.1 only and ends with this process, however that ends.

    Args:
        directory: Where its data and its log are. The data of an earlier start are found again.
        port: The port; any free one when null.
        cache: Where the program is kept; the user's cache directory when null.
    """

    def __init__(self, directory: Path, *, port: int | None = None, cache: Path | None = None) -> None:
        self.directory = directory.resolve()
        self.port = free_port() if port is None else port
        self._cache = cache_directory(os.environ) if cache is None else cache
        self._process: subprocess.Popen[bytes] | None = None
        self._archive: ClassArchive | None = None

    @property
    def url(self) -> str:
        """The base address of its Confluent API: `AIRY_IDENTIFY_SCHEMA_REGISTRY_URL`."""
        return f"http://127.0.0.1:{self.port}{API_PATH}"

    @property
    def log_file(self) -> Path:
        """What it has to say."""
        return self.directory / "registry.log"

    @property
    def exited(self) -> bool:
        """Whether it does not run."""
        return self._process is None or self._process.poll() is not None

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ToolMissingError: Java or Maven is missing.
            RegistryStartError: It runs already, died, or did not answer in time; nothing is left running.
            BrokerError: The port is taken.
        """
        if not self.exited:
            raise RegistryStartError(f"the registry on port {self.port} is already running")
        java = find_java()
        program = await asyncio.to_thread(fetch_registry, self._cache)
        require_free(self.port)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._archive = ClassArchive(program, java)
        places = {
            "quarkus.http.port": str(self.port),
            "apicurio.datasource.url": f"jdbc:h2:file:{self.directory / 'data'}",
        }
        options = [f"-D{name}={value}" for name, value in (REGISTRY_SETTINGS | places).items()]
        command = [java.program, *_JVM, *self._archive.options(), *options, "-jar", str(runner_of(program))]
        with self.log_file.open("ab") as output:
            self._process = start_child(command, output=output, environment=os.environ)
        atexit.register(self.kill)
        try:
            await self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    async def stop(self) -> None:
        """Stop it in good order, by force when it takes more than `STOP_TIMEOUT_S` seconds."""
        process = self._process
        if process is not None and process.poll() is None:
            self.resume()
            process.terminate()
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while not self.exited and time.monotonic() < deadline:  # noqa: ASYNC110 - the end of a process sets no event
                await asyncio.sleep(_POLL_S)
            if self._archive is not None:
                self._archive.keep(whole=process.poll() in _ENDED_IN_GOOD_ORDER)
        self.kill()

    def kill(self) -> None:
        """End it at once (kill -9), which may spoil its data. Does nothing when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._archive is not None:
            self._archive.keep(whole=False)
        self._process = None
        atexit.unregister(self.kill)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing is answered."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen registry go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    async def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not await asyncio.to_thread(self._answers):
            if self.exited:
                raise RegistryStartError(f"the registry ended while it started: see {self.log_file}")
            if time.monotonic() > deadline:
                raise RegistryStartError(f"the registry did not answer within {START_TIMEOUT_S} s: see {self.log_file}")
            await asyncio.sleep(_POLL_S)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=_PROBE_TIMEOUT_S):  # noqa: S310 - http
                return True
        except (urllib.error.URLError, OSError):
            return False
