"""`rebuild`: says what can be made again, makes it, and says what became of it. How it is done is in `stream.rebuild`."""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import click
from rich.console import Console

from airy_identify.ops.commands.base import (
    EXIT_FAILED,
    PhaseProgress,
    example,
    json_option,
    phase_bar,
    print_json,
    print_table,
    run,
    settings_of_environment,
)
from airy_identify.ops.commands.verify import Difference, key_shown, row_shown
from airy_identify.ops.errors import OpsError
from airy_identify.ops.generations import TABLES, discard, find_old, read_generations, table_partitions
from airy_identify.ops.retention import Kept, needs_of, read_kept
from airy_identify.ops.topics import read_topics
from airy_identify.settings import Settings
from airy_identify.topics import CONVERSATION, IDENTITY
from airy_identify.wire.answers import iso_time

_LINE_EVERY_S = 10.0
_SIDES = ("running", "rebuilt")


class Answered(Protocol):
    """Up to where a log was answered: `stream.rebuild_evidence.Answered`."""

    @property
    def offset(self) -> int | None: ...  # noqa: D102 - as there
    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def exact(self) -> bool: ...  # noqa: D102


class Reach(Protocol):
    """What can be made again of a partition: `stream.rebuild_plan.Reach`."""

    @property
    def table(self) -> str: ...  # noqa: D102 - as there
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def generation(self) -> int: ...  # noqa: D102
    @property
    def building(self) -> int | None: ...  # noqa: D102
    @property
    def log(self) -> str: ...  # noqa: D102
    @property
    def begin(self) -> int: ...  # noqa: D102
    @property
    def end(self) -> int: ...  # noqa: D102
    @property
    def began_at_ms(self) -> int | None: ...  # noqa: D102
    @property
    def answered(self) -> Answered: ...  # noqa: D102
    @property
    def whole(self) -> bool: ...  # noqa: D102
    @property
    def problems(self) -> Sequence[str]: ...  # noqa: D102


class Compared(Protocol):
    """How two tables differ: `stream.comparison.Comparison`."""

    @property
    def differing(self) -> int: ...  # noqa: D102 - as there
    @property
    def differences(self) -> Sequence[Difference]: ...  # noqa: D102


