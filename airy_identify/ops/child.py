"""Child processes that never outlive us: started through this very file, which asks the kernel and then becomes them.

Run as a program (`python child.py SIGNAL COMMAND…`): asks Linux to send it SIGNAL when its parent is gone, also by
`kill -9`, then turns into COMMAND under the same process id. Elsewhere it only turns into COMMAND.
It imports nothing of the package, so that it starts at once.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1


def start_child(
    command: Sequence[str],
    *,
    output: IO[bytes] | int,
    environment: Mapping[str, str],
    signal_when_orphaned: signal.Signals = signal.SIGKILL,
) -> "subprocess.Popen[bytes]":
    """Start a command in a session of its own, so that Ctrl-C in the terminal reaches only us.

    Args:
        command: Program and arguments.
        output: Where standard output and error go.
        environment: The whole environment of the child.
        signal_when_orphaned: What it gets when this process is gone.

    Raises:
        RuntimeError: Called from another thread than the main one: the kernel means the thread when it says parent.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "a child process has to be started by the main thread: it ends with the thread that started it"
        )
    launcher = [sys.executable, "-IS", str(Path(__file__)), str(int(signal_when_orphaned)), str(os.getpid())]
    return subprocess.Popen(
        [*launcher, *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        start_new_session=True,
    )


def _become(arguments: Sequence[str]) -> None:
    """Ask for the signal, make sure that the parent is still there, and turn into the command."""
    number, parent, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - this process becomes the command, which is its whole point


if __name__ == "__main__":
    _become(sys.argv[1:])
