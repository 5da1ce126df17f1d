import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from airy_identify.ops.child import start_child

DEADLINE_S = 20.0


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline


def alive(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_child_is_the_command_itself_in_a_session_of_its_own(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as output:
        child = start_child(
            ["/bin/sh", "-c", 'echo "$$ $GREETING"; echo oops >&2'], output=output, environment={"GREETING": "hello"}
        )
    assert child.wait(DEADLINE_S) == 0

    assert (tmp_path / "out").read_text() == f"{child.pid} hello\noops\n"


def test_ctrl_c_does_not_reach_the_child(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as output:
        child = start_child(["/bin/sleep", "60"], output=output, environment={})
    try:
        assert os.getsid(child.pid) == child.pid
        assert os.getpgid(child.pid) != os.getpgid(0)
    finally:
        child.kill()
        child.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help exists on Linux only")
def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import pathlib, time
        from airy_identify.ops.child import start_child
        child = start_child(["/bin/sleep", "300"], output=-3, environment={{}})
        pathlib.Path({str(tmp_path / "id")!r}).write_text(str(child.pid))
        time.sleep(300)
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    try:
        wait_until(lambda: (tmp_path / "id").exists() and (tmp_path / "id").read_text())
        child_id = int((tmp_path / "id").read_text())
        wait_until(lambda: Path(f"/proc/{child_id}/comm").read_text() == "sleep\n")
        parent.send_signal(signal.SIGKILL)
        wait_until(lambda: not alive(child_id))
    finally:
        parent.kill()
        parent.wait()


def test_only_the_main_thread_may_start_children() -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            start_child(["/bin/true"], output=subprocess.DEVNULL, environment={})
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert "main thread" in str(errors[0])


async def test_an_event_loop_may_start_children() -> None:
    child = start_child(["/bin/true"], output=subprocess.DEVNULL, environment={})

    assert await asyncio.to_thread(child.wait, DEADLINE_S) == 0
