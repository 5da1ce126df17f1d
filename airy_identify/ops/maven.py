"""Maven: fetches Java programs from Maven Central, once, into a cache that later runs share."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from airy_identify.ops.errors import ToolMissingError
from airy_identify.ops.java import WITHOUT_ADVICE

_COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_FETCH_TIMEOUT_S = 600


def cache_directory(environment: Mapping[str, str]) -> Path:
    """Return the directory kept between runs: `$XDG_CACHE_HOME/airy-identify`, else `~/.cache/airy-identify`."""
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "airy-identify"


def fetch_once(wanted: Path, fetch: Callable[[Path], Path]) -> Path:
    """Return the directory `wanted`, made by `fetch` when it is not there yet.

    `fetch` gets an empty directory beside it and returns what in there is to become `wanted`: it is renamed when it is
    whole, so whoever is first wins, and nobody sees half of it.

    Raises:
        ToolMissingError: As `fetch` does.
    """
    if wanted.is_dir():
        return wanted
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wanted.parent, prefix="fetching-") as temporary:
        made = fetch(Path(temporary))
        with contextlib.suppress(OSError):  # another process was first: its files are as good
            made.rename(wanted)
    return wanted


def copy_dependencies(directory: Path, pom: str, *, what: str, contains: str) -> Path:
    """Let Maven copy the runtime dependencies of a POM into a directory below this one, and return it.

    Args:
        directory: An empty directory for the POM and the jars.
        pom: The POM.
        what: What is fetched, in the words of an error message.
        contains: A pattern of which at least one jar has to be there.

    Raises:
        ToolMissingError: Maven is missing or failed.
    """
    jars = directory / "jars"
    (directory / "pom.xml").write_text(pom, encoding="utf-8")
    run_maven(directory, [_COPY_DEPENDENCIES, f"-DoutputDirectory={jars}", "-DincludeScope=runtime"], what=what)
    if not any(jars.glob(contains)):
        raise ToolMissingError(f"Maven could not fetch {what}: it ended with exit code 0 and no {contains}")
    return jars


def run_maven(directory: Path, arguments: Sequence[str], *, what: str) -> None:
    """Run Maven in a directory, without a word unless it fails.

    Raises:
        ToolMissingError: Maven is missing, failed, or took longer than ten minutes.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise ToolMissingError(
            f"Maven is needed to fetch {what} and `mvn` was not found: install it, {WITHOUT_ADVICE}."
        )
    try:
        done = subprocess.run(
            [maven, "-B", "-q", *arguments],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=_FETCH_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            env=dict(os.environ),
        )
    except subprocess.TimeoutExpired:
        raise ToolMissingError(f"Maven did not fetch {what} within {_FETCH_TIMEOUT_S} s.") from None
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        last = lines[-1] if lines else f"exit code {done.returncode}"
        reason = next((line for line in lines if "ERROR" in line), last)
        raise ToolMissingError(f"Maven could not fetch {what}: {reason}")
