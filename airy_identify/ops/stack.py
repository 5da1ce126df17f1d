"""Everything on one machine: Kafka, topics, sample channels, one worker, one bridge. For `dev` and `demo`."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from airy_identify.core.values import ChannelId
from airy_identify.ops.ask import send
from airy_identify.ops.errors import OpsError
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.ops.ports import free_port, require_free
from airy_identify.ops.secrets_file import LocalSecrets, keep_secrets
from airy_identify.ops.service import Service
from airy_identify.ops.topics import check_topics, create_topics
from airy_identify.settings import Settings, load_settings, to_environment
from airy_identify.topics import AIRY_PARTITIONS, declare, declare_airy
from airy_identify.wire.airy import Channel, encode_channel

SAMPLE_CHANNEL = "a1c0ffee-0000-4000-8000-000000000001"
"""The chat-plugin channel of a local installation when none is named."""

READY_TIMEOUT_S = 60.0
_WATCH_EVERY_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """What is asked for. Ports are any free ones when null, secrets are kept or made when null."""

    directory: Path
    http_port: int | None = None
    kafka_port: int | None = None
    system_token: str | None = None
    jwt_secret: str | None = None
    channels: Sequence[str] = ()


class Stack:
    """The running things, started one after the other and ended in the opposite order.

    `say` is told what is going on. All files are in the directory: Kafka's data, the worker's state, logs, secrets.
    """

    def __init__(self, options: StackOptions, say: Callable[[str], None]) -> None:
        self.directory = options.directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._say = say
        self.channels = tuple(options.channels) or (SAMPLE_CHANNEL,)
        self.secrets: LocalSecrets = keep_secrets(
            self.directory, system_token=options.system_token, jwt_secret=options.jwt_secret
        )
        self.broker = LocalKafka(self.directory / "kafka", port=options.kafka_port)
        self._environment = self._make_environment(options.http_port or free_port())
        self.settings: Settings = load_settings(self._environment)
        self._worker = self._service("worker", self.settings.worker_port)
        self._bridge = self._service("web", self.settings.http_port)

    @property
    def url(self) -> str:
        """Where the bridge answers."""
        return f"http://127.0.0.1:{self.settings.http_port}"

    @property
    def process_ids(self) -> dict[str, int]:
        """The processes that run, by name."""
        found = {"worker": self._worker.process_id, "bridge": self._bridge.process_id, "Kafka": self.broker.process_id}
        return {name: process_id for name, process_id in found.items() if process_id is not None}

    async def start(self) -> None:
        """Start everything and wait until requests are answered.

        Raises:
            ToolMissingError: Java or Maven is missing.
            OpsError: Something did not start. `stop` has to be called all the same.
        """
        require_free(self.settings.http_port)
        self._say("starting Kafka")
        await self.broker.start()
        await self._prepare()
        self._say("starting the worker and the bridge")
        self._worker.start()
        self._bridge.start()
        await asyncio.gather(*(service.wait_until_ready(READY_TIMEOUT_S) for service in (self._worker, self._bridge)))

    async def watch(self, stopping: asyncio.Event) -> None:
        """Return when the stop is asked for.

        Raises:
            OpsError: A process ended by itself.
        """
        while not stopping.is_set():
            for service in (self._worker, self._bridge):
                if service.died:
                    raise OpsError(f"the {service.command} process ended by itself:\n{service.last_words()}")
            if self.broker.exited:
                raise OpsError(f"Kafka ended by itself: see {self.broker.log_file}")
            await asyncio.sleep(_WATCH_EVERY_S)

    async def stop(self) -> None:
        """End everything that was started: the bridge, the worker, Kafka."""
        await self._bridge.stop()
        await self._worker.stop()
        await self.broker.stop()

    async def _prepare(self) -> None:
        """Create the topics and put the channels in."""
        names, servers = self.settings.topic_names, self.settings.kafka_bootstrap_servers
        partitions = self.settings.partitions
        ours = declare(names, partitions=partitions, messages_partitions=AIRY_PARTITIONS, production=False)
        declarations = (*declare_airy(names), *ours)
        await create_topics(servers, declarations, replication_factor=1)
        if problems := await check_topics(servers, declarations):
            raise OpsError("\n".join(str(problem) for problem in problems))
        for channel_id in self.channels:
            channel = Channel(id=ChannelId(channel_id), source="chatplugin", source_channel_id="sample", connected=True)
            await send(self.settings, names.airy_channels, channel_id.encode(), encode_channel(channel))

    def _make_environment(self, http_port: int) -> dict[str, str]:
        """Return this process's environment with the settings that are ours to decide."""
        decided = {
            "kafka_bootstrap_servers": self.broker.bootstrap_servers,
            "data_dir": self.directory / "state",
            "system_token": self.secrets.system_token,
            "jwt_secret": self.secrets.jwt_secret,
            "http_host": "127.0.0.1",
            "http_port": http_port,
            "worker_host": "127.0.0.1",
            "worker_port": free_port(),
            "replication_factor": 1,
        }
        return dict(os.environ) | to_environment(decided) | {"PYTHONUNBUFFERED": "1"}

    def _service(self, command: str, port: int) -> Service:
        log_file = self.directory / f"{command}.log"
        return Service(command, port=port, environment=self._environment, log_file=log_file)
