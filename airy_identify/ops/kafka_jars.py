"""The jars of Apache Kafka, fetched once from Maven Central into a cache that later runs share."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from airy_identify.ops.errors import ToolMissingError
from airy_identify.ops.java import WITHOUT_ADVICE

KAFKA_VERSION = "3.9.1"

_DEPENDENCY_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
_FETCH_TIMEOUT_S = 600
_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>airy-identify</groupId>
  <artifactId>local-kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-reload4j</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


def cache_directory(environment: Mapping[str, str]) -> Path:
    """Return the directory kept between runs: `$XDG_CACHE_HOME/airy-identify`, else `~/.cache/airy-identify`."""
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "airy-identify"


def fetch_jars(cache: Path) -> Path:
    """Return the directory with the jars, fetched by Maven when it is not there yet.

    They are fetched into a directory of their own that is renamed when it is whole: whoever is first wins, and
    nobody sees half of it.

    Raises:
        ToolMissingError: Maven is missing or failed.
    """
    wanted = cache / f"kafka-{KAFKA_VERSION}"
    if wanted.is_dir():
        return wanted
    maven = shutil.which("mvn")
    if maven is None:
        raise ToolMissingError(f"Maven is needed to fetch Kafka and `mvn` was not found: install it, {WITHOUT_ADVICE}.")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as temporary:
        jars = Path(temporary) / "jars"
        _run_maven(maven, Path(temporary), jars)
        with contextlib.suppress(OSError):  # another process was first: its jars are as good
            jars.rename(wanted)
    return wanted


def _run_maven(maven: str, directory: Path, jars: Path) -> None:
    """Let Maven copy Kafka and what it needs to `jars`."""
    pom = directory / "pom.xml"
    pom.write_text(_POM, encoding="utf-8")
    goal = f"{_DEPENDENCY_PLUGIN}:copy-dependencies"
    arguments = ["-B", "-q", "-f", str(pom), goal, f"-DoutputDirectory={jars}", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(
            [maven, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_FETCH_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            env=dict(os.environ),
        )
    except subprocess.TimeoutExpired:
        raise ToolMissingError(f"Maven did not fetch Kafka {KAFKA_VERSION} within {_FETCH_TIMEOUT_S} s.") from None
    if done.returncode != 0 or not any(jars.glob("kafka_2.13-*.jar")):
        lines = (done.stdout + done.stderr).strip().splitlines()
        reason = next(
            (line for line in lines if "ERROR" in line), lines[-1] if lines else f"exit code {done.returncode}"
        )
        raise ToolMissingError(f"Maven could not fetch Kafka {KAFKA_VERSION}: {reason}")
