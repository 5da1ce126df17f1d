"""A worker or a bridge as a child process, as `dev` and `demo` run them."""

import asyncio
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from airy_identify.ops.child import start_child
from airy_identify.ops.errors import OpsError

STOP_TIMEOUT_S = 15.0
_POLL_S = 0.05
_PROBE_TIMEOUT_S = 2.0
_LINES_SHOWN = 5


class Service:
    """One child process, `python -m airy_identify worker` or `web`.

    Args:
        command: `worker` or `web`.
        port: Where it answers `/readyz`.
        environment: Its whole environment.
        log_file: Where its log lines go.
    """

    def __init__(self, command: str, *, port: int, environment: Mapping[str, str], log_file: Path) -> None:
        self.command = command
        self.log_file = log_file
        self._ready_url = f"http://127.0.0.1:{port}/readyz"
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def died(self) -> bool:
        """Whether it was started and has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    @property
    def process_id(self) -> int | None:
        """The process, null when it does not run."""
        return None if self._process is None or self.died else self._process.pid

    def start(self) -> None:
        """Start the process."""
        with self.log_file.open("ab") as output:
            command = [sys.executable, "-m", "airy_identify", self.command]
            self._process = start_child(command, output=output, environment=self._environment)

    async def wait_until_ready(self, timeout_s: float) -> None:
        """Return when it says that it is ready.

        Raises:
            OpsError: It ended, or is not ready in time; the text has the last it said.
        """
        deadline = time.monotonic() + timeout_s
        while (answer := await asyncio.to_thread(_get, self._ready_url)) != "ready":
            if self.died:
                raise OpsError(f"the {self.command} process ended:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise OpsError(
                    f"the {self.command} process is not ready after {timeout_s:g} s: {answer}; see {self.log_file}"
                )
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """Tell it to stop, wait for it, and kill it when that takes too long. Does nothing when it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - the end of a process sets no event
            await asyncio.sleep(_POLL_S)
        process.kill()
        process.wait()

    def last_words(self) -> str:
        """Return the last lines of its log."""
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LINES_SHOWN:])


def _get(url: str) -> str:
    """Return `ready`, or why not."""
    try:
        with urllib.request.urlopen(url, timeout=_PROBE_TIMEOUT_S):  # noqa: S310 - http, built above
            return "ready"
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode(errors="replace")
    except OSError as error:
        return f"no answer ({error})"
