"""`dev` and `demo` as a person runs them: in a process of their own, with Kafka, worker and bridge below it."""

import asyncio
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from airy_identify.ops.ports import free_port

READY_DEADLINE_S = 120.0
END_DEADLINE_S = 60.0
README = Path(__file__).parents[2] / "README.md"
LAST_LINE_OF_THE_INTRODUCTION = "Ctrl-C ends everything"
CHANNELS = ("6b6f7a52-3b0c-4b43-9a65-6a7f6c2f0001", "6b6f7a52-3b0c-4b43-9a65-6a7f6c2f0002")


class Terminal:
    """`airy-identify COMMAND` and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""

    async def until(self, text: str) -> None:
        """Read on until the text has been said."""
        assert self.process.stdout is not None
        async with asyncio.timeout(READY_DEADLINE_S):
            while text not in self.said:
                line = await self.process.stdout.readline()
                assert line, f"ended without {text!r}:\n{self.said}"
                self.said += line.decode()

    async def end(self) -> int:
        """Read to the end and return the exit code."""
        assert self.process.stdout is not None
        async with asyncio.timeout(END_DEADLINE_S):
            self.said += (await self.process.stdout.read()).decode()
            return await self.process.wait()


@asynccontextmanager
async def terminal(*arguments: str) -> AsyncIterator[Terminal]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "airy_identify", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={name: value for name, value in os.environ.items() if not name.startswith("AIRY_IDENTIFY_")}
        | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        yield Terminal(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def dev(directory: Path) -> tuple[str, ...]:
    ports = ("--http-port", str(free_port()), "--kafka-port", str(free_port()))
    channels = (argument for channel in CHANNELS for argument in ("--channel", channel))
    return ("dev", *ports, "--data-dir", str(directory), *channels)


async def paste(commands: str) -> dict[str, dict[str, Any]]:
    """Paste commands into a shell and return the answer that they print."""
    shell = await asyncio.create_subprocess_exec("/bin/sh", "-c", commands, stdout=asyncio.subprocess.PIPE)
    output, _ = await shell.communicate()
    answer: dict[str, dict[str, Any]] = json.loads(output)
    return answer


def curl_line(said: str) -> str:
    (line,) = re.findall(r"^curl .*$", said, flags=re.MULTILINE)
    return str(line)


def export_lines(said: str) -> str:
    return "\n".join(re.findall(r"^export .*$", said, flags=re.MULTILINE))


def readme_commands() -> str:
    """Return the call of the README's quick start."""
    (commands,) = re.findall(r"^```sh\n(curl .*?)^```$", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    return str(commands)


def names_in_documents() -> set[str]:
    pages = (README, *(README.parent / "docs").glob("*.md"))
    return {name for page in pages for name in re.findall(r"\$(IDENTIFY_\w+)", page.read_text())}


def children_of(process_id: int) -> dict[int, str]:
    """Return the child processes, by id, with their command lines."""
    return {
        int(child): Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        for child in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()
    }


def still_there(process_ids: list[int]) -> list[int]:
    return [process_id for process_id in process_ids if Path(f"/proc/{process_id}").exists()]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the line that dev prints is for curl")
async def test_dev_answers_shows_it_ends_cleanly_and_finds_its_state_again(tmp_path: Path) -> None:
    async with terminal(*dev(tmp_path)) as first:
        await first.until(LAST_LINE_OF_THE_INTRODUCTION)
        assert all(channel in first.said for channel in CHANNELS)
        created = await paste(curl_line(first.said))
        await first.until(f"contact {created['contact']['id']} created  1 conversations")
        children = list(children_of(first.process.pid))
        assert len(children) == 3

        first.process.send_signal(signal.SIGINT)
        assert await first.end() == 0
        assert first.said.endswith("stopping\nstopped\n")
        assert still_there(children) == []
        assert created["contact"]["email"] not in first.said.split(LAST_LINE_OF_THE_INTRODUCTION)[1]

    async with terminal(*dev(tmp_path)) as second:
        await second.until(LAST_LINE_OF_THE_INTRODUCTION)
        found = await paste(f"{export_lines(second.said)}\n{readme_commands()}")
        assert names_in_documents() <= set(re.findall(r"^export (\w+)=\S", second.said, flags=re.MULTILINE))
        assert found["contact"] == created["contact"]
        assert found["created"] == {"contact": False, "conversation": False}

        children = list(children_of(second.process.pid))
        bridge = next(number for number, line in children_of(second.process.pid).items() if line.endswith(" web "))
        os.kill(bridge, signal.SIGKILL)
        assert await second.end() == 1
        assert "Error: the web process ended by itself" in second.said
        assert still_there(children) == []


async def test_dev_stopped_while_it_starts_leaves_nothing_behind(tmp_path: Path) -> None:
    async with terminal(*dev(tmp_path)) as starting:
        await starting.until("starting Kafka")
        async with asyncio.timeout(READY_DEADLINE_S):
            while not (children := list(children_of(starting.process.pid))):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        starting.process.send_signal(signal.SIGINT)

        assert await starting.end() == 0
        assert starting.said.endswith("stopped\n")
        assert still_there(children) == []


@pytest.mark.parametrize("option", ["--kafka-port", "--http-port"])
async def test_dev_says_which_port_is_taken(tmp_path: Path, option: str) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with terminal(*dev(tmp_path), option, str(port)) as refused:
            assert await refused.end() == 1
            assert f"Error: port {port} is in use" in refused.said


async def test_demo_prints_an_answer_with_a_token_and_then_the_same_person_with_the_message() -> None:
    async with terminal("demo") as demo:
        async with asyncio.timeout(READY_DEADLINE_S):
            assert await demo.end() == 0

    contact_ids = set(re.findall(r'"contact": {\s+"id": "([0-9a-f-]{36})"', demo.said))
    tokens = re.findall(r'"resume_token": "(eyJ[\w-]+\.[\w-]+\.[\w-]+)"', demo.said)
    assert len(contact_ids) == 1
    assert len(tokens) == 2
    assert '"text": "Hello, it is me again."' in demo.said
    assert demo.said.index("created") < demo.said.index("The same person")
