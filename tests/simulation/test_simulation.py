import os

from tests.simulation.inputs import Sentinel
from tests.simulation.many import simulate_many
from tests.simulation.world import simulate

SEEDS = int(os.environ.get("SIMULATED_SEEDS", "150"))


def test_nothing_is_lost_or_done_twice_whatever_happens() -> None:
    result = simulate_many(range(SEEDS))

    assert not result.failures, "\n".join(result.failures)
    missing = {str(sentinel) for sentinel in Sentinel} - set(result.figures)
    assert not missing, "the seeds have too little in store"
    for figure in ("reruns", "fenced requests", "aborted transactions", "reopened shards", "standbys compared"):
        assert result.figures[figure] > SEEDS, f"{figure}: {result.figures[figure]}"


def test_a_seed_gives_the_same_run_every_time() -> None:
    assert simulate(7) == simulate(7)
    assert simulate(7).trace != simulate(8).trace
