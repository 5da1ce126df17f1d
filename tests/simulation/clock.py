"""Time that passes only when everybody waits: a clock, and an asyncio loop that runs by it."""

import asyncio
import selectors
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar, TypeVarTuple
from unittest.mock import patch

from airy_identify.stream import follower, group, rebuild, shard, shard_parts, transaction

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")

BEGUN_AT_S = 1_700_000_000.0


class Clock:
    """Stands in for the module `time`: `monotonic` is the loop's time, `time` may be put forward."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.put_forward_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return BEGUN_AT_S + self.now_s + self.put_forward_s

    def now_ms(self) -> int:
        return int(self.time() * 1000)

    @contextmanager
    def everywhere(self) -> Iterator[None]:
        """Let the engine read this clock."""
        with ExitStack() as stack:
            for module in (follower, group, rebuild, shard, shard_parts, transaction):
                stack.enter_context(patch.object(module, "time", self))
            yield


class _WaitingIsOver(selectors.BaseSelector):
    """Has nothing to select from: the time that the loop would wait for has passed at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        self._clock.now_s += timeout
        return []

    def register(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def unregister(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def get_map(self) -> Any:
        return {}


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop without sockets, threads or a real clock: the same calls give the same order, every time."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._clock_resolution = 1e-9
        self._selector = _WaitingIsOver(clock)

    def time(self) -> float:
        return self._clock.now_s

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Arguments], Result], *args: *Arguments
    ) -> "asyncio.Future[Result]":
        """Do at once what would be done beside."""
        assert executor is None
        done = self.create_future()
        done.set_result(func(*args))
        return done

    def _write_to_self(self) -> None:
        """Wake nobody: there is one thread. Called for generators that were not read to their end."""

    def _process_events(self, events: list[Any]) -> None:
        assert not events
