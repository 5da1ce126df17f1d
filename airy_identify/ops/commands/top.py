"""`top`: what workers and bridges are doing now, again and again."""

import asyncio
import re
from collections.abc import Mapping, Sequence

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from airy_identify.ops.commands.base import EXIT_FAILED, example, printable, run, settings_of_environment
from airy_identify.ops.overview import ShardRow, Totals, shard_rows, totals
from airy_identify.ops.probing import Told, ask_all
from airy_identify.settings import Settings

_ADDRESS = re.compile(r"(?:http://)?((?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5})/?")
_NOTHING = "–"  # noqa: RUF001 - a dash
_SHARD_COLUMNS = ("agent", "partition", "state", "offset", "behind", "records/s", "digest")
_GOOD = {"running", "following"}
_SILENT = "silent"
_PIPE_COLUMNS = 200
"""What reads a pipe breaks no lines."""


class _Address(click.ParamType):
    """host:port, with or without http:// before it."""

    name = "host:port"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the URL, or fail with a usage error."""
        match = _ADDRESS.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is not of the form host:port.", param, ctx)
        return f"http://{match[1]}"


@click.command(epilog=example("airy-identify top 10.0.0.1:8081 10.0.0.2:8081 10.0.0.3:8080"))
@click.argument("addresses", nargs=-1, type=_Address(), metavar="[HOST:PORT]...")
@click.option("--once", is_flag=True, help="Print one frame and end; 1 when nobody answers.")
@click.option(
    "--interval", type=click.FloatRange(0.2, 60), default=2.0, show_default=True, help="Seconds between frames."
)
def top(*, addresses: tuple[str, ...], once: bool, interval: float) -> None:
    """Show shards, standbys, rates, lag, restores and refusals of running workers and bridges, until Ctrl-C.

    HOST:PORT are theirs, as in AIRY_IDENTIFY_WORKER_PORT and AIRY_IDENTIFY_HTTP_PORT; without any, it is this machine's
    worker and bridge by the settings. Kafka is not asked.
    """
    asked = addresses or default_addresses(settings_of_environment())
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=_PIPE_COLUMNS)
    if once:
        told = run(ask_all(asked))
        console.print(frame(told))
        if all(each.silence for each in told):
            click.get_current_context().exit(EXIT_FAILED)
        return
    try:
        run(_live(asked, interval, console))
    except KeyboardInterrupt:
        click.echo()


def default_addresses(settings: Settings) -> tuple[str, ...]:
    """Return where a worker and a bridge with these settings are."""
    return (
        f"http://{settings.worker_host}:{settings.worker_port}",
        f"http://{settings.http_host}:{settings.http_port}",
    )


async def _live(addresses: Sequence[str], interval_s: float, console: Console) -> None:
    before: list[Told] = []
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            now = await ask_all(addresses)
            live.update(frame(now, before), refresh=True)
            before = now
            await asyncio.sleep(interval_s)


def frame(now: Sequence[Told], before: Sequence[Told] = ()) -> RenderableType:
    """Return what is shown of this moment; with the moment before it, rates too."""
    return Group(_processes(now), *_shards(shard_rows(now, before), now), _totals(totals(now, before)))


def _processes(now: Sequence[Told]) -> Table:
    table = _table("process", "what", "ready", "")
    for told in now:
        if told.silence is not None:
            table.add_row(told.address, _NOTHING, Text(_SILENT, "red"), printable(told.silence))
            continue
        ready = Text("no", "red") if told.problems else Text("yes", "green")
        table.add_row(told.address, told.kind, ready, printable("\n".join(told.problems[:5])).replace("\\n", "\n"))
    return table


def _shards(rows: Sequence[ShardRow], now: Sequence[Told]) -> list[Table]:
    """Return the table of shards; which worker and which generation only where there are several."""
    if not rows:
        return []
    several = len({row.address for row in rows}) > 1 or len(now) > 2  # noqa: PLR2004 - a worker and a bridge
    rebuilt = any((row.generation or 1) > 1 for row in rows)
    more = (*(["generation"] if rebuilt else []), *(["worker"] if several else []))
    table = _table(*_SHARD_COLUMNS, *more, right=("partition", "offset", "behind", "records/s", "generation"))
    for row in rows:
        state = f"standby, {row.state}" if row.standby else row.state
        table.add_row(
            Text(row.agent),
            str(row.partition),
            Text(state, "" if row.state in _GOOD else "yellow" if row.state in {"opening", "waiting"} else "red"),
            _number(row.offset),
            _number(row.behind),
            _number(row.per_s),
            row.digest or _NOTHING,
            *([_number(row.generation)] if rebuilt else []),
            *([row.address.removeprefix("http://")] if several else []),
        )
    return [table]


def _totals(found: Totals) -> Table:
    table = _table("", "")
    table.add_row(
        "requests over HTTP", f"{found.requests:,}, {_number(found.requests_per_s)} a second, {found.pending} waiting"
    )
    table.add_row("refused over HTTP", _listed(found.refusals))
    table.add_row("records applied", f"{_number(found.records_per_s)} a second")
    table.add_row("rows restored", f"{found.restored_rows:,}")
    table.add_row("shards opened again", _listed(found.reopened))
    table.add_row("dead letters", _listed(found.dead_letters))
    table.add_row("records skipped", f"{found.skips:,}")
    return table


def _table(*columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(show_edge=False, pad_edge=False, box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def _number(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:,.0f}"


def _listed(counts: Mapping[str, int]) -> str:
    return printable(", ".join(f"{name} {count:,}" for name, count in counts.items())) or "0"
