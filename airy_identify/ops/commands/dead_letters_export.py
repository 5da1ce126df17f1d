"""`dead-letters export`: everything that the dead letters topic holds, as JSON lines."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from airy_identify.ops.commands.base import example, progress_bar, run, settings_of_environment
from airy_identify.ops.commands.dead_letter_forms import letter_as_json
from airy_identify.ops.dead_letters import find_dead_letters, read_dead_letters
from airy_identify.ops.errors import OpsError
from airy_identify.ops.reading import Advance
from airy_identify.settings import Settings


@click.command(epilog=example("airy-identify dead-letters export --output letters.jsonl"))
@click.option("--code", help="Only those with this code.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write, standard output when absent. Its owner alone can read it: dead letters hold what people sent.",
)
def export(*, code: str | None, output: Path | None) -> None:
    """Write all dead letters as JSON lines, with every byte and header, in base64."""
    settings = settings_of_environment()
    with progress_bar("reading the dead letters") as advance:
        if output is None:
            run(_export(settings, click.get_text_stream("stdout"), code, advance))
            return
        with _written(output) as lines:
            count = run(_export(settings, lines, code, advance))
    click.echo(f"{count} dead letters written to {output}", err=True)


async def _export(settings: Settings, lines: TextIO, code: str | None, advance: Advance) -> int:
    count = 0
    found = await find_dead_letters(settings, lambda letter: code in (None, letter.code), advance=advance)
    async for letter in read_dead_letters(settings, found, advance=advance):
        lines.write(json.dumps(letter_as_json(letter)) + "\n")
        count += 1
    return count


@contextmanager
def _written(path: Path) -> Iterator[TextIO]:
    """Write a file that appears under its name when it is whole."""
    part = path.with_name(path.name + ".part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as lines:
            yield lines
        part.replace(path)
    except OSError as error:
        raise OpsError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
