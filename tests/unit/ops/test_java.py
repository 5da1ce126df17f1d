import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from airy_identify.ops.errors import ToolMissingError
from airy_identify.ops.java import ClassArchive, Java, find_java
from airy_identify.ops.kafka_jars import KAFKA_VERSION, fetch_jars
from airy_identify.ops.maven import cache_directory
from airy_identify.ops.registry_archive import REGISTRY_VERSION, fetch_registry, runner_of

Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Put a shell script of this name and body on a PATH that has little else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def write(name: str, body: str) -> None:
        script = folder / name
        script.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{body}\n")
        script.chmod(0o755)

    return write


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', "17.0.15"),
        ('java version "21"', "21"),
        ('openjdk version "25-ea" 2025-09-16', "25-ea"),
    ],
)
def test_java_17_and_newer_are_found(program: Program, said: str, version: str) -> None:
    program("java", f"echo '{said}' >&2")

    assert find_java().version == version


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("echo 'java version \"1.8.0_402\"' >&2", "is Java 1.8.0_402"),
        ("echo 'openjdk version \"11.0.2\" 2019-01-15' >&2", "is Java 11.0.2"),
        ("exit 1", "failed"),
        ("echo nonsense", "failed"),
    ],
)
def test_other_javas_are_refused_in_one_line(program: Program, body: str, why: str) -> None:
    program("java", body)

    with pytest.raises(ToolMissingError, match=f"Java 17 or newer is needed and .*{why}") as caught:
        find_java()
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("program")
def test_missing_java_and_maven_are_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ToolMissingError, match="`java` was not found"):
        find_java()
    with pytest.raises(ToolMissingError, match="`mvn` was not found"):
        fetch_jars(tmp_path / "cache")


FAKE_MAVEN = """
for argument in "$@"; do case "$argument" in -DoutputDirectory=*) out=${argument#*=};; esac; done
mkdir -p "$out" && touch "$out/kafka_2.13-3.9.1.jar"
"""


def test_jars_are_fetched_once_and_kept(program: Program, tmp_path: Path) -> None:
    program("mvn", FAKE_MAVEN)
    first = fetch_jars(tmp_path / "cache")
    program("mvn", "exit 1")

    assert fetch_jars(tmp_path / "cache") == first
    assert [path.name for path in first.iterdir()] == ["kafka_2.13-3.9.1.jar"]
    assert [path.name for path in first.parent.iterdir()] == [f"kafka-{KAFKA_VERSION}"]


def test_of_two_who_fetch_at_once_both_get_whole_jars(program: Program, tmp_path: Path) -> None:
    # Each waits for the other to have begun, so that neither finds the directory there.
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    program("mvn", f"touch {meeting}/$$; while [ $(ls {meeting} | wc -l) -lt 2 ]; do :; done\n{FAKE_MAVEN}")

    async def both() -> list[Path]:
        fetches = (asyncio.to_thread(fetch_jars, tmp_path / "cache") for _ in range(2))
        return await asyncio.gather(*fetches)

    first, second = asyncio.run(both())

    assert first == second
    assert [path.name for path in first.iterdir()] == ["kafka_2.13-3.9.1.jar"]
    assert [path.name for path in first.parent.iterdir()] == [f"kafka-{KAFKA_VERSION}"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("echo '[INFO] x'; echo '[ERROR] no such artifact'; exit 1", "no such artifact"),
        ("exit 3", "exit code 3"),
        ("exit 0", "exit code 0"),
        (f"{FAKE_MAVEN}\nexit 4", "exit code 4"),
    ],
)
def test_a_failing_maven_leaves_nothing_behind(program: Program, tmp_path: Path, body: str, why: str) -> None:
    program("mvn", body)

    with pytest.raises(ToolMissingError, match=why):
        fetch_jars(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_registry_is_fetched_and_unpacked_once(program: Program, tmp_path: Path) -> None:
    jar = f"apicurio-registry-app-{REGISTRY_VERSION}-runner.jar"
    program(
        "mvn",
        f"""for argument in "$@"; do case "$argument" in -DoutputDirectory=*) out=${{argument#*=}};; esac; done
        cd "$out" && touch {jar} && tar czf registry.tar.gz {jar}""",
    )
    first = fetch_registry(tmp_path / "cache")
    program("mvn", "exit 1")

    assert fetch_registry(tmp_path / "cache") == first
    assert runner_of(first).exists()
    assert [path.name for path in first.parent.iterdir()] == [first.name]


@pytest.mark.parametrize(("body", "why"), [("echo '[ERROR] offline'; exit 1", "offline"), ("exit 0", "no archive")])
def test_a_registry_that_cannot_be_fetched_leaves_nothing_behind(
    program: Program, tmp_path: Path, body: str, why: str
) -> None:
    program("mvn", body)

    with pytest.raises(ToolMissingError, match=f"Apicurio Registry {REGISTRY_VERSION}.*{why}"):
        fetch_registry(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_cache_is_where_the_user_keeps_caches() -> None:
    assert cache_directory({"XDG_CACHE_HOME": "/caches"}) == Path("/caches/airy-identify")
    assert cache_directory({}) == Path.home() / ".cache" / "airy-identify"


def test_a_class_archive_is_written_by_the_first_run_and_used_by_the_next(tmp_path: Path) -> None:
    def archive(version: str) -> ClassArchive:
        return ClassArchive(tmp_path / "kafka", Java(program="java", version=version))

    first = archive("17.0.1")
    assert first.read_options() == []
    assert first.options()[0] == f"-XX:ArchiveClassesAtExit={tmp_path}/kafka-java-17.0.1.jsa-{os.getpid()}"

    (tmp_path / f"kafka-java-17.0.1.jsa-{os.getpid()}").touch()
    first.keep(whole=True)

    assert archive("17.0.1").options() == [f"-XX:SharedArchiveFile={tmp_path}/kafka-java-17.0.1.jsa"]
    assert archive("21").read_options() == []


def test_a_broken_class_archive_is_thrown_away(tmp_path: Path) -> None:
    archive = ClassArchive(tmp_path / "kafka", Java(program="java", version="17"))
    (tmp_path / f"kafka-java-17.jsa-{os.getpid()}").touch()

    archive.keep(whole=False)
    archive.keep(whole=True)

    assert list(tmp_path.iterdir()) == []
