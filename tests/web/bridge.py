"""A bridge on a free port, with everything behind it played by something in memory that tests can steer."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry

from airy_identify.core.commands import Command, Identify, ReplyTo
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import ChannelId
from airy_identify.intake.policy import IntakePolicy
from airy_identify.telemetry import BridgeMetrics
from airy_identify.web.app import make_app
from airy_identify.web.asking import Answer
from airy_identify.web.auth import SystemToken
from airy_identify.web.bodies import BodyLimits
from airy_identify.web.callers import Callers
from airy_identify.web.client_book import ClientBook
from airy_identify.web.commands import CommandDoor
from airy_identify.web.rate_limit import RateLimit
from airy_identify.web.server import Patience, serving
from airy_identify.wire.airy import Channel
from tests.builders import ACCEPTED_AT_MS, CHANNEL_ID

TOKEN = "the-system-token"
PATH = "/contacts.identify"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
PATIENCE = Patience(linger_s=0.05)
BODY: dict[str, Any] = {"channel_id": CHANNEL_ID, "external_id": "u1"}
FACEBOOK_CHANNEL_ID = "facebook-channel"
DISCONNECTED_CHANNEL_ID = "disconnected-channel"


def make_channel(**over: Any) -> Channel:
    defaults: dict[str, Any] = {
        "id": ChannelId(CHANNEL_ID),
        "source": "chatplugin",
        "source_channel_id": "website",
        "connected": True,
    }
    return Channel(**defaults | over)


class InMemoryChannels(dict[str, Channel]):
    """A plain dict is all that `Channels` asks for."""


class ScriptedAsker:
    """Keeps the commands and answers them as it was told; by default with 200 and the command's own request id."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.arrivals: asyncio.Queue[Command] = asyncio.Queue()
        self.answer: Callable[[Command], Answer | Rejected] = self.echo
        self.held: dict[str, asyncio.Future[Answer | Rejected]] | None = None
        self.given_up: asyncio.Queue[Command] = asyncio.Queue()

    @staticmethod
    def echo(command: Command) -> Answer:
        return Answer(status=200, body=json.dumps({"request_id": command.request_id}).encode())

    @property
    def identified(self) -> list[Identify]:
        """The commands to identify among them."""
        return [command for command in self.commands if isinstance(command, Identify)]

    def hold(self) -> dict[str, "asyncio.Future[Answer | Rejected]"]:
        """Answer nothing from now on until the test sets the future of the request id."""
        self.held = {}
        return self.held

    def reply_to(self) -> ReplyTo:
        return ReplyTo(topic="identify-bridge-responses", partition=3, correlation_id=b"scripted")

    async def ask(self, command: Command) -> Answer | Rejected:
        self.commands.append(command)
        if self.held is None:
            return self.answer(command)
        future: asyncio.Future[Answer | Rejected] = asyncio.get_running_loop().create_future()
        self.held[command.request_id] = future
        self.arrivals.put_nowait(command)
        try:
            return await future
        except asyncio.CancelledError:
            self.given_up.put_nowait(command)
            raise


@dataclass
class Bridge:
    """A running bridge and what a test may turn."""

    asker: ScriptedAsker
    registry: CollectorRegistry
    problems: list[str] = field(default_factory=list)
    callers: Callers | None = None
    book: ClientBook | None = None
    channels_ready: bool = True
    host: str = ""
    port: int = 0
    session: aiohttp.ClientSession = field(init=False)
    stop: Callable[[], Awaitable[None]] = field(init=False)

    async def post(self, body: Any = BODY, *, path: str = PATH, **more: Any) -> tuple[int, Any]:
        """Post JSON with the token and return status and parsed answer."""
        status, answer, _ = await self.send("POST", path, json=body, headers=HEADERS | more.pop("headers", {}), **more)
        return status, answer

    async def send(self, method: str, path: str = PATH, **more: Any) -> tuple[int, Any, Any]:
        """Send anything and return status, parsed answer and headers."""
        async with self.session.request(method, f"http://{self.host}:{self.port}{path}", **more) as response:
            text = await response.text()
            parsed = json.loads(text) if response.content_type == "application/json" and text else text
            return response.status, parsed, response.headers

    def count(self, *, route: str, status: int) -> float:
        """Return how many requests of this kind the metrics have."""
        labels = {"route": route, "status": str(status)}
        return self.registry.get_sample_value("airy_identify_http_requests_total", labels) or 0.0


@asynccontextmanager
async def running_bridge(
    *,
    limits: BodyLimits | None = None,
    grace_s: float = 5.0,
    token: str = TOKEN,
    requests_per_s: int | None = None,
    policy: IntakePolicy | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    patience: Patience = PATIENCE,
    clients_file: Path | None = None,
) -> AsyncIterator[Bridge]:
    """Serve a bridge on a free port within the block."""
    registry = CollectorRegistry()
    bridge = Bridge(asker=ScriptedAsker(), registry=registry)
    uuids = (f"uuid-{number}" for number in itertools.count(1))
    door = CommandDoor(
        asker=bridge.asker,
        channels=InMemoryChannels(
            {
                CHANNEL_ID: make_channel(),
                FACEBOOK_CHANNEL_ID: make_channel(id=FACEBOOK_CHANNEL_ID, source="facebook"),
                DISCONNECTED_CHANNEL_ID: make_channel(id=DISCONNECTED_CHANNEL_ID, connected=False),
            }
        ),
        channels_ready=lambda: bridge.channels_ready,
        policy=policy or IntakePolicy(),
        limits=limits or BodyLimits(),
        clock_ms=lambda: ACCEPTED_AT_MS,
        new_uuid=lambda: next(uuids),
    )
    metrics = BridgeMetrics(registry)
    if clients_file is not None:
        bridge.book = ClientBook(clients_file, metrics)
        bridge.callers = Callers(bridge.book, key=b"k" * 32, clock_s=lambda: ACCEPTED_AT_MS / 1000)
    app = make_app(
        commands=door,
        system_token=SystemToken(token),
        rate_limit=RateLimit(requests_per_s, clock),
        problems=lambda: bridge.problems,
        registry=registry,
        metrics=metrics,
        callers=bridge.callers,
    )
    async with aiohttp.ClientSession() as bridge.session, AsyncExitStack() as stack:
        address = await stack.enter_async_context(
            serving(app, host="127.0.0.1", port=0, grace_s=grace_s, patience=patience)
        )
        bridge.host, bridge.port = address
        bridge.stop = stack.aclose
        yield bridge
        if bridge.callers is not None:
            bridge.callers.close()


def rejected(reason: Reason, field: str | None = None) -> Callable[[Command], Rejected]:
    """Return an asker's answer that refuses everything for this reason."""
    return lambda _command: Rejected(reason=reason, message="as the test has it", field=field)


def error_answer(reason: Reason, status: int) -> Callable[[Command], Answer]:
    """Return an asker's answer as a worker writes an error."""
    body = json.dumps({"message": "as the test has it", "code": reason.value, "field": None, "request_id": "r"})
    return lambda _command: Answer(status=status, body=body.encode())
