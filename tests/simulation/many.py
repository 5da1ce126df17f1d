"""Many simulations, on all processors."""

import logging
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.simulation.world import Outcome, SimulationError, simulate


@dataclass
class Result:
    """What many simulations did together, and what those said that failed."""

    failures: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)


def simulate_many(seeds: Iterable[int]) -> Result:
    """Run one simulation for each seed."""
    result = Result()
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=fresh, initializer=_keep_quiet) as pool:
        for outcome in pool.map(_simulate, seeds, chunksize=5):
            if isinstance(outcome, str):
                result.failures.append(outcome)
            else:
                result.figures.update(outcome.happened)
                result.figures.update(steps=outcome.steps, batches=outcome.batches, reruns=outcome.reruns)
    return result


def _keep_quiet() -> None:
    logging.disable()  # shards say loudly what happens to them here all the time


def _simulate(seed: int) -> Outcome | str:
    try:
        return simulate(seed)
    except SimulationError as error:
        return str(error)
