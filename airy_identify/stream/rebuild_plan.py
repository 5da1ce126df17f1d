"""What a rebuild can make again, and what not: said before anything is written."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from airy_identify.kafka import KafkaClients, close_client
from airy_identify.stream.opening import LogRange, read_range
from airy_identify.stream.rebuild_evidence import Answered, Evidence, RunningTable
from airy_identify.stream.rebuild_table import RebuiltTable
from airy_identify.wire.generations import FIRST, Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far back the log of a partition reaches, and up to where it was answered.

    `begin` and `end` are the log's offsets, `began_at_ms` when its first record was written; null when it is empty.
    `whole`: everything can be made again. `problems` is what cannot, or what is missing.
    """

    table: str
    partition: int
    generation: int
    building: int | None
    log: str
    begin: int
    end: int
    began_at_ms: int | None
    answered: Answered
    whole: bool
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """How to look. `data_dir` is where the worker of this machine keeps its directories."""

    clients: KafkaClients
    app_id: str
    data_dir: Path

    async def look(
        self,
        table: RebuiltTable,
        changelog: TopicPartition,
        directories: Sequence[Path],
        *,
        current: Generation | None,
        building: int | None,
    ) -> Reach:
        """Return what is there of a partition. `changelog` is the running one. Raises `KafkaError`."""
        log = TopicPartition(table.log, changelog.partition)
        consumers = [self.clients.consumer(fetch_max_wait_ms=20) for _ in range(2)]
        try:
            for consumer in consumers:
                await consumer.start()
            running = await RunningTable(consumers[1], changelog).look()
            with tempfile.TemporaryDirectory(prefix="airy-identify-rebuild-") as scratch:
                evidence = Evidence(
                    clients=self.clients,
                    group_id=self.app_id,
                    directories=directories,
                    scratch=Path(scratch),
                )
                answered, found = await evidence.answered(running, current, log, consumers[0])
            began_at_ms = await _time_of_first(consumers[0], found)
        finally:
            for consumer in consumers:
                await close_client(consumer)
        return Reach(
            table=table.name,
            partition=changelog.partition,
            generation=FIRST if current is None else current.generation,
            building=building,
            log=table.log,
            begin=found.begin,
            end=found.end,
            began_at_ms=began_at_ms,
            answered=answered,
            whole=table.process is None or found.begin == 0,
            problems=tuple(_problems(table, found, answered, building)),
        )


def _problems(table: RebuiltTable, log: LogRange, answered: Answered, building: int | None) -> list[str]:
    found = []
    if table.process is not None and log.begin > 0 and building is None:
        found.append(table.gap(log.begin))
    if answered.offset is not None and answered.offset >= log.end:
        found.append(
            f"offset {answered.offset} was answered ({answered.source} says so), but the log ends at {log.end}: it was "
            f"truncated or made anew; put it back from a copy first"
        )
    return found


async def _time_of_first(consumer: AIOKafkaConsumer, log: LogRange) -> int | None:
    async for records in read_range(consumer, log):
        return int(records[0].timestamp)
    return None
