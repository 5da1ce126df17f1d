"""Plants one bug at a time in a copy of the tree, and runs the test that has to catch it: `make planted-bugs`.

Fails when a bug survives, when a patch does not apply exactly once, and when a test fails without a bug. `bugs` and
`contacts_out` have the list for the rules and `tests.simulation.planted_bugs` that for the engine, with the test that
catches each. Random tests draw the same sequences every time (`SEED`). As many bugs are tried at a time as there are
processors, each in a copy of its own; `JOBS` says another number.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.planted_bugs.bugs import BUGS, Bug
from tests.planted_bugs.contacts_out import CONTACTS_OUT_BUGS
from tests.simulation.planted_bugs import PLANTED_BUGS

ROOT = Path(__file__).parents[2]
COPIED = ("airy_identify", "tests", "schemas", "pyproject.toml")
SEED = "0"
SEQUENCES_WITH_A_BUG = "400"
SEQUENCES_WITHOUT = "40"
SIMULATED_SEEDS = "40"
ALL = (*BUGS, *CONTACTS_OUT_BUGS, *(Bug(bug.name, bug.file, bug.old, bug.new, bug.caught_by) for bug in PLANTED_BUGS))
JOBS = int(os.environ.get("JOBS", os.cpu_count() or 1))
TESTS_FAILED = 1


def main(wanted: list[str]) -> int:
    """Try all bugs, or those that name one of these texts; return 1 when something is not as it should be."""
    bugs = [bug for bug in ALL if not wanted or any(text in f"{bug.what} {bug.test}" for text in wanted)]
    problems = 0
    with ThreadPoolExecutor(JOBS) as pool:
        for done in as_completed([pool.submit(_without_bug, test) for test in sorted({bug.test for bug in bugs})]):
            test, outcome = done.result()
            if outcome:
                problems += 1
                print(f"fails without a bug: {test}\n{outcome}", flush=True)
        for tried in as_completed([pool.submit(_with_bug, bug) for bug in bugs]):
            bug, outcome = tried.result()
            problems += outcome != "caught"
            print(f"{outcome:8} {bug.what}\n         {bug.test}", flush=True)
    print(f"{len(bugs)} bugs, {problems} problems")
    return 1 if problems else 0


def _without_bug(test: str) -> tuple[str, str]:
    """Return a test and what it says when it fails without a bug: then it could catch nothing."""
    with tempfile.TemporaryDirectory() as name:
        run = _run(_copy(Path(name)), test, SEQUENCES_WITHOUT)
    return test, run.stdout if run.returncode else ""


def _with_bug(bug: Bug) -> tuple[Bug, str]:
    """Return a bug and what came of it."""
    with tempfile.TemporaryDirectory() as name:
        tree = _copy(Path(name))
        file = tree / bug.file
        sound = file.read_text(encoding="utf-8")
        if sound.count(bug.old) != 1:
            return bug, "DOES NOT FIT"
        file.write_text(sound.replace(bug.old, bug.new), encoding="utf-8")
        run = _run(tree, bug.test, SEQUENCES_WITH_A_BUG)
    if run.returncode == TESTS_FAILED and f"FAILED {bug.test}" in run.stdout:
        return bug, "caught"
    return bug, "SURVIVED" if run.returncode == 0 else "BROKE"


def _copy(tree: Path) -> Path:
    for each in COPIED:
        if (ROOT / each).is_dir():
            shutil.copytree(ROOT / each, tree / each, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / each, tree / each)
    return tree


def _run(tree: Path, test: str, sequences: str) -> subprocess.CompletedProcess[str]:
    over = {"HYPOTHESIS_PROFILE": "unshrunk", "LAW_SEQUENCES": sequences, "SEQUENCES": sequences}
    over |= {"SIMULATED_SEEDS": SIMULATED_SEEDS}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"--hypothesis-seed={SEED}", test],
        cwd=tree,
        env=os.environ | over | {"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
