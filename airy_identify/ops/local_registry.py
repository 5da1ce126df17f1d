"""A local schema registry: real Apicurio Registry in a child process, for the tests and for trying things out.

`docker-compose.kafka.yml` has the same version; a test holds the two against each other.
"""

import asyncio
import urllib.error
import urllib.request

from airy_identify.ops.errors import RegistryStartError
from airy_identify.ops.java import ClassArchive, find_java
from airy_identify.ops.java_server import JavaServer
from airy_identify.ops.ports import require_free
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

_PROBE_TIMEOUT_S = 2.0
_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")


class LocalRegistry(JavaServer):
    """One registry with its port and directory. It listens on 127.0.0.1 only. Raises `RegistryStartError`.

    `kill` may spoil its data. The first run writes its archive of classes at the end, so a stop may take long.
    """

    title = "the registry"
    error = RegistryStartError
    start_timeout_s = 120
    stop_timeout_s = 60
    log_name = "registry.log"

    @property
    def url(self) -> str:
        """The base address of its Confluent API: `AIRY_IDENTIFY_SCHEMA_REGISTRY_URL`."""
        return f"http://127.0.0.1:{self.port}{API_PATH}"

    async def _launch(self) -> None:
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
        self._process = self._run(command, self.log_file)

    async def _answers(self) -> bool:
        return await asyncio.to_thread(self._has_subjects)

    def _has_subjects(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=_PROBE_TIMEOUT_S):  # noqa: S310 - http
                return True
        except (urllib.error.URLError, OSError):
            return False