class Rebuilt(Protocol):
    """What became of a partition: `stream.rebuild.Rebuilt`."""

    @property
    def table(self) -> str: ...  # noqa: D102 - as there
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def generation(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int | None: ...  # noqa: D102
    @property
    def digest(self) -> bytes | None: ...  # noqa: D102
    @property
    def rows(self) -> int: ...  # noqa: D102
    @property
    def comparison(self) -> Compared | None: ...  # noqa: D102
    @property
    def answered(self) -> Answered | None: ...  # noqa: D102
    @property
    def notes(self) -> Sequence[str]: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildOptions:
    """What to rebuild, and how. No partitions means all; `answered_to` is null to find out."""

    tables: tuple[str, ...]
    partitions: tuple[int, ...]
    offline: bool = False
    all_at_once: bool = False
    anew: bool = False
    replace_different: bool = False
    accept_gaps: bool = False
    answered_to: int | None = None
    differences: int = 10
    handover_timeout_s: float = 120.0
    work_dir: Path | None = None


Plan = Callable[[Settings, RebuildOptions], AsyncIterator[Reach]]
Rebuild = Callable[[Settings, RebuildOptions, PhaseProgress], AsyncIterator[Rebuilt]]


def make_rebuild_command(plan: Plan, rebuild: Rebuild) -> click.Command:
    """Return the command; `plan` looks what can be made again, `rebuild` does it and yields what became of each partition."""

    @click.command(name="rebuild", epilog=example("airy-identify rebuild --check && airy-identify rebuild"))
    @click.option("--table", "tables", multiple=True, type=click.Choice(TABLES), help="Which; both that have rows.")
    @click.option("--partition", "partitions", multiple=True, type=click.IntRange(min=0), help="Which partition; all.")
    @click.option("--check", is_flag=True, help="Only say what can be made again, and what not.")
    @click.option("--all-at-once", is_flag=True, help="Build and prove everything before the first shard is switched.")
    @click.option(
        "--offline", is_flag=True, help="Switch without the worker: for a shard that is closed, or when no worker runs."
    )
    @click.option("--anew", is_flag=True, help="Do not go on with a rebuild that was cut short.")
    @click.option(
        "--replace-different", is_flag=True, help="Switch also where the running table is not what its log gives."
    )
    @click.option("--accept-gaps", is_flag=True, help="Go on where the log no longer reaches back to its start.")
    @click.option(
        "--answered-to",
        type=click.IntRange(min=0),
        help="With --offline and one partition: the last offset of the log that was answered, if you know better.",
    )
    @click.option(
        "--wait",
        "handover_timeout_s",
        type=click.FloatRange(min=1),
        default=120.0,
        show_default=True,
        help="Seconds for a shard to turn to its new table.",
    )
    @click.option(
        "--differences", type=click.IntRange(min=1), default=10, show_default=True, help="How many rows to name."
    )
    @click.option("--show-keys", is_flag=True, help="Name rows by their keys, which hold people's data.")
    @click.option(
        "--work-dir",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Where tables are made: room for three copies of a partition. Default is AIRY_IDENTIFY_DATA_DIR.",
    )
    @click.option(
        "--discard-old", is_flag=True, help="Delete changelogs and directories that no partition uses any more."
    )
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @json_option
    def command(  # noqa: PLR0913 - one for each option
        *,
        tables: tuple[str, ...],
        check: bool,
        discard_old: bool,
        show_keys: bool,
        yes: bool,
        as_json: bool,
        **more: Any,  # noqa: ANN401 - the fields of RebuildOptions
    ) -> None:
        """Make the tables again from their logs, beside the running ones, prove them, and switch over.

        Goes on while the service runs: nothing is answered again, no id changes. It may be killed at any time; the same
        command goes on. The old changelogs are kept until --discard-old. docs/rebuild.md says more.
        """
        options = RebuildOptions(tables=tables or (IDENTITY, CONVERSATION), **more)
        _refuse_nonsense(options, discard_old=discard_old)
        settings = settings_of_environment()
        if discard_old:
            _discard(settings, yes=yes, as_json=as_json)
            return
        reaches = run(_all(plan(settings, options)))
        problems = [problem for reach in reaches for problem in reach.problems]
        kept = run(_kept(settings, reaches))
        if not as_json:
            _print_plan(reaches)
        if check:
            if as_json:
                print_json([_reach_as_json(reach, kept[reach.table]) for reach in reaches])
            else:
                _print_kept(kept)
            click.get_current_context().exit(EXIT_FAILED if problems else 0)
        for problem in _at_risk(kept):
            click.echo(f"the next rebuild is at risk: {problem}", err=True)
        if problems and not options.accept_gaps:
            raise OpsError(
                "\n".join(problems) + "\nNothing was written. With --accept-gaps it goes on without what is gone."
            )
        if options.offline and not yes:
            click.confirm("Switch without the workers?", abort=True, err=True)
        with progress_shown() as advance:
            done = run(_all(rebuild(settings, options, advance), None if as_json else _print))
        if as_json:
            print_json([_as_json(each, show_keys=show_keys) for each in done])
        else:
            _print_differences(done, show_keys=show_keys)

    return command


def _refuse_nonsense(options: RebuildOptions, *, discard_old: bool) -> None:
    """Raise `click.UsageError` for options that contradict each other."""
    if options.answered_to is not None and not (
        options.offline and len(options.partitions) == len(options.tables) == 1
    ):
        raise click.UsageError("--answered-to is for --offline, one --table and one --partition.")
    if options.all_at_once and options.offline:
        raise click.UsageError("--all-at-once is for shards that switch by themselves, not for --offline.")
    if discard_old and (options.offline or options.partitions):
        raise click.UsageError("--discard-old is a command of its own: it takes no --partition and no --offline.")


async def _all(found: AsyncIterator[Any], show: Callable[[Any], None] | None = None) -> list[Any]:
    """Take everything, and show each as it comes."""
    taken = []
    async for each in found:
        taken.append(each)
        if show is not None:
            show(each)
    return taken


@contextmanager
def progress_shown() -> Iterator[PhaseProgress]:
    """Show on standard error what is being done: a bar for a person, else a line for each thing and every ten seconds."""
    if Console(stderr=True).is_terminal:
        with phase_bar() as advance:
            yield advance
        return
    begun: dict[str, tuple[float, int]] = {}
    said_at = 0.0

    def say(what: str, done: int, total: int) -> None:
        nonlocal said_at
        now_s = time.monotonic()
        first = what not in begun
        if first:
            begun.clear()
            begun[what] = (now_s, done)
        if total <= 1 and first:
            click.echo(what, err=True)
        elif total > 1 and (first or now_s - said_at > _LINE_EVERY_S):
            click.echo(line(what, done, total, now_s - begun[what][0]), err=True)
        else:
            return
        said_at = now_s

    yield say


def line(what: str, done: int, total: int, elapsed_s: float) -> str:
    """Return what is said where there is no bar: how much is done, how fast, how long it will take."""
    if elapsed_s <= 0 or done <= 0:
        return f"{what}: {done} of {total}"
    speed = done / elapsed_s
    return f"{what}: {done} of {total}, {speed:,.0f}/s, {max(0, total - done) / speed:.0f} s left"


def _print_plan(reaches: Sequence[Reach]) -> None:
    for reach in reaches:
        since = "" if reach.began_at_ms is None else f" since {iso_time(reach.began_at_ms)}"
        held = "nothing" if reach.begin == reach.end else f"offsets {reach.begin} to {reach.end - 1}{since}"
        what = "everything can be made again" if reach.whole else "not everything can be made again"
        click.echo(f"{reach.table} {reach.partition}: {reach.log} holds {held}: {what}")
        if reach.answered.offset is not None:
            exactly = "exactly" if reach.answered.exact else "at least"
            click.echo(f"        answered up to offset {reach.answered.offset}, {exactly}: {reach.answered.source}")
        if reach.building is not None:
            click.echo(f"        generation {reach.building} was begun; it goes on (--anew begins again)")
        for problem in reach.problems:
            click.echo(f"        {problem}")


async def _kept(settings: Settings, reaches: Sequence[Reach]) -> dict[str, list[Kept]]:
    """Return how long the topics are kept that the tables are made of."""
    tables = dict.fromkeys(each.table for each in reaches)
    book = await read_generations(settings)
    numbers = {book.number(IDENTITY, each.partition) for each in reaches}
    changelogs = [settings.topic_names.changelog(IDENTITY, number) for number in sorted(numbers)]
    return {table: await read_kept(settings, needs_of(settings, table, changelogs)) for table in tables}


def _at_risk(kept: Mapping[str, Sequence[Kept]]) -> list[str]:
    return list(dict.fromkeys(each.problem for topics in kept.values() for each in topics if each.problem is not None))


def _print_kept(kept: Mapping[str, Sequence[Kept]]) -> None:
    for text in dict.fromkeys(str(each) for topics in kept.values() for each in topics):
        click.echo(text)
    for problem in _at_risk(kept):
        click.echo(f"AT RISK {problem}")


def _print(done: Rebuilt) -> None:
    at = "nothing applied yet" if done.offset is None else f"log offset {done.offset}"
    digest = "" if done.digest is None else f", digest {done.digest.hex()}"
    click.echo(f"OK      {done.table} {done.partition}: generation {done.generation}, {at}: {done.rows} rows{digest}")
    if done.answered is not None and not done.answered.exact:
        click.echo(
            f"        answered up to offset {done.answered.offset} at least ({done.answered.source}): what was answered "
            f"after it is answered once more"
        )
    for note in done.notes:
        click.echo(f"        {note}")


def _print_differences(done: Sequence[Rebuilt], *, show_keys: bool) -> None:
    rows = [
        (f"{each.table} {each.partition}", key_shown(found.key, show_keys=show_keys), *_sides(found.rows))
        for each in done
        if each.comparison is not None
        for found in each.comparison.differences
    ]
    if rows:
        print_table("the first rows that differed", ("table", "key" if show_keys else "hash of key", *_SIDES), rows)


def _sides(rows: Mapping[str, bytes | None]) -> list[str | None]:
    return [row_shown(rows, side) for side in _SIDES]


def _discard(settings: Settings, *, yes: bool, as_json: bool) -> None:
    async def find() -> Any:  # noqa: ANN401 - ops.generations.Old
        names = settings.topic_names
        found = await read_topics(settings.kafka_bootstrap_servers, [names.airy_messages, names.airy_contacts])
        messages, contacts = (
            found[name].partitions if name in found else 0 for name in (names.airy_messages, names.airy_contacts)
        )
        return await find_old(settings, table_partitions(settings, messages, contacts))

    old = run(find())
    if not as_json:
        for name in (*old.topics, *old.directories):
            click.echo(f"no partition uses {name}")
    if (old.topics or old.directories) and not yes:
        click.confirm("Delete them? There is no way back to them.", abort=True, err=True)
    run(discard(settings, old))
    if as_json:
        print_json({"topics": list(old.topics), "directories": [str(path) for path in old.directories]})
    else:
        click.echo(f"{len(old.topics)} topics and {len(old.directories)} directories deleted")


def _answered_as_json(answered: Answered | None) -> dict[str, Any] | None:
    if answered is None:
        return None
    return {"offset": answered.offset, "source": answered.source, "exact": answered.exact}


def _reach_as_json(reach: Reach, kept: Sequence[Kept]) -> dict[str, Any]:
    return {
        "table": reach.table,
        "partition": reach.partition,
        "generation": reach.generation,
        "building": reach.building,
        "log": {"topic": reach.log, "begin": reach.begin, "end": reach.end},
        "answered": _answered_as_json(reach.answered),
        "whole": reach.whole,
        "problems": list(reach.problems),
        "topics": [
            {
                "topic": each.topic,
                "cleanup_policy": each.cleanup_policy,
                "retention_ms": each.retention_ms,
                "retention_bytes": each.retention_bytes,
                "at_risk": each.problem,
            }
            for each in kept
        ],
    }


def _as_json(done: Rebuilt, *, show_keys: bool) -> dict[str, Any]:
    differences = () if done.comparison is None else done.comparison.differences
    return {
        "table": done.table,
        "partition": done.partition,
        "generation": done.generation,
        "offset": done.offset,
        "digest": None if done.digest is None else done.digest.hex(),
        "rows": done.rows,
        "answered": _answered_as_json(done.answered),
        "differences": [
            {
                "key": key_shown(each.key, show_keys=show_keys),
                "rows": {side: row_shown(each.rows, side) for side in each.rows},
            }
            for each in differences
        ],
        "notes": list(done.notes),
    }
