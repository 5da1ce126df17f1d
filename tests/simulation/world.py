"""A simulation: what a seed has in store happens to a few workers, and the oracle looks after every step."""

import asyncio
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aiokafka.structs import TopicPartition

from airy_identify.core.commands import ReplyTo
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import RequestId
from airy_identify.intake.accept import accept
from airy_identify.intake.policy import Request as GivenRequest
from airy_identify.kafka import partition_for
from airy_identify.stream.follower import Follower, FollowerState
from airy_identify.stream.shard import Shard
from airy_identify.stream.shard_parts import ShardState
from airy_identify.topics import CONVERSATION, DELETE_RETENTION_MS, IDENTITY
from airy_identify.wire.airy import encode_message
from airy_identify.wire.commands import encode_command
from airy_identify.wire.headers import CORRELATION_ID
from airy_identify.wire.rows import PROGRESS_KEY
from tests.builders import CHANNEL_ID, make_message
from tests.kafka.replay import fold, nonempty, replay
from tests.simulation.agents import DIRECTORY, GENERATIONS_MAX, LOGS, NAMES, PARTITIONS, POLICY, Stamps, make_agents
from tests.simulation.broker import Broker
from tests.simulation.builders import Builder
from tests.simulation.clients import troubles
from tests.simulation.clock import Clock, VirtualLoop
from tests.simulation.inputs import AiryMessage, Input, Request, Sentinel, make_inputs
from tests.simulation.oracle import Oracle, Replica
from tests.simulation.workers import SESSION_TIMEOUT_S, Surroundings, Worker, watched

WORKERS = 3
INPUTS = 60
STEPS_BETWEEN_MAX = 60
STEPS_MAX = 100_000
QUIET_DEADLINE_S = 120.0
_IN_MEMORY = Path("/dev/shm")
_TABLE_LOGS = (LOGS[IDENTITY], LOGS[CONVERSATION])
_ALL_PARTITIONS = [(log, number) for log in LOGS.values() for number in range(PARTITIONS[log])]


@dataclass(frozen=True)
class Outcome:
    """What a simulation did; `trace` is equal when two runs were."""

    seed: int
    steps: int
    batches: int
    reruns: int
    happened: Counter[str]
    trace: int


class SimulationError(AssertionError):
    """Something was not as it has to be. Says which seed showed it, and how to see it again."""


def simulate(seed: int, tell: Callable[[str], None] = lambda _: None) -> Outcome:
    """Run one simulation, and tell what happens in it. Raises `SimulationError`."""
    root = Path(tempfile.mkdtemp(prefix="simulation-", dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None))
    clock = Clock()
    loop = VirtualLoop(clock)
    world: World | None = None
    try:
        with clock.everywhere():
            world = World(seed, root, clock, loop)
            world.tell = tell
            with watched(world.oracle):
                return loop.run_until_complete(world.run())
    except Exception as error:
        steps = 0 if world is None else world.steps
        message = f"seed {seed}, step {steps}: {error!r}\nto see it again: make simulate SEED={seed}"
        raise SimulationError(message) from error
    finally:
        if world is not None:
            world.kill_all()
        _end_tasks(loop)
        loop.close()
        shutil.rmtree(root, ignore_errors=True)


def _end_tasks(loop: VirtualLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=60.0))


