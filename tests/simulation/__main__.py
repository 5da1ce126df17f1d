"""`python -m tests.simulation --seeds 1000`, or `--seed 17` to see one of them step by step."""

import argparse
import sys
import time

from tests.simulation.many import simulate_many
from tests.simulation.world import SimulationError, simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=1000, help="how many simulations")
    parser.add_argument("--seed", type=int, help="only this one, and what happens in it")
    arguments = parser.parse_args()
    if arguments.seed is None:
        return _many(arguments.seeds)
    try:
        outcome = simulate(arguments.seed, tell=print)
    except SimulationError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{outcome.steps} steps, {outcome.batches} batches: nothing lost, nothing twice, tables equal to the replay")
    return 0


def _many(seeds: int) -> int:
    started = time.monotonic()
    result = simulate_many(range(seeds))
    for failure in result.failures:
        print(failure, file=sys.stderr)
    figures = [("seeds", seeds), ("failed", len(result.failures)), *sorted(result.figures.items())]
    for name, figure in figures:
        print(f"{name:>22} {figure:>9}")
    print(f"{'seconds':>22} {time.monotonic() - started:>9.0f}")
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
