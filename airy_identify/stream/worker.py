"""The life of a worker: from waiting for Kafka to the last batch. Every task is supervised; nothing dies quietly."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import faust

from airy_identify.kafka import KafkaClients, quieten_lost_futures, wait_for_broker
from airy_identify.stream.app import AgentSpec, make_app
from airy_identify.stream.authorization import explained
from airy_identify.stream.batch import Delivery
from airy_identify.stream.broker_probe import BrokerProbe
from airy_identify.stream.control import ControlReader
from airy_identify.stream.faust_overrides.membership import MemberConsumer
from airy_identify.stream.generations import Generations
from airy_identify.stream.group import cluster_id
from airy_identify.stream.membership import Membership
from airy_identify.stream.metrics import ShardMetrics
from airy_identify.stream.shard_parts import KeepAnswer, ShardEnvironment, ShardSettings, ShardSpec
from airy_identify.stream.shards import ShardSet
from airy_identify.stream.skips import Skipping
from airy_identify.stream.store import StoreMemory
from airy_identify.stream.watchdog import Watchdog, WatchdogLimits
from airy_identify.wire.generations import GenerationBook

logger = logging.getLogger(__name__)

FATAL_EXIT_CODE = 1
_GROUP_CHECK_S = 1.0


def end_process(reason: str) -> None:
    """End the process at once: whatever was under way is decided by the fence and the progress row."""
    logger.critical("ending the process: %s", reason)
    logging.shutdown()
    os._exit(FATAL_EXIT_CODE)


class FollowedChannels(Protocol):
    """Airy's channels, read before the first batch and followed from then on: `intake.channel_reader`.

    `problem` says why they are not up to date, null while they are.
    """

    problem: str | None

    async def wait_until_ready(self) -> None:
        """Return once the directory is complete."""

    async def run(self) -> None:
        """Follow until cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerParts:
    """What a worker is made of. `check` returns why the topics are not as they have to be; `generations` is a topic.

    `check_schemas` does the same for the schema registry, null when there is none; it is told whom to tell that it waits.
    """

    clients: KafkaClients
    channels: FollowedChannels
    skipping: Skipping
    generations: str
    agents: tuple[AgentSpec, ...]
    shards: tuple[ShardSpec, ...]
    shard_settings: ShardSettings
    limits: WatchdogLimits
    metrics: ShardMetrics
    keep_answer: KeepAnswer
    check: Callable[[], Awaitable[list[str]]]
    check_schemas: Callable[[Callable[[str], None]], Awaitable[list[str]]] | None = None


class TopicsNotReadyError(Exception):
    """The topics are missing or wrong.

    Operator action: `airy-identify topics check` names them all, `airy-identify topics create` makes missing ones.
    """


class SchemasNotReadyError(Exception):
    """The schemas of answers are not in the registry.

    Operator action: `airy-identify schemas register`.
    """


