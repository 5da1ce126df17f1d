"""A client of Kafka that is kept: opened again whenever it breaks, and never silently gone."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import Any

from aiokafka.errors import KafkaError

logger = logging.getLogger(__name__)

_STOP_TIMEOUT_S = 8.0
"""Longer than it takes to close a client that hangs."""


class KafkaLinkError(Exception):
    """The client can no longer be relied on; the next one takes its place.

    Operator action: none while it comes back by itself. The readiness of the bridge says what is wrong.
    """

    retriable = True


async def bounded(awaitable: Awaitable[Any], *, timeout_s: float) -> Any:  # noqa: ANN401 - aiokafka has no types
    """Await something of a Kafka client for a limited time, in a task of its own.

    In a task, because aiokafka raises `CancelledError` into its callers when a client closes under them, which would
    look like being cancelled oneself.

    Raises:
        KafkaLinkError: It took too long, or was cancelled although nobody here asked for that.
    """
    task = asyncio.ensure_future(awaitable)
    task.add_done_callback(retrieve)  # also when nobody waits any more
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            raise KafkaLinkError(f"no answer from Kafka in {timeout_s:g} s")
        if task.cancelled():
            raise KafkaLinkError("the client was closed meanwhile")
        return task.result()
    finally:
        task.cancel()


class KafkaLink(ABC):
    """A supervised task that holds one client.

    `problem` says why it cannot be used now and is null while it can. `_hold` opens the client, calls `_well`, and
    returns when `_stopping` is set or raises when the client broke; then it is called again, until the link is stopped.
    """

    def __init__(self, name: str, *, retry_s: float) -> None:
        self.name = name
        self.problem: str | None = f"{name}: not connected to Kafka yet"
        self._retry_s = retry_s
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def _hold(self) -> None:
        """Open the client, use it until it breaks or the link is stopped, and close it in any case."""

    def start(self) -> None:
        """Start the task. It needs no Kafka yet."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name=self.name)

    async def stop(self) -> None:
        """End the task and close the client, within bounded time."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=_STOP_TIMEOUT_S)
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_STOP_TIMEOUT_S)
        self.problem = f"{self.name}: stopped"

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._hold()
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                self._broke(KafkaLinkError("the client was closed meanwhile"))
            except Exception as error:  # noqa: BLE001 - whatever breaks a link is said, and mended by opening it again
                self._broke(error)
            await self._pause(self._retry_s)

    def _well(self) -> None:
        if self.problem is not None:
            logger.info("%s: connected", self.name)
        self.problem = None

    def _broke(self, error: BaseException) -> None:
        problem = f"{self.name}: {str(error) or type(error).__name__}"
        if problem != self.problem:  # once, not once a second for as long as it lasts
            logger.warning("%s", problem, exc_info=None if _expected(error) else error)
        self.problem = problem

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass


def _expected(error: BaseException) -> bool:
    return isinstance(error, (KafkaLinkError, KafkaError, OSError))


def retrieve(task: asyncio.Future[Any]) -> None:
    """Take note of how a task ended that nobody may be waiting for, so that asyncio does not complain."""
    if not task.cancelled():
        task.exception()
