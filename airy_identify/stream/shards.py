"""The shards of one process and its standbys: at most one of either for each partition, as the group decides."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from aiokafka.structs import TopicPartition

from airy_identify.stream.follower import Follower
from airy_identify.stream.shard import Shard
from airy_identify.stream.shard_parts import Occupant, ShardEnvironment, ShardSpec, ShardState
from airy_identify.topics import of_generation
from airy_identify.wire.generations import FIRST

logger = logging.getLogger(__name__)


class ShardSet:
    """Follows the group's assignment. A shard that stays ours runs on through a rebalance: the fence protects it.

    A standby keeps the directory of a partition up to date that somebody else owns. Whoever has a directory next waits
    until the one before has ended.
    """

    def __init__(
        self, specs: Iterable[ShardSpec], environment: ShardEnvironment, *, on_death: Callable[[str], None]
    ) -> None:
        self._specs: Mapping[str, ShardSpec] = {spec.log: spec for spec in specs}
        self._environment = environment
        self._on_death = on_death
        self._occupants: dict[TopicPartition, Shard | Follower] = {}
        self._generation = 0
        self._followed: dict[TopicPartition, int] = {}
        self.stopping = False
        if environment.generations is not None:
            environment.generations.book.listeners.add(self._follow_generations)

    def assign(self, assigned: Iterable[tuple[str, int]], standby: Iterable[tuple[str, int]] = ()) -> None:
        """Take over what the group has given to this member; everything else ends after the batch at hand."""
        if self.stopping:
            return
        self._generation += 1
        ours = self._known(assigned)
        followed = {source for source in self._known(standby) - ours if self._specs[source.topic].has_table}
        for source, occupant in self._occupants.items():
            if source not in (ours if isinstance(occupant, Shard) else followed):
                occupant.end()
        for source in sorted(ours):
            present = self._occupants.get(source)
            if isinstance(present, Shard) and present.wanted:
                present.keep(self._generation)
            else:
                self._start(source, present)
        for source in sorted(followed):
            present = self._occupants.get(source)
            if present is None or not present.wanted:
                self._follow(source, present)
        logger.info(
            "generation %d: %d partitions are ours, and %d we stand by for", self._generation, len(ours), len(followed)
        )

    def _known(self, partitions: Iterable[tuple[str, int]]) -> set[TopicPartition]:
        return {TopicPartition(topic, partition) for topic, partition in partitions if topic in self._specs}

    def _start(self, source: TopicPartition, previous: Occupant | None) -> None:
        shard = Shard(self._specs[source.topic], source.partition, self._environment)
        self._occupants[source] = shard
        shard.start(generation=self._generation, previous=previous, on_death=self._shard_died)

    def _follow(self, source: TopicPartition, previous: Occupant | None) -> None:
        agent = self._specs[source.topic].agent

        def tell(follower: Follower) -> None:
            self._environment.metrics.standby_entered(agent, source.partition, follower.state, follower.behind)

        number = self._followed[source] = self._number(source)
        follower = Follower(
            TopicPartition(of_generation(self._specs[source.topic].changelog, number), source.partition),
            self._environment.settings.directory(agent, source.partition, number),
            self._environment,
            on_change=tell,
        )
        self._occupants[source] = follower
        follower.start(previous=previous, on_death=self._follower_died)

    def _number(self, source: TopicPartition) -> int:
        """Return the generation that the table of a partition has."""
        generations = self._environment.generations
        return (
            FIRST if generations is None else generations.book.number(self._specs[source.topic].agent, source.partition)
        )

    def _follow_generations(self) -> None:
        """Let standbys follow the changelogs that shards have turned to."""
        for source, standby in self.standbys.items():
            if not self.stopping and self._number(source) != self._followed[source]:
                standby.end()
                self._follow(source, standby)

    def _shard_died(self, shard: Shard, task: asyncio.Task[None]) -> None:
        self._died(f"the shard of {shard.source.topic}:{shard.source.partition}", task)

    def _follower_died(self, follower: Follower, task: asyncio.Task[None]) -> None:
        self._died(f"the follower of {follower.name}", task)

    def _died(self, what: str, task: asyncio.Task[None]) -> None:
        """Report what ended although it is wanted, also what "was cancelled"."""
        if self.stopping:
            return
        cause = "was cancelled" if task.cancelled() else f"ended with {task.exception()!r}"
        self._on_death(f"{what} {cause}")

    @property
    def shards(self) -> list[Shard]:
        """The shards that are wanted here now."""
        return [each for each in self._occupants.values() if isinstance(each, Shard) and each.wanted]

    @property
    def standbys(self) -> dict[TopicPartition, Follower]:
        """The standbys that are wanted here now, by the partition of the log whose table they follow."""
        found = self._occupants.items()
        return {source: each for source, each in found if isinstance(each, Follower) and each.wanted}

    def copies(self) -> dict[TopicPartition, int]:
        """Return for which tables there are copies here, and the changelog offset that comes next in each.

        It is 0 for a directory that nobody has open. The group's thread asks while the loop goes on.
        """
        counts, settings = self._environment.settings.partition_counts, self._environment.settings
        found = {
            TopicPartition(spec.log, number): 0
            for spec in self._specs.values()
            if spec.has_table
            for number in range(counts.get(spec.log, 0))
            if (
                settings.directory(spec.agent, number, self._number(TopicPartition(spec.log, number))) / "CURRENT"
            ).exists()
        }
        for source, occupant in list(self._occupants.items()):
            position = occupant.position
            if position is not None and self._specs[source.topic].has_table:
                found[source] = position
        return found

    @property
    def logs(self) -> list[str]:
        """The topics whose partitions shards read."""
        return list(self._specs)

    @property
    def assigned_once(self) -> bool:
        """Whether the group has ever decided about this member."""
        return self._generation > 0

    def problems(self) -> list[str]:
        """Say why not every shard is running; empty when all are. Nothing waits for a standby, so none is named."""
        return [
            f"{shard.source.topic}:{shard.source.partition} is {shard.state}"
            + (f": {shard.reason}" if shard.reason else "")
            for shard in self.shards
            if shard.state is not ShardState.RUNNING
        ]

    async def stop(self) -> None:
        """End all shards after the batch at hand, and all standbys."""
        self.stopping = True
        for occupant in self._occupants.values():
            occupant.end()
        tasks = [occupant.task for occupant in self._occupants.values() if occupant.task is not None]
        if tasks:
            await asyncio.wait(tasks)
