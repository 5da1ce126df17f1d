"""Every program in docs, run as printed against a running service: only the environment differs."""

import asyncio
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import jwt
import pytest

from airy_identify.ops.kafka_jars import fetch_jars
from airy_identify.ops.maven import cache_directory
from tests.kafka.flaky import FAILURES, flaky_front
from tests.kafka.maven import SHORT_RUN, console_consumer_jar
from tests.kafka.service import Service
from tests.kafka.snippets import Ran, Snippet, read_snippet, run_snippet, variables_of

PROGRAMS = Path(sys.executable).parent
NODE_PROJECT = Path(__file__).parents[1] / "node" / "snippets"
NODE_PACKAGES = NODE_PROJECT / "node_modules"
HTTP_SECTIONS = ("curl", "Python", "JavaScript", "Java")
KAFKA_SECTIONS = ("Python", "JavaScript")
CONSOLE_TOOLS = {
    "kafka-console-producer.sh": "kafka.tools.ConsoleProducer",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
}


@pytest.fixture(scope="session")
def node_packages() -> Path:
    """Return the folder of the locked npm packages, installed when the lock has changed."""
    installed_from = NODE_PACKAGES / ".installed-from"
    wanted = hashlib.sha256((NODE_PROJECT / "package-lock.json").read_bytes()).hexdigest()
    if not installed_from.is_file() or installed_from.read_text() != wanted:
        command = [str(PROGRAMS / "npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=NODE_PROJECT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        installed_from.write_text(wanted)
    return NODE_PACKAGES


@pytest.fixture
async def console_tools(tmp_path: Path) -> Path:
    """Return a folder with the programs of Kafka's distribution that docs name, on the jars of the broker."""
    cache = cache_directory(os.environ)
    jars = [str(fetch_jars(cache) / "*"), str(await console_consumer_jar(cache))]
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, java_class in CONSOLE_TOOLS.items():
        program = programs / name
        program.write_text(f"#!/bin/sh\nexec java -Xmx128m {SHORT_RUN} -cp '{':'.join(jars)}' {java_class} \"$@\"\n")
        program.chmod(0o755)
    return programs


async def assert_identified(service: Service, ran: Ran) -> None:
    """The two printed lines are about the person whom everybody identifies, whatever their language."""
    assert ran.exit_code == 0, ran
    found = re.fullmatch(r"contact (\S+)\n<script>window\.airy = {resumeToken: \"([\w.-]+)\"}</script>\n", ran.output)
    assert found, ran
    answer = await service.identify(external_id="user-1")
    claims = jwt.decode(found[2], service.settings.jwt_secret_bytes, algorithms=["HS256"])
    assert found[1] == answer["contact"]["id"]
    assert answer["contact"]["email"] == "ada@example.org"
    assert claims["resume_conversation_id"] == answer["conversations"][0]["id"]
    assert claims["resume_channel_id"] == service.channel


def assert_refused(ran: Ran) -> None:
    assert ran.exit_code != 0
    assert "unknown_channel" in ran.errors
    assert "window.airy" not in ran.output


async def ran_twice(snippet: Snippet, directory: Path, good: dict[str, str], bad: dict[str, str]) -> tuple[Ran, Ran]:
    """Run a snippet with good and with bad variables, side by side."""
    if "@platformatic/kafka" in snippet.installs:
        (directory / "node_modules").symlink_to(NODE_PACKAGES)
    places = [directory / name for name in ("good", "bad")]
    for place in places:
        place.mkdir()
    ran = [run_snippet(snippet, place, variables) for place, variables in zip(places, (good, bad), strict=True)]
    first, second = await asyncio.gather(*ran)
    return first, second


@pytest.mark.parametrize("section", HTTP_SECTIONS)
async def test_http_snippets_ask_again_with_the_same_key_and_tell_a_refusal(
    service: Service, tmp_path: Path, section: str
) -> None:
    async with flaky_front(service.bridge.url) as front:
        good = variables_of(service, IDENTIFY_URL=front.url, JDK_JAVA_OPTIONS=SHORT_RUN)
        bad = variables_of(service, IDENTIFY_CHANNEL=str(uuid.uuid4()), JDK_JAVA_OPTIONS=SHORT_RUN)
        identified, refused = await ran_twice(read_snippet("http.md", section), tmp_path, good, bad)

    await assert_identified(service, identified)
    assert len(front.asked) == len(FAILURES) + 1
    assert len(set(front.asked)) == 1
    assert front.asked[0][0]
    assert_refused(refused)


@pytest.mark.parametrize("section", KAFKA_SECTIONS)
@pytest.mark.usefixtures("node_packages")
async def test_kafka_snippets_get_their_answer_and_tell_a_refusal(
    service: Service, tmp_path: Path, section: str
) -> None:
    good = variables_of(service)
    bad = good | {"IDENTIFY_CHANNEL": str(uuid.uuid4())}
    identified, refused = await ran_twice(read_snippet("kafka.md", section), tmp_path, good, bad)

    await assert_identified(service, identified)
    assert_refused(refused)


async def test_the_console_tools_of_kafka_ask_and_show_the_answer(
    service: Service, tmp_path: Path, console_tools: Path
) -> None:
    snippet = read_snippet("kafka.md", "Kafka's console tools")
    ran = await run_snippet(snippet, tmp_path, variables_of(service), programs=console_tools)

    assert ran.exit_code == 0, ran
    (line,) = [line for line in ran.output.splitlines() if line.startswith("kafka_correlationId:login-1,")]
    headers, key, value = line.split("\t")
    answer = json.loads(value)
    assert headers == "kafka_correlationId:login-1,airy_identify_schema:airy_identify.IdentifyResponse"
    assert key == answer["request_id"]
    assert key.startswith(service.settings.topic_names.requests)
    assert answer["contact"]["external_id"] == "user-1"
    assert answer["contact"]["id"] == (await service.identify(external_id="user-1"))["contact"]["id"]


def test_what_the_snippets_install_is_what_the_tests_run() -> None:
    pages = [("http.md", section) for section in HTTP_SECTIONS] + [("kafka.md", section) for section in KAFKA_SECTIONS]
    installs = {name: version for page in pages for name, version in read_snippet(*page).installs.items()}
    locked = json.loads((NODE_PROJECT / "package-lock.json").read_text())["packages"]

    assert set(installs) == {"aiohttp", "confluent-kafka", "@platformatic/kafka"}
    for name, version in installs.items():
        if name.startswith("@"):
            assert locked[f"node_modules/{name}"]["version"] == version
        else:
            assert importlib.metadata.version(name) == version


def test_the_lock_of_the_npm_packages_names_no_place_to_come_from() -> None:
    packages = json.loads((NODE_PROJECT / "package-lock.json").read_text())["packages"]

    assert all("resolved" not in package for package in packages.values())
    assert all("integrity" in package for name, package in packages.items() if name)


def test_the_snippets_need_programs_that_are_here() -> None:
    path = os.pathsep.join((str(PROGRAMS), os.environ["PATH"]))

    assert [name for name in ("curl", "java", "mvn", "node", "npm") if shutil.which(name, path=path) is None] == []
