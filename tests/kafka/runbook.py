"""The entries of docs/runbook.md, as an operator runs them: step by step, against a service in the state they are for."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from confluent_kafka.admin import (  # type: ignore[attr-defined] # it has no `__all__`
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from airy_identify.ops.kafka_jars import fetch_jars
from airy_identify.ops.maven import cache_directory
from airy_identify.settings import Settings
from tests.kafka.maven import SHORT_RUN, console_consumer_jar
from tests.kafka.processes import ServiceProcess, environment_of
from tests.kafka.snippets import DOCS, Ran, Snippet, run_snippet

PAGE = DOCS / "runbook.md"
PARTS = ("Symptom", "Check", "Act", "Verify", "If it fails")
RUN = ("Check", "Act", "Verify")
TOOLS = {
    "kafka-acls.sh": "kafka.admin.AclCommand",
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
}
_ENTRY = re.compile(r"^## (?P<title>[^\n]+)\n(?P<body>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_PART = re.compile(r"^\*\*(?P<name>[\w ]+)\.\*\*(?P<body>.*?)(?=^\*\*[\w ]+\.\*\*|\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SERVER = re.compile(r"^((?:\w+=\S+ )*)(airy-identify (?:worker|web))$", re.MULTILINE)


def read_entries() -> dict[str, dict[str, str]]:
    """Return the entries: for each title its parts, and of each part the commands."""
    return {
        entry["title"]: {part["name"]: "".join(_BLOCK.findall(part["body"])) for part in _PART.finditer(entry["body"])}
        for entry in _ENTRY.finditer(PAGE.read_text(encoding="utf-8"))
    }


class Entry:
    """One entry, opened by `entry`. Commands get the settings of a worker and what the operator fills in."""

    def __init__(self, title: str, directory: Path, programs: Path) -> None:
        self.steps = {name: commands for name, commands in read_entries()[title].items() if commands}
        self.left = set(self.steps)
        self.variables: dict[str, str] = {}
        self._directory = directory
        self._programs = programs

    def use(self, settings: Settings, worker: ServiceProcess, **variables: str) -> None:
        """Take the environment of this worker, and more variables."""
        self.variables |= {
            **environment_of(settings, data_dir=worker.data_dir, worker_port=worker.port),
            "WORKER": worker.url,
            "KAFKA": settings.kafka_bootstrap_servers,
            "GROUP": settings.topic_names.app_id,
            "COLUMNS": "300",
            **variables,
        }
        self.variables = {
            name: text for name, text in self.variables.items() if "COVERAGE" not in name and name != "PATH"
        }

    async def run(self, step: str, **variables: str) -> str:
        """Run a step as printed; return what it said. The test fails when a command does."""
        ran = await self.try_to(step, **variables)
        assert ran.exit_code == 0, ran
        return ran.output

    async def try_to(self, step: str, **variables: str) -> Ran:
        """Run a step as printed, whether it succeeds or not."""
        self.left.discard(step)
        snippet = Snippet(files={}, commands=self.steps[step], installs={})
        return await run_snippet(snippet, self._directory, self.variables | variables, programs=self._programs)

    def start(self, step: str, process: ServiceProcess, **variables: str) -> ServiceProcess:
        """Run a step that ends in a worker or a bridge, and let `process` be that one."""
        self.left.discard(step)
        commands, servers = _SERVER.subn(r"\1exec \2", self.steps[step])
        assert servers == 1, commands
        process.run(["/bin/sh", "-ec", f"cd '{self._directory}'\n{commands}"], self.environment | variables)
        return process

    @property
    def environment(self) -> dict[str, str]:
        """What the commands run with."""
        path = os.pathsep.join([str(self._programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        return self.variables | {"PATH": path}


@asynccontextmanager
async def entry(title: str, directory: Path) -> AsyncIterator[Entry]:
    """Open an entry; at the end of the block every step of it must have been run."""
    opened = Entry(title, directory, await kafka_tools(directory))
    yield opened
    assert not opened.left, f"{title}: nobody ran {sorted(opened.left)}"


async def configure_topic(settings: Settings, topic: str, name: str, value: object) -> None:
    """Change one setting of a topic, and leave the others."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap_servers})
    change = ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[change])
    for future in admin.incremental_alter_configs([resource]).values():
        await asyncio.to_thread(future.result, 30)


async def kafka_tools(directory: Path) -> Path:
    """Return a folder with the programs of Kafka's distribution that the page names, on the jars of the broker."""
    programs = directory / "kafka-tools"
    programs.mkdir(exist_ok=True)
    cache = cache_directory(os.environ)
    jars = f"{fetch_jars(cache)}/*:{await console_consumer_jar(cache)}"
    for name, java_class in TOOLS.items():
        program = programs / name
        program.write_text(f"#!/bin/sh\nexec java -Xmx128m {SHORT_RUN} -cp '{jars}' {java_class} \"$@\"\n")
        program.chmod(0o755)
    return programs
