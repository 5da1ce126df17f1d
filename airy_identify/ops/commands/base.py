"""What all commands share: exit codes, settings, JSON for machines, tables and progress bars for people."""

import asyncio
import json
import logging
import os
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from airy_identify.kafka import quieten_lost_futures
from airy_identify.ops.errors import OpsError, ToolMissingError
from airy_identify.ops.reading import Advance
from airy_identify.settings import Settings, SettingsError, load_settings

EXIT_FAILED = 1
EXIT_USAGE = 2

_T = TypeVar("_T")

PhaseProgress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""

json_option = click.option("--json", "as_json", is_flag=True, help="JSON on standard output, for machines.")


def example(command: str) -> str:
    """Return the last lines of a command's help: how it is called."""
    return f"\b\nExample:\n  {command}"


class Commands(click.Group):
    """A group whose commands end with 2 when settings or tools are wrong, and with 1 when the work failed."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - the signature is click's
        """Run the command and turn what went wrong into a few lines on standard error."""
        try:
            return super().invoke(ctx)
        except (SettingsError, ToolMissingError) as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(EXIT_USAGE)
        except OpsError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(EXIT_FAILED)


def settings_of_environment(*, required: Iterable[str] = ()) -> Settings:
    """Return the settings of this process. Raises `SettingsError`."""
    return load_settings(os.environ, required=required)


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run the asynchronous part of a command. What libraries log is left out: errors are said by the command."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

    async def quietly() -> _T:
        quieten_lost_futures(asyncio.get_running_loop())
        return await work

    return asyncio.run(quietly())


def print_json(value: object) -> None:
    """Print a value as JSON on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table for people on standard output; null is shown as a dash."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("–" if cell is None else printable(str(cell)) for cell in row))  # noqa: RUF001 - a dash
    Console(markup=False, highlight=False).print(table)


def printable(text: str) -> str:
    """Return the text with everything escaped that a terminal might obey."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


@contextmanager
def progress_bar(what: str) -> Iterator[Advance]:
    """Show on standard error how far the reading is, while there is a person to look at it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield advance


class _SpeedColumn(TextColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.0f}/s")


@contextmanager
def phase_bar() -> Iterator[PhaseProgress]:
    """Show on standard error what is being done, how fast and how long it will take, while a person looks at it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _SpeedColumn(""),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for task in tasks.values():
                    progress.remove_task(task)
                tasks.clear()
                tasks[what] = progress.add_task(what)
            progress.update(tasks[what], completed=done, total=total)

        yield advance