class World:
    """One simulation on its way."""

    def __init__(self, seed: int, root: Path, clock: Clock, loop: VirtualLoop) -> None:
        self.seed = seed
        self.steps = 0
        self.happened: Counter[str] = Counter()
        self.tell: Callable[[str], None] = lambda _: None
        self._dice = random.Random(seed)
        self._clock = clock
        self._failures: list[BaseException | str] = []
        self._next_input_at: tuple[int, asyncio.Future[None]] | None = None
        self._trace = 0
        self._generation = 0
        self.broker = Broker(PARTITIONS, clock, self._dice)
        self._stamps = Stamps(self._dice, clock.now_ms)
        # The oracle has agents and stamps of its own, so that looking does not change what happens.
        self.oracle = Oracle(self.broker, make_agents(Stamps(random.Random(seed), clock.now_ms)))
        self.broker.on_commit = self.oracle.committed
        self._builder_agents = make_agents(Stamps(random.Random(seed), clock.now_ms))
        around = Surroundings(self.broker, self.oracle, make_agents(self._stamps), self._step, self._failures.append)
        self.oracle.failures = self._failures  # who calls it may treat an error as one of Kafka's
        self.workers = [Worker(f"worker {n}", root / str(n), around, self._dice) for n in range(WORKERS)]
        self._last_record: tuple[TopicPartition, bytes | None, bytes | None, Any] | None = None
        self.builders: list[Builder] = []
        self._builder_directories = [root / "rebuild", root / "rebuild-elsewhere"]
        self._tasks: set[asyncio.Task[None]] = set()
        loop.set_exception_handler(self._lost_error)

    async def run(self) -> Outcome:
        for worker in self.workers[: self._dice.randint(1, WORKERS)]:
            worker.start()
        self._deal(late=False)
        for happening in make_inputs(self._dice, INPUTS):
            await self._steps_pass(self._dice.choice([0, 1, 2, 5, self._dice.randint(1, STEPS_BETWEEN_MAX)]))
            self._happen(happening)
            self._check()
        await self._settle()
        self._check_all()
        for worker in self._alive():
            await worker.stop()
        self._check()
        return Outcome(self.seed, self.steps, self.oracle.batches, self.oracle.reruns, self._summary(), self._trace)

    def kill_all(self) -> None:
        for builder in self.builders:
            builder.kill()
        for worker in self._alive():
            worker.kill()

    # Steps.

    def _step(self) -> None:
        self.steps += 1
        if self.steps > STEPS_MAX:
            self._failures.append(f"no end after {STEPS_MAX} steps")
        self._trace = hash((self._trace, self.steps, self._clock.now_s))
        if self._next_input_at is not None and self.steps >= self._next_input_at[0]:
            self._next_input_at[1].set_result(None)
            self._next_input_at = None

    async def _steps_pass(self, count: int) -> None:
        """Let the workers do so many steps, or as many as they do in a minute."""
        if count == 0:
            return
        reached = asyncio.get_running_loop().create_future()
        self._next_input_at = (self.steps + count, reached)
        await asyncio.wait({reached}, timeout=60.0)
        self._next_input_at = None
        self._check()

    def _check(self) -> None:
        for failure in self._failures:
            raise AssertionError(failure) if isinstance(failure, str) else failure
        for worker in self._alive():
            assert not worker.stuck(), worker.stuck()

    def _lost_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep errors that nobody awaits; aiokafka leaves such behind too, when they are about the connection."""
        error = context.get("exception")
        if isinstance(error, AssertionError) and "Invalid state transition" not in str(error):
            self._failures.append(error)
        elif error is None:
            self._failures.append(f"{context['message']} {context.get('task', '')}")

    # Happenings.

    def _happen(self, happening: Input) -> None:
        self.tell(f"step {self.steps}, {self._clock.now_s:.3f} s: {happening}")
        match happening:
            case Request():
                self._send_request(happening)
            case AiryMessage():
                self._send_message(happening)
            case _:
                if self._befall(happening):
                    self.happened[str(happening)] += 1
                return
        self.happened["records"] += 1

    def _befall(self, sentinel: Sentinel) -> bool:
        """Do what a sentinel says; return whether there was anybody to do it to."""
        if sentinel in {Sentinel.DUPLICATE, Sentinel.COMPACT, Sentinel.A_WEEK, Sentinel.REBALANCE}:
            return self._befall_all(sentinel)
        if sentinel in {Sentinel.REBUILD, Sentinel.REBUILD_ENDS}:
            return self._befall_rebuild(sentinel)
        down = sentinel in {Sentinel.RESTART, Sentinel.WIPE, Sentinel.BEHIND}
        candidates = [worker for worker in self.workers if worker.alive is not down]
        if not candidates:
            return False
        worker = self._dice.choice(candidates)
        if down:
            self._befall_one_that_is_down(sentinel, worker)
        else:
            self._befall_one_that_is_up(sentinel, worker)
        return True

    def _befall_one_that_is_down(self, sentinel: Sentinel, worker: Worker) -> None:
        match sentinel:
            case Sentinel.WIPE:
                worker.wipe()
            case Sentinel.BEHIND:
                worker.fall_behind()
            case _:
                worker.start()
                self._deal(late=True)

    def _befall_one_that_is_up(self, sentinel: Sentinel, worker: Worker) -> None:
        match sentinel:
            case Sentinel.CRASH:
                worker.kill()
                if self._dice.random() < 0.5:
                    worker.copy()
                self._later(self._dice.choice([0.0, 1.0, SESSION_TIMEOUT_S]), lambda: self._deal(late=True))
            case Sentinel.STOP:
                self._run(worker.stop())
                self._later(0.0, lambda: self._deal(late=True))
            case Sentinel.CUT_OFF:
                worker.wire.connected.clear()
                if self._dice.random() < 0.5:
                    self._later(SESSION_TIMEOUT_S, lambda: self._deal(late=True))
            case Sentinel.RECONNECT:
                worker.wire.connected.set()
            case _:
                worker.wire.trouble.append(troubles(self._dice))

    def _befall_rebuild(self, sentinel: Sentinel) -> bool:
        alive = [builder for builder in self.builders if builder.alive]
        if sentinel is Sentinel.REBUILD_ENDS:
            if not alive:
                return False
            self._dice.choice(alive).kill()
            return True
        if len(alive) == len(self._builder_directories):
            return False
        self._builder_directories.reverse()
        builder = Builder(
            self.broker,
            self._builder_directories[0],
            self._dice,
            self._builder_agents,
            self._clock.now_ms,
            self._step,
            self._failures.append,
        )
        if self._dice.random() < 0.3 and not alive:
            builder.wipe()
        self.builders.append(builder)
        return True

    def _befall_all(self, sentinel: Sentinel) -> bool:
        match sentinel:
            case Sentinel.DUPLICATE:
                if self._last_record is None:
                    return False
                self.broker.append(*self._last_record)
            case Sentinel.COMPACT:
                self._compact([self._dice.choice([IDENTITY, CONVERSATION])])
            case Sentinel.A_WEEK:
                self._clock.put_forward_s += (DELETE_RETENTION_MS / 1000) * 1.5
                self._compact([IDENTITY, CONVERSATION])
            case _:
                self._deal(late=True)
        return True

    def _compact(self, agents: list[str]) -> None:
        before_ms = self._clock.now_ms() - DELETE_RETENTION_MS
        for agent in agents:
            for number in range(PARTITIONS[LOGS[agent]]):
                for generation in range(1, GENERATIONS_MAX + 1):
                    self.broker.compact(TopicPartition(NAMES.changelog(agent, generation), number), before_ms)
        self.broker.compact(TopicPartition(NAMES.generations, 0), before_ms)

    def _deal(self, *, late: bool) -> None:
        """Deal all partitions, and some standbys, to the workers that take part. Each learns of it at another time."""
        members = [worker for worker in self._alive() if worker.wire.connected.is_set()]
        if not members:
            return
        hands: dict[str, list[tuple[str, int]]] = {worker.name: [] for worker in members}
        standby: dict[str, list[tuple[str, int]]] = {worker.name: [] for worker in members}
        for partition in _ALL_PARTITIONS:
            owner, *others = self._dice.sample(members, len(members))
            hands[owner.name].append(partition)
            for other in others:
                if partition[0] in _TABLE_LOGS and self._dice.random() < 0.4:
                    standby[other.name].append(partition)
        self._generation += 1
        for worker in members:
            delay_s = self._dice.random() * 0.5 if late else 0.0
            self._later(delay_s, partial(worker.assign, self._generation, hands[worker.name], standby[worker.name]))

    def _later(self, delay_s: float, do: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(delay_s, do)

    def _run(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _alive(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.alive]

    # Records.

    def _send_request(self, request: Request) -> None:
        if request.fields is None:
            self._append(TopicPartition(NAMES.requests, 0), b"key", self._dice.choice([None, b"{", b"[]"]))
            return
        fields = dict(request.fields)
        contact_ids = self.oracle.contact_ids.get(fields["tenant"], [])
        conversation_ids = self.oracle.conversation_ids.get(fields["tenant"], [])
        for name in ("contact_id", "source_id", "destination_id"):
            if name in fields:
                fields[name] = contact_ids[fields[name] % len(contact_ids)] if contact_ids else "nobody"
        if "conversation_id" in fields:
            number = fields["conversation_id"]
            fields["conversation_id"] = conversation_ids[number % len(conversation_ids)] if conversation_ids else "none"
        headers = [] if request.correlation_id is None else [(CORRELATION_ID, request.correlation_id)]
        if not request.through_bridge:
            self._append(TopicPartition(NAMES.requests, 0), None, json.dumps(fields).encode(), headers)
            return
        stamp = self._stamps.make()
        command = accept(
            GivenRequest(
                fields=fields,
                request_id=RequestId(f"http-{self.steps}"),
                stamp=stamp,
                reply_to=ReplyTo(topic=NAMES.bridge_responses, partition=0, correlation_id=stamp.new_id.encode()),
                channels=DIRECTORY,
                policy=POLICY,
            )
        )
        if not isinstance(command, Rejected):
            key = command.tenant.encode()
            partition = partition_for(key, PARTITIONS[NAMES.identity_commands])
            self._append(TopicPartition(NAMES.identity_commands, partition), key, encode_command(command))

    def _send_message(self, message: AiryMessage) -> None:
        value = b"\xc3\x01nonsense" if message.broken else None
        if message.fields is not None:
            fields = dict(message.fields)
            known = [each for ids in self.oracle.conversation_ids.values() for each in ids] or ["airy's own"]
            number = fields.pop("conversation")
            name = known[number % len(known)] if number < 8 else f"airy-{number}"
            value = encode_message(make_message(conversation_id=name, channel_id=CHANNEL_ID, **fields))
        self._append(TopicPartition(NAMES.airy_messages, 0), b"message", value)

    def _append(self, partition: TopicPartition, key: bytes | None, value: bytes | None, headers: Any = ()) -> None:
        self.broker.append(partition, key, value, headers)
        self._last_record = (partition, key, value, headers)

    # The end.

    async def _settle(self) -> None:
        """Let all misfortune end, and wait until every log is applied to its end by shards that run."""
        for worker in self.workers:
            if worker.alive:
                worker.wire.connected.set()
                worker.wire.trouble.clear()
        await asyncio.gather(*self._tasks)
        for worker in self.workers:
            if not worker.alive and (self._dice.random() < 0.5 or not self._alive()):
                worker.start()
        self._deal(late=False)
        deadline_s = self._clock.now_s + QUIET_DEADLINE_S
        while (reasons := self._unsettled()) and self._clock.now_s < deadline_s:
            await asyncio.sleep(0.25)
            self._check()
        for builder in self.builders:
            builder.kill()
        assert not reasons, f"nothing goes on any more: {reasons}"

    def _unsettled(self) -> list[str]:
        shards = [shard for worker in self._alive() for shard in worker.shards.shards]
        idle = [
            f"{each.name} is {each.state}: {each.reason}" for each in shards if each.state is not ShardState.RUNNING
        ]
        idle += [
            f"{each.name} does not know yet that its last batch is committed"
            for each in shards
            if each.next_offset < self.oracle.replicas[f"{NAMES.app_id}-{each.name}"].applied_to
        ]
        idle += [
            f"the standby of {source} is {each.state}, {each.behind} offsets behind"
            for worker in self._alive()
            for source, each in worker.shards.standbys.items()
            if each.state is not FollowerState.FOLLOWING or (each.position or 0) < self._replica(source).changelog_end
        ]
        if len(shards) != len(_ALL_PARTITIONS):
            idle.append(f"{len(shards)} shards are wanted, not {len(_ALL_PARTITIONS)}")
        return idle or self.oracle.behind()

    def _check_all(self) -> None:
        """Replay the logs in one go, into empty tables, and compare tables, outputs and stores."""
        self.oracle.check_aborted_outputs()
        agents = make_agents(Stamps(random.Random(0), self._clock.now_ms))
        answers: Counter[Any] = Counter()
        for agent in (IDENTITY, CONVERSATION):
            replayed = replay(self.oracle.visible(LOGS[agent]), agents[agent], PARTITIONS)
            tables = fold(self.oracle.changelog(agent))
            assert tables == nonempty(replayed.rows), f"the table {agent} is not what its log gives"
            for topic in (NAMES.responses, NAMES.bridge_responses):
                answers.update((topic, *output[:2], tuple(output[2])) for output in replayed.sent[topic])
        published = Counter(
            (topic, record.key, record.value, tuple(record.headers))
            for topic in (NAMES.responses, NAMES.bridge_responses)
            for record in self.oracle.visible(topic)
        )
        assert answers <= published, "answers are missing"
        for worker in self._alive():
            for shard in worker.shards.shards:
                self._check_copy(shard, shard.source)
            for source, follower in worker.shards.standbys.items():
                self._check_copy(follower, source)
                self.happened["standbys compared"] += 1

    def _check_copy(self, occupant: Shard | Follower, source: TopicPartition) -> None:
        rows = {key: row for key, row in occupant._store.rows() if key != PROGRESS_KEY}
        assert rows == self._replica(source).table.rows, f"the store {occupant.name} is not what its log gives"

    def _replica(self, source: TopicPartition) -> Replica:
        return next(replica for replica in self.oracle.replicas.values() if replica.source == source)

    def _summary(self) -> Counter[str]:
        found = Counter(self.happened)
        found["fenced requests"] = self.broker.fenced
        found["aborted transactions"] = self.broker.aborted
        found["rebuilds that switched"] = self.oracle.switched
        found.update(f"rebuild {builder.outcome}" for builder in self.builders)
        found["reopened shards"] = sum(len(worker.metrics.reopened) for worker in self.workers)
        return found
