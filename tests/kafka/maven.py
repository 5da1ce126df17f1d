"""What Maven gives the tests: programs built from sources of this repository, and Kafka's own console tools."""

import asyncio
import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from airy_identify.ops.kafka_jars import KAFKA_VERSION
from airy_identify.ops.maven import cache_directory

BUILD_DEADLINE_S = 600.0
SHORT_RUN = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""What spares a Java program that ends soon half of its time."""
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"


@contextmanager
def alone() -> Iterator[None]:
    """Keep the block to one process at a time: Maven's local repository is not made for two that fill it."""
    lock = cache_directory(os.environ) / "maven.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


async def maven(*arguments: str, directory: Path) -> None:
    """Run Maven; the test fails with what it said when Maven fails."""
    with alone():
        await _run(arguments, directory)


async def _run(arguments: Sequence[str], directory: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *("mvn", "--batch-mode", "--quiet", *arguments),
        cwd=directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(os.environ) | {"MAVEN_OPTS": SHORT_RUN},
    )
    try:
        async with asyncio.timeout(BUILD_DEADLINE_S):
            said = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said


async def built_jar(project: Path) -> Path:
    """Return the jar of a Maven project, built anew when its sources are not those it was built from.

    Its POM names it: `finalName`.
    """
    (name,) = re.findall(r"<finalName>(.+)</finalName>", (project / "pom.xml").read_text(encoding="utf-8"))
    jar = project / "target" / f"{name}.jar"
    sources = [project / "pom.xml", *sorted(path for path in (project / "src").rglob("*") if path.is_file())]
    built_from, wanted = project / "target" / "built-from", _digest(project, sources)
    if not jar.is_file() or not built_from.is_file() or built_from.read_text() != wanted:
        await maven("clean", "package", directory=project)
        built_from.write_text(wanted)
    return jar


async def console_consumer_jar(cache: Path) -> Path:
    """Return the jar with Kafka's console consumer, of the version of the broker; fetched into the cache once.

    The console producer is in the broker's own jars.
    """
    jar = cache / f"kafka-tools-{KAFKA_VERSION}.jar"
    if not jar.is_file():
        fetched = cache / f"kafka-tools-{os.getpid()}"
        artifact = f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}"
        await maven(_COPY, f"-Dartifact={artifact}", f"-DoutputDirectory={fetched}", directory=cache)
        (fetched / jar.name).replace(jar)
        fetched.rmdir()
    return jar


def _digest(project: Path, sources: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.relative_to(project)}\0".encode() + source.read_bytes() + b"\0")
    return digest.hexdigest()
