"""Waiting for Airy: rows of its contacts topic are processed when Airy has had the time to apply what was deleted there.

Airy's contacts component hands rows on between its stages when it commits, once a second, each stage for itself. It maps
a conversation to the contact of which it applied a row last, whatever the order in the topic was. So a row that is to
come after a tombstone must be written well after it. How long that is only a clock can tell; what is then done
depends on the log alone.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiokafka.structs import ConsumerRecord

from airy_identify.stream.shard_parts import Prepare, wall_clock_ms

APPLIED_AFTER_MS = 5_000
"""Twice the two commits that a row waits for in Airy. Measured: none of 18 rows was too late after 2 s."""


class AiryPace:
    """What the shards of Airy's contacts topic do before they process records. `after` is done then."""

    def __init__(self, after: Prepare | None, clock_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._after = after
        self._clock_ms = clock_ms

    def __call__(self, records: Sequence[ConsumerRecord], waits: Callable[[str], None]) -> Awaitable[None] | None:
        """Return what has to be awaited: records with a tombstone wait until it is old enough."""
        written = [record.timestamp for record in records if record.value is None]
        wait_ms = 0 if not written else min(APPLIED_AFTER_MS, max(written) + APPLIED_AFTER_MS - self._clock_ms())
        if wait_ms <= 0:
            return None if self._after is None else self._after(records, waits)
        return self._wait(wait_ms / 1000, records, waits)

    async def _wait(self, seconds: float, records: Sequence[ConsumerRecord], waits: Callable[[str], None]) -> None:
        await asyncio.sleep(seconds)
        to_do = None if self._after is None else self._after(records, waits)
        if to_do is not None:
            await to_do
