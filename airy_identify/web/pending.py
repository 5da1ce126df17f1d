"""Who waits for which answer."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from airy_identify.web.asking import Answer


class PendingAnswers:
    """The requests that wait, by correlation id, and how many there may be.

    Nothing stays here longer than the `with` block of its request, whatever ends that.
    """

    def __init__(self, pending_max: int) -> None:
        self._pending_max = pending_max
        self._waiting: dict[bytes, asyncio.Future[Answer]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether one more would be too many."""
        return len(self._waiting) >= self._pending_max

    @contextmanager
    def expect(self, correlation_id: bytes) -> Iterator[asyncio.Future[Answer]]:
        """Wait for the answer with this id within the block."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[correlation_id] = future
        try:
            yield future
        finally:
            self._waiting.pop(correlation_id, None)
            future.cancel()

    def find(self, correlation_id: bytes | None) -> asyncio.Future[Answer] | None:
        """Return who waits for the answer with this id; null for a duplicate, a late one, another bridge's."""
        future = None if correlation_id is None else self._waiting.get(correlation_id)
        return None if future is None or future.done() else future
