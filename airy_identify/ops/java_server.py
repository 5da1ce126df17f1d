"""A server in Java as a child process with a port and a directory: started, stopped, killed, frozen, started again."""

import asyncio
import atexit
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from airy_identify.ops.child import start_child
from airy_identify.ops.errors import OpsError
from airy_identify.ops.java import ClassArchive
from airy_identify.ops.maven import cache_directory
from airy_identify.ops.ports import free_port

_ENDED_IN_GOOD_ORDER = (0, 128 + signal.SIGTERM)
_POLL_S = 0.05


class JavaServer(ABC):
    """What the local broker and the local schema registry have in common. It ends with this process, however that ends.

    A subclass says what it is called in messages, how long it may take, and which error it raises.

    Args:
        directory: Where its data and logs are. The data of an earlier start is found again.
        port: The port of clients; any free one when null.
        cache: Where the program is kept; the user's cache directory when null.
    """

    title: str
    error: type[OpsError]
    start_timeout_s: float
    stop_timeout_s: float
    log_name: str

    def __init__(self, directory: Path, *, port: int | None = None, cache: Path | None = None) -> None:
        self.directory = directory.resolve()
        self.port = free_port() if port is None else port
        self._cache = cache_directory(os.environ) if cache is None else cache
        self._process: subprocess.Popen[bytes] | None = None
        self._archive: ClassArchive | None = None

    @property
    def log_file(self) -> Path:
        """What it has to say."""
        return self.directory / self.log_name

    @property
    def exited(self) -> bool:
        """Whether it does not run: never started, stopped, killed, or dead."""
        return self._process is None or self._process.poll() is not None

    @property
    def process_id(self) -> int | None:
        """Its process, null when it does not run."""
        return None if self._process is None or self.exited else self._process.pid

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ToolMissingError: Java or Maven is missing.
            OpsError: It runs already, its port is taken, it died, or did not answer in time; nothing is left running.
        """
        if not self.exited:
            raise self.error(f"{self.title} on port {self.port} is already running")
        await self._launch()
        atexit.register(self.kill)
        try:
            await self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    async def stop(self) -> None:
        """Stop it in good order, by force when it takes more than `stop_timeout_s` seconds."""
        if not self.exited:
            self.resume()
            self._require().terminate()
            await self._wait_for_exit(self.stop_timeout_s)
        if self._archive is not None and self._process is not None:
            self._archive.keep(whole=self._process.poll() in _ENDED_IN_GOOD_ORDER)
        self.kill()

    def kill(self) -> None:
        """End it at once (kill -9). Does nothing when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._archive is not None:
            self._archive.keep(whole=False)
        self._process = None
        atexit.unregister(self.kill)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing is answered."""
        self._require().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._require().send_signal(signal.SIGCONT)

    @abstractmethod
    async def _launch(self) -> None:
        """Set `_process` and `_archive`."""

    @abstractmethod
    async def _answers(self) -> bool:
        """Return whether it answers a client."""

    def _require(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise self.error(f"{self.title} on port {self.port} is not running")
        return self._process

    def _run(self, command: Sequence[str], output_file: Path) -> "subprocess.Popen[bytes]":
        with output_file.open("ab") as output:
            return start_child(command, output=output, environment=os.environ)

    async def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + self.start_timeout_s
        while not await self._answers():
            if self.exited:
                raise self.error(f"{self.title} ended while it started: see {self.log_file}")
            if time.monotonic() > deadline:
                raise self.error(f"{self.title} did not answer within {self.start_timeout_s} s: see {self.log_file}")
            await asyncio.sleep(_POLL_S)

    async def _wait_for_exit(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not self.exited and time.monotonic() < deadline:  # noqa: ASYNC110 - the end of a process sets no event
            await asyncio.sleep(_POLL_S)
