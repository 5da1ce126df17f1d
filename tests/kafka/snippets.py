"""The programs in docs, as a reader copies them: a file below each name, and the block below "Run it" pasted in a shell."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.kafka.service import Service

DOCS = Path(__file__).parents[2] / "docs"
RUN_DEADLINE_S = 240.0
_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_NAME = re.compile(r"`([\w/]+\.(?:sh|py|mjs|java))`")
_INSTALLS = re.compile(r"^(?:pip|npm) install (\S+?)(?:==|@)(\d\S*)$", re.MULTILINE)


@dataclass(frozen=True)
class Snippet:
    """One section of a page. `installs` are the packages that it wants installed, with their versions."""

    files: Mapping[str, str]
    commands: str
    installs: Mapping[str, str]


@dataclass(frozen=True)
class Ran:
    """What a snippet said, and how it ended."""

    exit_code: int
    output: str
    errors: str


def read_snippet(page: str, section: str) -> Snippet:
    """Return the program of a section. A file is named by the last file name in the paragraph before it."""
    body = _body(page, section)
    files, commands, end = {}, "", 0
    for block in _BLOCK.finditer(body):
        before = body[end : block.start()].strip().split("\n\n")[-1]
        end = block.end()
        if "Run it" in before:
            commands += block["text"]
        else:
            files[_FILE_NAME.findall(before)[-1]] = block["text"]
    return Snippet(files=files, commands=_INSTALLS.sub("", commands), installs=dict(_INSTALLS.findall(commands)))


def read_blocks(page: str, section: str, language: str) -> list[str]:
    """Return the blocks of a section in one language."""
    return [block["text"] for block in _BLOCK.finditer(_body(page, section)) if block["language"] == language]


def _body(page: str, section: str) -> str:
    text = (DOCS / page).read_text(encoding="utf-8")
    (body,) = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert isinstance(body, str)
    return body


def variables_of(service: Service, **over: str) -> dict[str, str]:
    """Return what `dev` would print."""
    assert service.settings.system_token is not None
    names = service.settings.topic_names
    return {
        "IDENTIFY_URL": service.bridge.url,
        "IDENTIFY_TOKEN": service.settings.system_token.get_secret_value(),
        "IDENTIFY_CHANNEL": service.channel,
        "IDENTIFY_KAFKA": service.settings.kafka_bootstrap_servers,
        "IDENTIFY_REQUESTS_TOPIC": names.requests,
        "IDENTIFY_RESPONSES_TOPIC": names.responses,
    } | over


async def run_snippet(
    snippet: Snippet, directory: Path, variables: dict[str, str], *, programs: Path | None = None
) -> Ran:
    """Write the files of a snippet into the directory and run its commands there, with these variables.

    `python` and `node` are those of this environment; `programs` has others that the commands need.
    """
    for name, text in snippet.files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")
    places = [str(place) for place in (programs, Path(sys.executable).parent) if place is not None]
    path = os.pathsep.join([*places, os.environ["PATH"]])
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-ec", snippet.commands),
        cwd=directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # so that nothing that it started is left behind
        env={name: value for name, value in os.environ.items() if "COVERAGE" not in name} | {"PATH": path} | variables,
    )
    try:
        async with asyncio.timeout(RUN_DEADLINE_S):
            said = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    assert process.returncode is not None
    output, errors = (text.decode(errors="replace") for text in said)
    return Ran(process.returncode, output, errors)
