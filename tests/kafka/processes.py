"""Worker and bridge processes of a test: started, killed, frozen, and ended by their id whatever happens."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from airy_identify.ops.child import start_child
from airy_identify.ops.ports import free_port
from airy_identify.settings import Settings, to_environment

READY_DEADLINE_S = 90.0
STOP_DEADLINE_S = 40.0
POLL_S = 0.05


def environment_of(settings: Settings, **overrides: object) -> dict[str, str]:
    """Return the environment of a process with these settings."""
    values = settings.model_dump(exclude_defaults=True) | overrides
    values |= {name: "*" for name in ("requests_tenants", "requests_channels") if name in values and not values[name]}
    for secret in ("system_token", "jwt_secret", "jwt_previous_secret"):
        if (value := getattr(settings, secret)) is not None:
            values[secret] = value.get_secret_value()
    texts = {name: _text(value) for name, value in values.items()}
    return dict(os.environ) | to_environment(texts) | {"PYTHONUNBUFFERED": "1"}


def _text(value: object) -> str:
    if isinstance(value, frozenset):
        return ",".join(sorted(value))
    if isinstance(value, Mapping):
        return "{" + ",".join(f'"{key}":"{item}"' for key, item in value.items()) + "}"
    return str(value)


class ServiceProcess:
    """`python -m airy_identify worker` or `web`."""

    def __init__(
        self, command: str, settings: Settings, directory: Path, *, name: str = "one", measured: bool = False
    ) -> None:
        """Prepare a process. `measured`: for coverage, which slows it down, and tells nothing when it is killed."""
        self.command = command
        self.port = free_port()
        self.data_dir = directory / f"{name}-state"
        self.log_file = directory / f"{name}-{command}.log"
        ports = {"worker_port": self.port} if command == "worker" else {"http_port": self.port}
        self._environment = environment_of(settings, data_dir=self.data_dir, **ports)
        if not measured:
            self._environment = {name: text for name, text in self._environment.items() if "COVERAGE" not in name}
        self._process: subprocess.Popen[bytes] | None = None

    def settle(self, **variables: object) -> None:
        """Change settings for the next start; `data_dir` moves the state too, which is the caller's to do."""
        self._environment |= to_environment({name: _text(value) for name, value in variables.items()})
        self.data_dir = Path(str(variables.get("data_dir", self.data_dir)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    def start(self) -> "ServiceProcess":
        return self.run([sys.executable, "-m", "airy_identify", self.command], self._environment)

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> "ServiceProcess":
        """Start it by another command, and with another environment."""
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as output:
            self._process = start_child(command, output=output, environment=environment)
        return self

    def kill(self) -> None:
        """End it at once (kill -9). Does nothing when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def terminate(self) -> int:
        """End it in good order and return its exit code; the test fails when that takes too long."""
        self.send(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(STOP_DEADLINE_S):
            while (code := self.exit_code) is None:  # noqa: ASYNC110 - the end of a process sets no event
                await asyncio.sleep(POLL_S)
        return code

    def wipe(self) -> None:
        """Throw the local state away."""
        shutil.rmtree(self.data_dir, ignore_errors=True)

    async def status(self, path: str = "/readyz") -> tuple[int, str]:
        """Return status and body of a probe; 0 when nobody listens."""
        return await asyncio.to_thread(_get, self.url + path)

    async def until_ready(self) -> "ServiceProcess":
        async with asyncio.timeout(READY_DEADLINE_S):
            while (answer := await self.status())[0] != 200:
                assert self.runs, f"{self.command} ended: {self.log_file.read_text()[-3000:]}\n{answer}"
                await asyncio.sleep(POLL_S)
        return self


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


@asynccontextmanager
async def ended_afterwards(*processes: ServiceProcess) -> AsyncIterator[None]:
    """Kill by process id whatever still runs at the end of the block, also when the test fails."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
