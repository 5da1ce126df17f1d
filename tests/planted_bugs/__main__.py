"""Plants one bug at a time in a copy of the tree, and runs the test that has to catch it: `make planted-bugs`.

Fails when a bug survives, when a patch does not apply exactly once, and when a test fails without a bug. `bugs` has
the list, with the test that catches each. Random tests draw the same sequences every time (`SEED`).
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.planted_bugs.bugs import BUGS, Bug

ROOT = Path(__file__).parents[2]
COPIED = ("airy_identify", "tests", "schemas", "pyproject.toml")
SEED = "0"
ENVIRONMENT = {"HYPOTHESIS_PROFILE": "unshrunk", "LAW_SEQUENCES": "400", "SEQUENCES": "400"}
TESTS_FAILED = 1


def main() -> int:
    """Run everything; return 1 when something is not as it should be."""
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        for each in COPIED:
            source = ROOT / each
            ignored = shutil.ignore_patterns("__pycache__")
            if source.is_dir():
                shutil.copytree(source, tree / each, ignore=ignored)
            else:
                shutil.copy(source, tree / each)
        wanted = sys.argv[1:]
        bugs = [bug for bug in BUGS if not wanted or any(text in bug.what for text in wanted)]
        problems = _without_bugs(tree, sorted({bug.test for bug in bugs}))
        for number, bug in enumerate(bugs, 1):
            outcome = _plant(tree, bug)
            print(f"{number:2} {outcome:13} {bug.what}\n   {bug.test}", flush=True)
            problems += outcome != "caught"
        print(f"{len(bugs)} bugs, {problems} problems")
        return 1 if problems else 0


def _without_bugs(tree: Path, tests: list[str]) -> int:
    """Return how many problems there are before anything was planted: a test that fails anyway catches nothing."""
    run = _run(tree, tests, sequences="40")
    if run.returncode:
        print(run.stdout)
    return 1 if run.returncode else 0


def _plant(tree: Path, bug: Bug) -> str:
    file = tree / bug.file
    sound = file.read_text(encoding="utf-8")
    if sound.count(bug.old) != 1:
        return "DOES NOT FIT"
    file.write_text(sound.replace(bug.old, bug.new), encoding="utf-8")
    try:
        run = _run(tree, [bug.test])
    finally:
        file.write_text(sound, encoding="utf-8")
    if run.returncode == TESTS_FAILED and f"FAILED {bug.test}" in run.stdout:
        return "caught"
    return "SURVIVED" if run.returncode == 0 else "BROKE"


def _run(tree: Path, tests: list[str], sequences: str | None = None) -> subprocess.CompletedProcess[str]:
    over = {} if sequences is None else {"LAW_SEQUENCES": sequences, "SEQUENCES": sequences}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"--hypothesis-seed={SEED}", *tests],
        cwd=tree,
        env=os.environ | ENVIRONMENT | over | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
