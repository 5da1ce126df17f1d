"""The shards of one process: at most one for each partition, begun and ended as the group decides."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from aiokafka.structs import TopicPartition

from airy_identify.stream.shard import Shard
from airy_identify.stream.shard_parts import ShardEnvironment, ShardSpec, ShardState

logger = logging.getLogger(__name__)


class ShardSet:
    """Follows the group's assignment. A shard that stays ours runs on through a rebalance: the fence protects it."""

    def __init__(
        self, specs: Iterable[ShardSpec], environment: ShardEnvironment, *, on_death: Callable[[str], None]
    ) -> None:
        self._specs: Mapping[str, ShardSpec] = {spec.log: spec for spec in specs}
        self._environment = environment
        self._on_death = on_death
        self._shards: dict[TopicPartition, Shard] = {}
        self._generation = 0
        self.stopping = False

    def assign(self, assigned: Iterable[tuple[str, int]]) -> None:
        """Take over what the group has given to this member; everything else ends after the batch at hand."""
        if self.stopping:
            return
        self._generation += 1
        ours = {TopicPartition(topic, partition) for topic, partition in assigned if topic in self._specs}
        for source, shard in self._shards.items():
            if source not in ours:
                shard.revoke()
        for source in sorted(ours):
            present = self._shards.get(source)
            if present is not None and present.wanted:
                present.keep(self._generation)
            else:
                self._start(source, present)
        logger.info("generation %d: %d partitions are ours", self._generation, len(ours))

    def _start(self, source: TopicPartition, previous: Shard | None) -> None:
        shard = Shard(self._specs[source.topic], source.partition, self._environment)
        self._shards[source] = shard
        shard.start(generation=self._generation, previous=previous, on_death=self._died)

    def _died(self, shard: Shard, task: asyncio.Task[None]) -> None:
        """Report a shard that ended although it is wanted, also one that "was cancelled"."""
        if self.stopping:
            return
        cause = "was cancelled" if task.cancelled() else f"ended with {task.exception()!r}"
        self._on_death(f"the shard of {shard.source.topic}:{shard.source.partition} {cause}")

    @property
    def shards(self) -> list[Shard]:
        """The shards that are wanted here now."""
        return [shard for shard in self._shards.values() if shard.wanted]

    @property
    def logs(self) -> list[str]:
        """The topics whose partitions shards read."""
        return list(self._specs)

    @property
    def assigned_once(self) -> bool:
        """Whether the group has ever decided about this member."""
        return self._generation > 0

    def problems(self) -> list[str]:
        """Say why not every shard is running; empty when all are."""
        return [
            f"{shard.source.topic}:{shard.source.partition} is {shard.state}"
            + (f": {shard.reason}" if shard.reason else "")
            for shard in self.shards
            if shard.state is not ShardState.RUNNING
        ]

    async def stop(self) -> None:
        """End all shards after the batch at hand."""
        self.stopping = True
        for shard in self._shards.values():
            shard.revoke()
        await asyncio.gather(*(shard.ended() for shard in self._shards.values()))
