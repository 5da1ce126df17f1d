"""What a running shard does about a generation of its table that is wanted: it warms it, until it may turn to it."""

import logging
from collections.abc import Callable

from aiokafka.structs import TopicPartition

from airy_identify.stream.follower import Follower, FollowerState
from airy_identify.stream.shard_parts import ShardEnvironment, ShardSpec
from airy_identify.topics import of_generation
from airy_identify.wire.generations import Generation
from airy_identify.wire.rows import PROGRESS_KEY, decode_progress

logger = logging.getLogger(__name__)

HANDOVER_RECORDS_MAX = 250
"""How many records of the log a shard applies without outputs, at most, when it turns to a new table in good order.

Callers wait meanwhile. A rebuild that follows the log is behind by what is answered in some tenths of a second.
"""
TURNING_RECORDS_MAX = 100
"""How many records shards apply at a time while one of them may turn, or turns.

More of its own at a time would keep the new table far behind, more of others' would hold up its opening.
"""

MakeFollower = Callable[[Generation], Follower]


def follower_of(spec: ShardSpec, partition: int, environment: ShardEnvironment) -> MakeFollower:
    """Return what makes the follower of a generation: of its changelog, into the directory that the shard will have."""

    def make(wanted: Generation) -> Follower:
        changelog = TopicPartition(of_generation(spec.changelog, wanted.generation), partition)
        directory = environment.settings.directory(spec.agent, partition, wanted.generation)
        return Follower(changelog, directory, environment, whole=spec.needs_whole_log)

    return make


class Turning:
    """Follows the changelog of a wanted generation beside the running shard."""

    def __init__(self, make: MakeFollower) -> None:
        self._make = make
        self._wanted: Generation | None = None
        self._follower: Follower | None = None

    @property
    def is_warm(self) -> bool:
        """Whether the wanted generation is followed closely, and may be turned to at any moment."""
        return self._follower is not None and self._follower.state is FollowerState.FOLLOWING

    def ready(self, wanted: Generation | None, *, next_offset: int | None) -> bool:
        """Tell whether the wanted generation may be turned to now: `stop` frees its directory. It never waits.

        `next_offset` is the shard's, null when nothing was applied yet.
        """
        if self._follower is not None and self._follower.state is FollowerState.STOPPED:
            self._follower = None
        if self._follower is None:
            if wanted is not None:
                self._follow(wanted)
            return False
        if self._wanted != wanted:
            self._follower.end()
            return False
        return near(self._follower, next_offset)

    async def stop(self) -> None:
        """End the follower, if there is one."""
        if self._follower is not None:
            self._follower.end()
            await self._follower.ended()
            self._follower = None

    def _follow(self, wanted: Generation) -> None:
        self._wanted = wanted
        self._follower = self._make(wanted)
        self._follower.start(on_death=lambda follower, _: logger.error("the follower of %s died", follower.name))


def near(follower: Follower, next_offset: int | None) -> bool:
    """Tell whether a table stands near enough before this offset of the log; null: nothing was applied yet.

    A table without a progress row is never near one that has one: nobody could tell it from one that was lost. Nor is one
    that is ahead: what it has applied was not answered yet.
    """
    if follower.state is not FollowerState.FOLLOWING:
        return False
    row = follower.row(PROGRESS_KEY)
    if next_offset is None or row is None:
        return next_offset is None and row is None
    behind = next_offset - 1 - decode_progress(row).offset
    return 0 <= behind <= HANDOVER_RECORDS_MAX
