"""Measures coverage of a whole run (`-p tests.coverage_gate`) and fails it when too little was run.

The report comes before pytest's own last line. Processes that tests start are measured too, unless they are killed, and
so are pytest-xdist's: coverage begins in them by itself (`patch = subprocess`), and the first process puts all together.
"""

import io
import os
from dataclasses import dataclass, field

import pytest
from coverage import Coverage

TOTAL_PERCENT_MIN = 90.0
CORE_PERCENT_MIN = 100.0
CORE = "airy_identify/core/*"


@dataclass
class _Gate:
    """The measurement of this run, and what came of it."""

    coverage: Coverage
    report: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


_GATE = pytest.StashKey[_Gate]()


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Begin before any of our modules is imported."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    coverage = Coverage()
    coverage.erase()
    coverage.start()
    early_config.stash[_GATE] = _Gate(coverage)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Put everything together; too little coverage turns a passed run into a failed one."""
    gate = session.config.stash.get(_GATE, None)
    if gate is None:
        return
    gate.coverage.stop()
    gate.coverage.save()
    combined = Coverage(data_file=gate.coverage.config.data_file, config_file=True)
    combined.combine()
    gate.report, total = _measure(combined, None)
    _, core = _measure(combined, CORE)
    if total < TOTAL_PERCENT_MIN:
        gate.failures.append(f"coverage is {total:.1f} %, not {TOTAL_PERCENT_MIN:.0f} %")
    if core < CORE_PERCENT_MIN:
        gate.failures.append(f"coverage of the core is {core:.2f} %, not {CORE_PERCENT_MIN:.0f} %")
    if gate.failures and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the report, and what is wrong with it."""
    gate = config.stash.get(_GATE, None)
    if gate is None:
        return
    terminalreporter.section("coverage of lines and branches")
    for line in gate.report:
        terminalreporter.write_line(line)
    for failure in gate.failures:
        terminalreporter.write_line(f"ERROR: {failure}", red=True)


def _measure(coverage: Coverage, include: str | None) -> tuple[list[str], float]:
    """Return the report of files that are not fully covered, and the percentage."""
    text = io.StringIO()
    percent = coverage.report(
        include=None if include is None else [include],
        show_missing=True,
        skip_covered=True,
        file=text,
        ignore_errors=True,
    )
    return text.getvalue().splitlines(), percent
