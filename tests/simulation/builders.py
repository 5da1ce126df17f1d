"""A simulated rebuild: the real one, of one table partition, which can be killed between any two steps."""

import asyncio
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from aiokafka.structs import TopicPartition

from airy_identify.stream.app import Process
from airy_identify.stream.control import ControlReader
from airy_identify.stream.errors import RebuildError
from airy_identify.stream.generations import Generations
from airy_identify.stream.opening import RestoreRules
from airy_identify.stream.rebuild import PartitionRebuild, Rebuilding
from airy_identify.stream.rebuild_table import RebuiltTable
from airy_identify.stream.skips import SkipBook
from airy_identify.stream.store import StoreMemory
from airy_identify.topics import CONVERSATION, DELETE_RETENTION_MS, IDENTITY
from airy_identify.wire.generations import (
    BUILDING,
    Generation,
    GenerationBook,
    encode_generation,
    encode_generation_key,
)
from tests.simulation.agents import GENERATIONS_MAX, LOGS, NAMES, PARTITIONS
from tests.simulation.broker import Broker
from tests.simulation.clients import SimulatedClients, Wire

MEMORY = StoreMemory()
WAIT_S = 30.0
_NEVER = ("are not what its log gives", "read back, is not what was written")
"""What a rebuild must not find here, where nothing is damaged."""


class Followed:
    """The control topics as one process follows them, over a wire of its own that counts no steps."""

    def __init__(self, broker: Broker, wire: Wire) -> None:
        self._wire = Wire(wire.dice, lambda: None, connected=wire.connected)
        clients = SimulatedClients(bootstrap_servers="", broker=broker, wire=self._wire)
        book = GenerationBook()
        skips = SkipBook()
        reader = ControlReader(clients, NAMES.generations, lambda record: book.apply(record.value))
        skip_reader = ControlReader(clients, NAMES.skips, skips.apply)
        self.generations = Generations(book=book, topic=NAMES.generations, reader=reader, skips=skip_reader)
        self.skips = skips
        self._tasks = [asyncio.ensure_future(each.run()) for each in (reader, skip_reader)]

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def ended(self) -> None:
        await asyncio.wait(self._tasks)


class Builder:
    """One rebuild process. It ends by itself, or is killed."""

    def __init__(  # noqa: PLR0917 - made in one place only
        self,
        broker: Broker,
        directory: Path,
        dice: random.Random,
        agents: dict[str, Process],
        now_ms: Callable[[], int],
        on_step: Callable[[], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self.outcome = "under way"
        self._broker = broker
        self._directory = directory
        self._dice = dice
        self._agents = agents
        self._now_ms = now_ms
        self._on_failure = on_failure
        self._wire = Wire(dice, on_step)
        self._followed = Followed(broker, self._wire)
        self._rebuild: PartitionRebuild | None = None
        self.offline = dice.random() < 0.3
        agent = dice.choice([IDENTITY, CONVERSATION])
        self._agent, self._partition = agent, dice.randrange(PARTITIONS[LOGS[agent]])
        self.task = asyncio.ensure_future(self._run())

    @property
    def alive(self) -> bool:
        return not self.task.done()

    def kill(self) -> None:
        self._wire.connected.clear()
        self.task.cancel()
        self._followed.end()
        if self._rebuild is not None:
            self._rebuild.new.store.close()

    async def _run(self) -> None:
        try:
            await self._do()
            self.outcome = "switched"
        except RebuildError as error:
            self.outcome = "refused"
            if any(words in str(error) for words in _NEVER):
                self._on_failure(f"rebuild of {self._agent} {self._partition}: {error}")
        except asyncio.CancelledError:
            self.outcome = "killed"
            raise
        except Exception as error:  # noqa: BLE001 - cut off, out of touch: whoever runs it runs it again
            self.outcome = type(error).__name__
        finally:
            self._followed.end()

    async def _do(self) -> None:
        generations = self._followed.generations
        await generations.reader.wait_until_ready()
        await generations.skips.wait_until_ready()
        begun = generations.book.building(self._agent, self._partition)
        number = generations.book.highest(self._agent) + 1 if begun is None else begun.generation
        if number > GENERATIONS_MAX:
            raise RebuildError("there have been so many")
        if begun is None:
            record = Generation(
                agent=self._agent, partition=self._partition, generation=number, state=BUILDING, by="", written_at_ms=0
            )
            place = TopicPartition(NAMES.generations, 0)
            self._broker.append(place, encode_generation_key(record), encode_generation(record))
        how = Rebuilding(
            clients=SimulatedClients(bootstrap_servers="", broker=self._broker, wire=self._wire),
            app_id=NAMES.app_id,
            data_dir=self._directory / "nobody",
            work_dir=self._directory,
            generations=generations,
            skips=self._followed.skips,
            memory=MEMORY,
            rules=RestoreRules(max_age_ms=DELETE_RETENTION_MS // 2, now_ms=self._now_ms, cluster_id="the only one"),
            by="the simulation",
            request_timeout_ms=1,
            handover_timeout_s=WAIT_S,
        )
        log, changelog = LOGS[self._agent], NAMES.changelog(self._agent)
        table = RebuiltTable(name=self._agent, log=log, changelog=changelog, process=self._agents[self._agent])
        self._rebuild = rebuild = PartitionRebuild(how, table, self._partition, number, lambda *_: None)
        try:
            await rebuild.build(offline=self.offline)
            await rebuild.prove()
            await (rebuild.switch_offline() if self.offline else rebuild.switch())
        finally:
            rebuild.new.store.close()

    def wipe(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
