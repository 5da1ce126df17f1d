"""Spring's ReplyingKafkaTemplate with Spring's settings, while workers are killed and others join."""

import asyncio
import collections
import json
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from airy_identify.settings import Settings
from airy_identify.wire.headers import CORRELATION_ID
from tests.kafka.maven import SHORT_RUN, built_jar
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.replay import read
from tests.kafka.service import put_channels

PROJECT = Path(__file__).parent / "spring"
QUESTIONS = 1000
"""In each mode."""
PARTITIONS = (1, 3)
"""Where the two callers of the partition mode want their answers."""
MODE_DEADLINE_S = 150.0


class SpringCallers:
    """The program of the project `spring`, and the answers that it has told of, by question."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.answers: dict[str, str] = {}

    async def until(self, line: str) -> None:
        """Read on until the line has been said."""
        assert self.process.stdout is not None
        async with asyncio.timeout(MODE_DEADLINE_S):
            while (said := (await self.process.stdout.readline()).decode().strip()) != line:
                assert said, f"ended without {line!r}"
                _, what, question, who = said.split(" ", 3)
                assert what == "answer", said
                assert question not in self.answers
                self.answers[question] = who

    async def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        await self.process.stdin.drain()


@asynccontextmanager
async def spring_callers(settings: Settings, channel: str) -> AsyncIterator[SpringCallers]:
    names = settings.topic_names
    process = await asyncio.create_subprocess_exec(
        *("java", "-Xmx256m", *SHORT_RUN.split(), "-jar", str(await built_jar(PROJECT))),
        *(str(QUESTIONS), *map(str, PARTITIONS)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=dict(os.environ)
        | {
            "IDENTIFY_KAFKA": settings.kafka_bootstrap_servers,
            "IDENTIFY_CHANNEL": channel,
            "IDENTIFY_REQUESTS_TOPIC": names.requests,
            "IDENTIFY_RESPONSES_TOPIC": names.responses,
        },
    )
    try:
        yield SpringCallers(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def assert_each_question_was_answered_once(settings: Settings, modes: tuple[str, ...]) -> None:
    """Look at the topics, as a reader of committed records: Spring would not tell of a second answer."""
    names = settings.topic_names
    questions = [f"question-{mode}-{number}" for mode in modes for number in range(QUESTIONS)]
    answers = await read(settings, names.responses)
    assert collections.Counter(record.key.decode() for record in answers) == collections.Counter(questions)
    assert len({dict(record.headers)[CORRELATION_ID] for record in answers}) == len(questions)
    for record in answers:
        mode, number = record.key.decode().removeprefix("question-").split("-")
        assert json.loads(record.value)["contact"]["external_id"] == f"{mode}-{number}"
        if mode == "partition":
            assert record.partition == PARTITIONS[int(number) % len(PARTITIONS)]
    assert await read(settings, names.dead_letters) == []


async def test_every_question_of_spring_gets_its_own_answer_while_workers_are_killed_and_join(
    make_installation: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    settings, channel = await make_installation(), str(uuid.uuid4())
    await put_channels(settings, [channel])
    workers = [ServiceProcess("worker", settings, tmp_path, name=name) for name in ("one", "two", "three", "four")]
    modes = ("shared", "partition")

    async with ended_afterwards(*workers):
        for worker in workers[:2]:
            worker.start()
        for worker in workers[:2]:
            await worker.until_ready()
        async with spring_callers(settings, channel) as callers:
            for mode, killed, joining in zip(modes, workers[:2], workers[2:], strict=True):
                await callers.until(f"{mode} asked")
                killed.kill()
                joining.start()
                await callers.go_on()
                await callers.until(f"{mode} done")
                await joining.until_ready()
            async with asyncio.timeout(MODE_DEADLINE_S):
                assert await callers.process.wait() == 0
        persons = [f"{mode}-{number}" for mode in modes for number in range(QUESTIONS)]
        assert callers.answers == {person: person for person in persons}
        await assert_each_question_was_answered_once(settings, modes)