class Worker:
    """Runs until `stop` is called. `problems` says why it is not ready."""

    def __init__(self, parts: WorkerParts, fatal: Callable[[str], None] = end_process) -> None:
        self._parts = parts
        self._fatal = fatal
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._shards: ShardSet | None = None
        self._probe = BrokerProbe(parts.clients)
        self._phase = "waiting for Kafka"
        self._group_problem: str | None = None
        self._cluster_id: str | None = None
        self._generations: Generations | None = None

    def stop(self) -> None:
        """Ask for the end, after the batches at hand."""
        self._stopping.set()

    def problems(self) -> list[str]:
        """Say why this worker is not ready; empty when it is."""
        channels = self._parts.channels.problem
        behind = [] if channels is None else [f"channels: {channels}"]
        outside = [] if self._group_problem is None else [f"joining the group: {self._group_problem}"]
        if self._shards is None or not self._shards.assigned_once:
            return [*(outside or [self._phase]), *behind]
        gone = [] if self._probe.problem is None else [self._probe.problem]
        return [*gone, *outside, *self._shards.problems(), *behind]

    async def run(self) -> None:
        """Live. Raises `TopicsNotReadyError` and `SchemasNotReadyError`."""
        quieten_lost_futures(asyncio.get_running_loop())
        try:
            if await self._unless_stopped(self._prepare()):
                await self._work()
        finally:
            self._stopping.set()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _prepare(self) -> None:
        await wait_for_broker(self._parts.clients)
        self._phase = "checking topics"
        if problems := await self._parts.check():
            raise TopicsNotReadyError("\n".join(problems))
        if self._parts.check_schemas is not None:
            self._enter("asking the schema registry")
            if problems := await self._parts.check_schemas(self._enter):
                raise SchemasNotReadyError("\n".join(problems))
        self._phase = "reading channels"
        self._supervise("the channel reader", self._parts.channels.run())
        await self._parts.channels.wait_until_ready()
        self._phase = "reading skips"
        skipping, clients = self._parts.skipping, self._parts.clients
        skips = ControlReader(clients, skipping.topic, skipping.book.apply)
        self._supervise("the reader of skips", skips.run())
        await skips.wait_until_ready()
        self._phase = "reading generations"
        book, topic = GenerationBook(), self._parts.generations
        reader = ControlReader(clients, topic, lambda record: book.apply(record.value))
        self._supervise("the reader of generations", reader.run())
        await reader.wait_until_ready()
        self._generations = Generations(book=book, topic=topic, reader=reader, skips=skips)
        self._cluster_id = await cluster_id(self._parts.clients)
        self._phase = "joining the group"

    def _enter(self, phase: str) -> None:
        if phase != self._phase:
            logger.info("starting: %s", phase)
        self._phase = phase

    async def _work(self) -> None:
        settings = self._parts.shard_settings
        membership = Membership(
            tables=[spec.log for spec in self._parts.shards if spec.has_table],
            standby_replicas=settings.standby_replicas,
        )
        app, inboxes = make_app(
            app_id=settings.app_id,
            bootstrap_servers=self._parts.clients.bootstrap_servers,
            session_timeout_s=settings.session_timeout_s,
            data_dir=settings.data_dir,
            agents=self._parts.agents,
            membership=membership,
            group_instance_id=settings.group_instance_id,
        )
        logs = {spec.agent: spec.log for spec in self._parts.shards}

        def deliver(agent: str, delivery: Delivery) -> None:
            inboxes.put(logs[agent], delivery)

        memory = StoreMemory()
        self._parts.metrics.watch_store_memory(memory.used)
        environment = ShardEnvironment(
            settings=settings,
            clients=self._parts.clients,
            memory=memory,
            metrics=self._parts.metrics,
            deliver=deliver,
            keep_answer=self._parts.keep_answer,
            skipping=self._parts.skipping,
            generations=self._generations,
            cluster_id=self._cluster_id,
        )
        shards = self._shards = ShardSet(self._parts.shards, environment, on_death=self._fatal)
        membership.copies = shards.copies
        follow_assignment(app, shards, membership)
        watchdog = Watchdog(
            clients=self._parts.clients,
            shards=shards,
            group_id=settings.app_id,
            limits=self._parts.limits,
            fatal=self._fatal,
        )
        self._supervise("the watchdog", watchdog.run())
        self._supervise("the probe of the broker", self._probe.run())
        self._supervise("the membership in the group", self._stay_in_group(app))
        await app.start()
        self._supervise("Faust", app.wait_until_stopped())
        await self._stopping.wait()
        await shards.stop()
        await app.stop()

    async def _stay_in_group(self, app: faust.App) -> None:
        """Join the group again after errors, and say which there were."""
        while True:
            await asyncio.sleep(_GROUP_CHECK_S)
            member = cast(MemberConsumer, app.consumer)
            member.take_group_error()
            error = member.group_error
            problem = None if error is None else explained(error)
            if problem is not None and problem != self._group_problem:
                logger.warning("the group does not take this worker in: %s", problem)
            self._group_problem = problem

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do the work, or drop it when the stop is asked for; return whether it was done."""
        task, stop = asyncio.ensure_future(work), asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
            return False
        task.result()
        return True

    def _supervise(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a task that may only end when the worker does."""

        def ended(task: asyncio.Task[None]) -> None:
            if not self._stopping.is_set():
                self._fatal(f"{name} ended: {'it was cancelled' if task.cancelled() else repr(task.exception())}")

        task = asyncio.create_task(work, name=name)
        task.add_done_callback(ended)
        self._tasks.append(task)


def follow_assignment(app: faust.App, shards: ShardSet, membership: Membership) -> None:
    """Let the shards and standbys begin and end as Faust's group decides."""

    @app.on_partitions_assigned.connect(weak=False)
    async def assigned(_app: Any, assigned: Iterable[tuple[str, int]], **_: Any) -> None:  # noqa: ANN401
        shards.assign(assigned, membership.standby)
