"""Programs in Java that tests ask: what Airy and other teams run is written in it, and its own libraries decide best.

Each is one source file in `tests/java/<name>` with a POM that pins what it needs. Java compiles it as it starts (JEP 330);
the jars are fetched once, into the user's cache, under the fingerprint of the POM.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airy_identify.ops.java import find_java
from airy_identify.ops.maven import cache_directory, copy_dependencies, fetch_once

JAVA = Path(__file__).parent / "java"
_QUICK_START = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m")


class JavaProgram:
    """A running program that answers each line of JSON with a line of JSON."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, **question: Any) -> Any:
        """Return the answer to one question."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the program ended"
        return json.loads(line)


@contextmanager
def java_program(name: str, main: str) -> Iterator[JavaProgram]:
    """Run `tests/java/<name>/<main>.java` within the block. It ends when its standard input does, so also with us."""
    source = JAVA / name / f"{main}.java"
    command = [find_java().program, *_QUICK_START, "-cp", f"{fetch_jars(name)}/*", str(source)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield JavaProgram(process)
    finally:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()


def fetch_jars(name: str) -> Path:
    """Return the directory with the jars of a program."""
    pom = (JAVA / name / "pom.xml").read_text(encoding="utf-8")
    fingerprint = hashlib.sha256(pom.encode()).hexdigest()[:12]

    def fetch(directory: Path) -> Path:
        return copy_dependencies(directory, pom, what=f"the jars of the test program {name}", contains="*.jar")

    return fetch_once(cache_directory(os.environ) / f"test-{name}-{fingerprint}", fetch)
