"""Waiting for what no event tells of; the deadline is only there so that a defect ends in a failure."""

import asyncio
from collections.abc import Callable

DEADLINE_S = 60


async def until(condition: Callable[[], bool], *, poll_s: float = 0) -> None:
    """Return as soon as the condition holds."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - see the module
            await asyncio.sleep(poll_s)
