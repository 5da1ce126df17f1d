"""Mutates the core and counts what its tests kill: `make mutation`, not part of `make test`.

Everything happens in `build/mutation`: a virtual environment with mutmut on top of the one that runs this (mutmut wants
a newer click than the service has), and a copy of the tree. `make mutation ARGS="airy_identify.core.merging.*"` tries
only the mutants that fit. Ends with the survivors, and with status 1 when fewer than `PERCENT_MIN` were killed.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "build" / "mutation"
TREE = PLACE / "tree"
ENVIRONMENT = PLACE / "environment"
MUTMUT = ENVIRONMENT / "bin" / "mutmut"
COPIED = ("airy_identify", "tests", "schemas", "pyproject.toml")
WITHOUT_SHRINKING = {"HYPOTHESIS_PROFILE": "unshrunk"}
PERCENT_MIN = 90.0
SURVIVED = {0, 5, 33}
"""Exit codes of pytest, and mutmut's for a mutant that no test runs: also nobody noticed it."""


def main(version: str, patterns: list[str]) -> int:
    """Mutate, test and count; return the exit status."""
    _install(version)
    TREE.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        _copy(ROOT / name, TREE / name)
    environment = os.environ | WITHOUT_SHRINKING | {"PYTHONPATH": ""}
    command = ["nice", str(MUTMUT), "run", "--max-children", str(os.cpu_count() or 1), *patterns]
    subprocess.run(command, cwd=TREE, env=environment, check=True)
    return _report()


def _install(version: str) -> None:
    if MUTMUT.exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    beneath = sysconfig.get_path("purelib")
    packages = sysconfig.get_path("purelib", vars={"base": str(ENVIRONMENT)})
    Path(packages, "beneath.pth").write_text(f"{beneath}\n", encoding="utf-8")
    install = [str(ENVIRONMENT / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, f"mutmut=={version}"], check=True)


def _copy(source: Path, target: Path) -> None:
    """Replace what is there, for mutants of a file that has gone would stay."""
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _report() -> int:
    codes: dict[str, int] = {}
    for file in sorted((TREE / "mutants").rglob("*.meta")):
        results = json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"]
        codes |= {name: code for name, code in results.items() if code is not None}
    survivors = [name for name, code in codes.items() if code in SURVIVED]
    killed = 100 * (len(codes) - len(survivors)) / max(1, len(codes))
    print("\n".join(survivors))
    print(f"{len(codes)} mutants tried, {len(codes) - len(survivors)} killed: {killed:.1f} %")
    return 0 if killed >= PERCENT_MIN else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
