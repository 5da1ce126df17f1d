"""Java: finding it, and its archives of loaded classes, which halve the time that Kafka takes to start."""

import contextlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from airy_identify.ops.errors import ToolMissingError

JAVA_VERSION_MIN = 17
WITHOUT_ADVICE = "or start Kafka with `docker compose -f docker-compose.kafka.yml up` and do without `dev` and `demo`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Java:
    """The program, and its full version, like 17.0.15."""

    program: str
    version: str


def find_java() -> Java:
    """Return the Java of this machine.

    Raises:
        ToolMissingError: There is none, it does not run, or it is older than Java 17.
    """
    needed = f"Java {JAVA_VERSION_MIN} or newer is needed"
    program = shutil.which("java")
    if program is None:
        raise ToolMissingError(f"{needed} and `java` was not found: install it, {WITHOUT_ADVICE}.")
    done = subprocess.run([program, "-version"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    found = re.search(r'version "((?:1\.)?(\d+)[^"]*)"', done.stderr + done.stdout)
    if done.returncode != 0 or found is None:
        raise ToolMissingError(f"{needed} and `{program} -version` failed: install it, {WITHOUT_ADVICE}.")
    if int(found[2]) < JAVA_VERSION_MIN:
        raise ToolMissingError(f"{needed} and `{program}` is Java {found[1]}: install it, {WITHOUT_ADVICE}.")
    return Java(program=program, version=found[1])


class ClassArchive:
    """An archive of the classes that a program loads, kept in the cache (JEP 350).

    The first run writes it when it ends in good order; later runs of the same Java on the same jars use it. Java
    ignores an archive that does not fit.
    """

    def __init__(self, jars: Path, java: Java) -> None:
        self._path = jars.with_name(f"{jars.name}-java-{java.version}.jsa")
        self._fresh = jars.with_name(f"{self._path.name}-{os.getpid()}")

    def read_options(self) -> list[str]:
        """Return the options of a run that uses the archive, if there is one."""
        return [f"-XX:SharedArchiveFile={self._path}"] if self._path.exists() else []

    def options(self) -> list[str]:
        """Return the options of a run that uses the archive, or writes it when there is none yet."""
        return self.read_options() or [f"-XX:ArchiveClassesAtExit={self._fresh}", "-Xlog:cds=off,cds+dynamic=off"]

    def keep(self, *, whole: bool) -> None:
        """Take over what the run has written, if anything and if it ended in good order."""
        with contextlib.suppress(FileNotFoundError):
            if whole:
                self._fresh.rename(self._path)
            else:
                self._fresh.unlink()
