"""Workers with names: one that is restarted within the session timeout gets its partitions back, and none have moved."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from airy_identify.settings import Settings
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.service import poll, shard_count


def generations(worker: ServiceProcess) -> list[int]:
    """Return how many partitions the worker had in each generation that it has taken part in."""
    return [
        int(count) for count in re.findall(r"generation \d+: (\d+) partitions are ours", worker.log_file.read_text())
    ]


async def test_a_restart_moves_no_partition(
    make_installation: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    settings = await make_installation(session_timeout_ms=120_000)
    workers = [
        ServiceProcess(
            "worker",
            settings.model_copy(update={"group_instance_id": f"worker-{name}"}),
            tmp_path,
            name=name,
        )
        for name in ("one", "other")
    ]
    one, other = workers
    async with ended_afterwards(*workers):
        for worker in workers:
            worker.start()
        for worker in workers:
            await worker.until_ready()

        async def both_have_some() -> bool:
            return all(0 < (generations(worker) or [0])[-1] < shard_count(settings) for worker in workers)

        await poll(both_have_some, "the partitions are shared out")
        before = generations(other)
        had = generations(one)[-1]
        assert await one.terminate() == 0
        await one.start().until_ready()

        assert generations(one)[-1] == had, "its own partitions, as many as before"
        assert generations(other) == before, "the other was not even asked"
