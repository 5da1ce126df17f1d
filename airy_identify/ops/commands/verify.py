"""`verify`: prints what the verification finds. How it is done is in `stream.verification`."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click

from airy_identify.ops.commands.base import (
    EXIT_FAILED,
    PhaseProgress,
    example,
    json_option,
    phase_bar,
    print_json,
    print_table,
    printable,
    run,
    settings_of_environment,
)
from airy_identify.settings import Settings
from airy_identify.topics import CONVERSATION, IDENTITY

_HASH_BYTES = 8
_SIDES = ("rocksdb", "changelog", "log")


class Difference(Protocol):
    """A key whose row is not the same on every side."""

    @property
    def key(self) -> bytes:
        """The row key."""

    @property
    def rows(self) -> Mapping[str, bytes | None]:
        """The row on each side."""


class Verdict(Protocol):
    """What was found about one partition: `stream.verification.Verdict`."""

    @property
    def table(self) -> str: ...  # noqa: D102 - as there
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int | None: ...  # noqa: D102
    @property
    def digests(self) -> Mapping[str, bytes]: ...  # noqa: D102
    @property
    def counts(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def differing(self) -> int: ...  # noqa: D102
    @property
    def differences(self) -> Sequence[Difference]: ...  # noqa: D102
    @property
    def problems(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def notes(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def ok(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions:
    """What to verify: which tables, which partitions (none means all), how many differences to name, and where to work."""

    tables: tuple[str, ...]
    partitions: tuple[int, ...]
    keep: int
    work_dir: Path | None


Verify = Callable[[Settings, VerifyOptions, PhaseProgress], AsyncIterator[Verdict]]


def make_verify_command(verify: Verify) -> click.Command:
    """Return the command; `verify` does the work and yields a verdict for each partition."""

    @click.command(name="verify", epilog=example("airy-identify verify --table contact-identity --partition 3"))
    @click.option(
        "--table", "tables", multiple=True, type=click.Choice([IDENTITY, CONVERSATION]), help="Which table; both."
    )
    @click.option("--partition", "partitions", multiple=True, type=click.IntRange(min=0), help="Which partition; all.")
    @click.option(
        "--differences", type=click.IntRange(min=1), default=10, show_default=True, help="How many rows to name."
    )
    @click.option("--show-keys", is_flag=True, help="Name rows by their keys, which hold people's data.")
    @click.option("--all-sides", is_flag=True, help="Fail, too, when a side could not be compared.")
    @click.option(
        "--work-dir",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Where tables are made again: room for two copies of a partition. Default is the system's own place.",
    )
    @json_option
    def command(  # noqa: PLR0913 - one for each option
        *,
        tables: tuple[str, ...],
        partitions: tuple[int, ...],
        differences: int,
        show_keys: bool,
        all_sides: bool,
        work_dir: Path | None,
        as_json: bool,
    ) -> None:
        """Prove the tables: RocksDB, changelog and the fold of the log, compared row by row.

        Goes on while the service runs. RocksDB is compared where it is on this machine, in AIRY_IDENTIFY_DATA_DIR: run
        this beside each worker. The fold applies the log from its start, with the agents' own code.
        """
        settings = settings_of_environment()
        options = VerifyOptions(
            tables=tables or (IDENTITY, CONVERSATION), partitions=partitions, keep=differences, work_dir=work_dir
        )
        with phase_bar() as advance:
            verdicts = run(_collect(verify(settings, options, advance), show=None if as_json else show_keys))
        if as_json:
            print_json([_as_json(verdict, show_keys=show_keys) for verdict in verdicts])
        failed = [
            verdict for verdict in verdicts if not verdict.ok or (all_sides and len(verdict.digests) < len(_SIDES))
        ]
        if failed or not verdicts:
            click.get_current_context().exit(EXIT_FAILED)

    return command


async def _collect(verdicts: AsyncIterator[Verdict], *, show: bool | None) -> list[Verdict]:
    """Take the verdicts, and print each as it comes; `show` tells whether with keys, null is not at all."""
    found = []
    async for verdict in verdicts:
        found.append(verdict)
        if show is not None:
            _print(verdict, show_keys=show)
    return found


def _print(verdict: Verdict, *, show_keys: bool) -> None:
    sides = ", ".join(verdict.digests)
    at = "nothing applied yet" if verdict.offset is None else f"log offset {verdict.offset}"
    place = f"{verdict.table} {verdict.partition}, {at}"
    if verdict.ok:
        (digest,) = set(verdict.digests.values())
        rows = next(iter(verdict.counts.values()))
        click.echo(f"OK      {place}: {rows} rows, digest {digest.hex()} ({sides})")
    else:
        click.echo(f"DIFFERS {place}: {verdict.differing} rows ({sides})")
        for name, digest in verdict.digests.items():
            click.echo(f"        {name}: {verdict.counts[name]} rows, digest {digest.hex()}")
        for problem in verdict.problems:
            click.echo(f"        {problem}")
    for note in verdict.notes:
        click.echo(f"        not compared: {note}")
    if verdict.differences:
        rows_shown = [
            (key_shown(each.key, show_keys=show_keys), *(row_shown(each.rows, side) for side in _SIDES))
            for each in verdict.differences
        ]
        print_table("the first rows that differ", ("key" if show_keys else "hash of key", *_SIDES), rows_shown)


def key_shown(key: bytes, *, show_keys: bool) -> str:
    """Return a row key for the eyes: its hash, or its parts."""
    if not show_keys:
        return hashlib.blake2b(key, digest_size=_HASH_BYTES).hexdigest()
    return printable(key.decode(errors="backslashreplace").replace("\x1f", " | "))


def row_shown(rows: Mapping[str, bytes | None], side: str) -> str | None:
    """Return what a side has for a key: the row's hash and size. Null: the side was not compared."""
    if side not in rows:
        return None
    row = rows[side]
    return (
        "absent" if row is None else f"{hashlib.blake2b(row, digest_size=_HASH_BYTES).hexdigest()} ({len(row)} bytes)"
    )


def _as_json(verdict: Verdict, *, show_keys: bool) -> dict[str, Any]:
    return {
        "table": verdict.table,
        "partition": verdict.partition,
        "ok": verdict.ok,
        "offset": verdict.offset,
        "digests": {name: digest.hex() for name, digest in verdict.digests.items()},
        "rows": dict(verdict.counts),
        "differing": verdict.differing,
        "differences": [
            {
                "key": key_shown(each.key, show_keys=show_keys),
                "rows": {side: row_shown(each.rows, side) for side in each.rows},
            }
            for each in verdict.differences
        ],
        "problems": list(verdict.problems),
        "not_compared": list(verdict.notes),
    }
