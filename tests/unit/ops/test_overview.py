"""What `top` makes of what processes tell."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client import generate_latest
from rich.console import Console

from airy_identify.__main__ import main
from airy_identify.ops.commands.top import default_addresses, frame
from airy_identify.ops.overview import shard_rows, totals
from airy_identify.ops.ports import free_port
from airy_identify.ops.probing import BRIDGE, WORKER, Told, kind_of, problems_of, samples_of
from airy_identify.settings import Settings
from airy_identify.telemetry import BridgeMetrics, WorkerMetrics, make_registry

DIGEST = bytes.fromhex("0123456789ab") + bytes(26)


class Worker:
    """The metrics of a worker, as it would show them."""

    def __init__(self, address: str = "http://one:8081") -> None:
        self.address = address
        self.registry = make_registry()
        self.metrics = WorkerMetrics(self.registry)

    def told(self, at_s: float = 0.0, *problems: str) -> Told:
        page = generate_latest(self.registry).decode()
        assert kind_of(page) == WORKER
        return Told(address=self.address, at_s=at_s, kind=WORKER, problems=problems, samples=samples_of(page))


def bridge(*answers: tuple[int, str | None], at_s: float = 0.0) -> Told:
    registry = make_registry()
    metrics = BridgeMetrics(registry)
    for status, code in answers:
        metrics.observe(route="/contacts.identify", status=status, duration_s=0.01, client=None, code=code)
    page = generate_latest(registry).decode()
    assert kind_of(page) == BRIDGE
    return Told(address="http://bridge:8080", at_s=at_s, kind=BRIDGE, samples=samples_of(page))


def shown(*now: Told, before: tuple[Told, ...] = ()) -> str:
    console = Console(width=160, color_system=None)
    with console.capture() as capture:
        console.print(frame(now, before))
    return capture.get()


def test_a_running_shard_has_its_place_its_lag_its_digest_and_with_a_moment_before_its_rate() -> None:
    worker = Worker()
    worker.metrics.shard_entered("identity", 3, "running")
    worker.metrics.table_stands("identity", 3, 100, DIGEST)
    worker.metrics.shard_behind("identity", 3, 7)
    before = worker.told(10.0)
    worker.metrics.table_stands("identity", 3, 150, DIGEST)
    now = worker.told(12.0)

    (row,) = shard_rows([now], [before])
    assert (row.agent, row.partition, row.state) == ("identity", 3, "running")
    assert (row.offset, row.behind, row.digest, row.per_s) == (150, 7, "01234567", 25.0)
    (once,) = shard_rows([now])
    assert once.per_s is None


def test_the_generation_is_shown_once_a_table_was_rebuilt() -> None:
    worker = Worker()
    for partition, generation in ((0, 1), (1, 1)):
        worker.metrics.shard_entered("identity", partition, "running")
        worker.metrics.table_generation("identity", partition, generation)
    assert "generation" not in shown(worker.told())
    worker.metrics.table_generation("identity", 1, 3)

    assert [row.generation for row in shard_rows([worker.told()])] == [1, 3]
    lines = [line.split() for line in shown(worker.told()).splitlines()]
    assert ["identity", "1", "running", *"––––", "3"] in lines  # noqa: RUF001 - dashes


def test_a_restore_and_a_standby_say_how_far_they_are() -> None:
    worker = Worker()
    worker.metrics.shard_entered("identity", 0, "opening")
    worker.metrics.restore_behind("identity", 0, 5000)
    worker.metrics.standby_entered("identity", 1, "following", 12)
    worker.metrics.standby_entered("identity", 2, "following", 12)
    worker.metrics.standby_entered("identity", 2, "stopped", None)

    opening, standby = shard_rows([worker.told()])
    assert (opening.state, opening.behind, opening.standby) == ("opening", 5000, False)
    assert (standby.state, standby.behind, standby.standby) == ("following", 12, True)
    worker.metrics.shard_entered("identity", 0, "running")
    assert [row.behind for row in shard_rows([worker.told()])] == [None, 12]


def test_totals_are_summed_over_all_that_answer() -> None:
    one, other = Worker(), Worker("http://other:8081")
    for worker in (one, other):
        worker.metrics.rows_restored("identity", 10)
        worker.metrics.dead_lettered("malformed_json")
        worker.metrics.shard_reopened("identity", "fenced")
    one.metrics.dead_lettered("skipped")
    before = [one.told(0.0), bridge(at_s=0.0)]
    one.metrics.batch_committed("identity", 40, 0.1)
    now = [one.told(4.0), other.told(4.0), bridge((200, None), (404, "unknown_channel"), at_s=4.0)]
    found = totals([*now, Told(address="http://gone:1", at_s=4.0, silence="does not answer")], before)

    assert (found.requests, found.requests_per_s, found.records_per_s) == (2, 0.5, 10.0)
    assert (found.refusals, found.skips) == ({"unknown_channel": 1}, 1)
    assert found.dead_letters == {"malformed_json": 2}
    assert (found.restored_rows, found.reopened) == (20, {"fenced": 2})


def test_a_process_that_was_restarted_has_no_negative_rate() -> None:
    before = bridge(*[(200, None)] * 9, at_s=0.0)
    assert totals([bridge((200, None), at_s=1.0)], [before]).requests_per_s == 0.0


def test_the_frame_says_who_is_silent_who_is_not_ready_and_why() -> None:
    worker = Worker()
    worker.metrics.shard_entered("identity", 0, "paused")
    text = shown(
        worker.told(0.0, "identity-commands:0 is paused: boom\x1b[2J"),
        bridge((409, "identifier_conflict")),
        Told(address="http://gone:8081", at_s=0.0, silence="does not answer (refused)"),
    )

    assert "http://gone:8081" in text
    assert "does not answer (refused)" in text
    assert "identity-commands:0 is paused: boom\\x1b[2J" in text, "nothing that a terminal obeys"
    assert "identifier_conflict 1" in text
    assert "one:8081" in text


@pytest.mark.parametrize(
    ("page", "reasons"),
    [
        ('{"status":"ready"}', ()),
        ('{"status":"not ready","reasons":["one","two"]}', ("one", "two")),
        ("<html>", ("/readyz cannot be read",)),
        ("[]", ("/readyz cannot be read",)),
    ],
)
def test_readiness_is_read_from_its_reasons(page: str, reasons: tuple[str, ...]) -> None:
    assert problems_of(page) == reasons


def test_a_page_that_is_not_ours_is_neither() -> None:
    assert kind_of("# TYPE something gauge\nsomething 1\n") is None
    assert samples_of("no metrics {") == ()


def test_without_addresses_it_asks_this_machine_s() -> None:
    settings = Settings(worker_port=1234, http_host="10.0.0.1")
    assert default_addresses(settings) == ("http://127.0.0.1:1234", "http://10.0.0.1:8080")


def call(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["top", *arguments], prog_name="airy-identify")


def test_nobody_there_ends_with_1_and_a_wrong_address_with_2() -> None:
    result = call("--once", f"127.0.0.1:{free_port()}")
    assert (result.exit_code, "does not answer" in result.output) == (1, True)
    assert call("--once", "nonsense").exit_code == 2


def test_it_goes_on_until_it_is_interrupted() -> None:
    terminal, program_side = pty.openpty()
    try:
        program = subprocess.Popen(
            [sys.executable, "-m", "airy_identify", "top", "--interval", "0.2", f"127.0.0.1:{free_port()}"],
            stdout=program_side,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        shown_so_far = ""
        while shown_so_far.count("does not answer") < 3:
            shown_so_far += os.read(terminal, 65536).decode(errors="replace")
        program.send_signal(signal.SIGINT)
        reader = threading.Thread(target=_read_on, args=(terminal,), daemon=True)
        reader.start()  # so that the last frame does not wait for a reader
        _, errors = program.communicate(timeout=30)
    finally:
        os.close(program_side)
    assert (program.returncode, errors) == (0, b"")


def _read_on(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 65536):
            pass
    os.close(terminal)
