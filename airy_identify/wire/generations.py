"""The values of the topic `<app>-generations`: which changelog a table partition has now, and which is being made.

A generation is one changelog of a table. The first has no number in its name; each rebuild makes another. For each
partition there is one record of each state: what is being built, what is wanted, what is current. `current` is written
by whoever has the shard, with the shard's own producer, so a former owner cannot write it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from airy_identify.wire import schemas
from airy_identify.wire.errors import UndecodableError

logger = logging.getLogger(__name__)

GENERATION_RECORD = "airy_identify.GenerationRecord"

FIRST = 1
BUILDING, WANTED, CURRENT = "building", "wanted", "current"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What is decided about one partition of a table.

    `handed_over_at` is the offset of the log up to which earlier generations have given all outputs: whoever applies
    records up to there to this generation gives none. Null when nothing had been applied.
    """

    agent: str
    partition: int
    generation: int
    state: str
    by: str
    written_at_ms: int
    handed_over_at: int | None = None


def encode_generation_key(generation: Generation) -> bytes:
    """Return the key: compaction keeps the last record of each state."""
    return f"{generation.state}:{generation.agent}:{generation.partition}".encode()


def encode_generation(generation: Generation) -> bytes:
    """Return the record in single-object encoding."""
    return schemas.encode(GENERATION_RECORD, {name: getattr(generation, name) for name in Generation.__slots__})


def decode_generation(data: bytes) -> Generation:
    """Return the record that `encode_generation` wrote. Raises `UndecodableError`."""
    return Generation(**schemas.decode_as(GENERATION_RECORD, data))


class GenerationBook:
    """What the topic says. `listeners` are called after every change."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str, int], Generation] = {}
        self.listeners: set[Callable[[], object]] = set()

    def apply(self, value: bytes | None) -> None:
        """Take in a record of the topic. One that is none is passed by and said."""
        if value is None:
            return
        try:
            record = decode_generation(value)
        except UndecodableError as error:
            logger.error("a record of the topic of generations cannot be read: %s", error)  # noqa: TRY400 - the traceback says nothing more
            return
        place = (record.state, record.agent, record.partition)
        if (known := self._records.get(place)) is not None and record.generation < known.generation:
            return  # the topic is read again from its start, where earlier ones may still be
        self._records[place] = record
        for listener in tuple(self.listeners):
            listener()

    def current(self, agent: str, partition: int) -> Generation | None:
        """Return the generation that a shard has; null for the first."""
        return self._records.get((CURRENT, agent, partition))

    def number(self, agent: str, partition: int) -> int:
        """Return the number of the generation that a shard has."""
        current = self.current(agent, partition)
        return FIRST if current is None else current.generation

    def wanted(self, agent: str, partition: int) -> Generation | None:
        """Return the generation that a shard is to turn to, unless it has it or a later one."""
        return self._later(WANTED, agent, partition)

    def building(self, agent: str, partition: int) -> Generation | None:
        """Return the generation that is being built, unless the shard has it or a later one."""
        return self._later(BUILDING, agent, partition)

    def highest(self, agent: str) -> int:
        """Return the highest number that any partition of the table has, is to have, or was begun for."""
        return max((each.generation for (_, name, _), each in self._records.items() if name == agent), default=FIRST)

    def in_use(self, agent: str, partitions: int) -> set[int]:
        """Return the numbers of all generations that some partition has, or that are being built."""
        found = {self.number(agent, partition) for partition in range(partitions)}
        building = (self.building(agent, partition) for partition in range(partitions))
        return found | {each.generation for each in building if each is not None}

    def _later(self, state: str, agent: str, partition: int) -> Generation | None:
        record = self._records.get((state, agent, partition))
        if record is None or record.generation <= self.number(agent, partition):
            return None
        return record
