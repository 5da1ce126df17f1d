"""Faust's consumer is a member of the group and reads nothing: shards read their partitions themselves."""

from collections.abc import AsyncIterator
from typing import Any

import faust
from faust.transport.drivers import aiokafka as driver
from faust.types import TP


class MemberConsumer(driver.Consumer):
    """Takes part in the group; what it would fetch is fetched by the shards.

    Replaces `faust.transport.drivers.aiokafka.Consumer`. Batches read by one shared consumer were lost when a seek
    was issued while a fetch was under way; a reader of its own for each shard has nothing to seek back.
    """

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109 - Faust's signature
        """Yield nothing, at the pace of the time-out, so that Faust's fetch loop idles."""
        await self.sleep(timeout)
        nothing: tuple[tuple[TP, Any], ...] = ()
        for pair in nothing:
            yield pair

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Keep quiet: Faust would warn every few seconds that a partition which it does not fetch stands still."""


class MembershipTransport(driver.Transport):
    """The aiokafka transport with that consumer."""

    Consumer = MemberConsumer


class MembershipApp(faust.App):
    """A Faust app whose consumer only holds its place in the group."""

    def _new_transport(self) -> MembershipTransport:
        """Return our transport. Faust finds transports by URL scheme and has no setting for a class."""
        return MembershipTransport(self.conf.broker_consumer, self)
