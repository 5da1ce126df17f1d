"""Faust's topics stream what the shards have read: batches on their way to the agents."""

import asyncio

import faust

from airy_identify.stream.batch import Delivery


class Inboxes:
    """One queue of deliveries for each topic. At most one batch of every shard is in it, so it needs no bound."""

    def __init__(self) -> None:
        self._queues: dict[str, asyncio.Queue[Delivery]] = {}

    def of(self, topic: str) -> asyncio.Queue[Delivery]:
        """Return the queue of this topic."""
        return self._queues.setdefault(topic, asyncio.Queue())

    def put(self, topic: str, delivery: Delivery) -> None:
        """Hand a batch to the agent of this topic."""
        self.of(topic).put_nowait(delivery)


def shard_topic(inboxes: Inboxes) -> type[faust.Topic]:
    """Return the class for Faust's setting `Topic`: a topic whose stream is the inbox of that topic.

    A value that is no `faust.Event` passes Faust's flow control, generation checks and acknowledgements by; what
    was applied is recorded in the shard's transaction instead.
    """

    class ShardTopic(faust.Topic):
        """A topic that is read by shards."""

        async def __anext__(self) -> Delivery:  # type: ignore[override]
            """Return the next batch; replaces reading the channel's own queue, which Faust's consumer would fill."""
            return await inboxes.of(self.get_topic_name()).get()

    return ShardTopic
