"""Faust's consumer is a member of the group and reads nothing: shards read their partitions themselves."""

from collections.abc import AsyncIterator
from typing import Any

import faust
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP


class MemberConsumer(driver.Consumer):
    """Takes part in the group; what it would fetch is fetched by the shards.

    Replaces `faust.transport.drivers.aiokafka.Consumer`. Batches read by one shared consumer were lost when a seek
    was issued while a fetch was under way; a reader of its own for each shard has nothing to seek back.
    """

    group_error: KafkaError | None = None

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109 - Faust's signature
        """Yield nothing, at the pace of the time-out, so that Faust's fetch loop idles."""
        await self.sleep(timeout)
        nothing: tuple[tuple[TP, Any], ...] = ()
        for pair in nothing:
            yield pair

    def take_group_error(self) -> None:
        """Let the group be joined again after an error, and say which one it was in `group_error`.

        aiokafka joins no group again until its user has been told of an error, by the next poll. Faust polls another
        way and never is told: a worker whose ACL came a minute late would have waited for ever, without a word.
        """
        consumer = self._thread._consumer  # noqa: SLF001 - Faust's thread shows it to nobody
        if consumer is not None and consumer._coordinator is not None:  # noqa: SLF001 - as Faust itself does
            self._thread.thread_loop.call_soon_threadsafe(self._check, consumer._coordinator)  # noqa: SLF001 - the same

    def _check(self, coordinator: GroupCoordinator) -> None:
        try:
            coordinator.check_errors()
        except KafkaError as error:
            self.group_error = error
        else:
            self.group_error = None

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
