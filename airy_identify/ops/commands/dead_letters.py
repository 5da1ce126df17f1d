"""`dead-letters list` and `dead-letters show`."""

import base64
import re
from typing import Any

import click

from airy_identify.ops.commands.base import (
    Commands,
    example,
    json_option,
    print_json,
    print_table,
    printable,
    progress_bar,
    run,
    settings_of_environment,
)
from airy_identify.ops.dead_letters import DeadLetter, list_dead_letters, read_one

_PLACE = re.compile(r"(\d+):(\d+)")
_HEX_LINE_BYTES = 16
_SHOWN_BYTES_MAX = 16 * 1024


class _Place(click.ParamType):
    """`partition:offset`, as two numbers."""

    name = "partition:offset"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return partition and offset, or fail with a usage error."""
        match = _PLACE.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is not of the form partition:offset, as `dead-letters list` shows it.", param, ctx)
        return int(match[1]), int(match[2])


@click.group(cls=Commands, name="dead-letters", epilog=example("airy-identify dead-letters list"))
def dead_letters() -> None:
    """Look at the records that could not be processed."""


@dead_letters.command(name="list", epilog=example("airy-identify dead-letters list --newest 10"))
@click.option("--newest", type=click.IntRange(min=1), default=50, show_default=True, help="How many to list.")
@json_option
def list_command(*, newest: int, as_json: bool) -> None:
    """List the newest dead letters: where each lies, where it came from, and why it is there."""
    settings = settings_of_environment()
    with progress_bar("reading the dead letters") as advance:
        letters = run(list_dead_letters(settings, newest=newest, advance=advance))
    if as_json:
        print_json([_as_json(letter) for letter in letters])
        return
    rows = [(f"{letter.partition}:{letter.offset}", letter.source, letter.code, letter.time) for letter in letters]
    print_table("dead letters", ("place", "from topic:partition:offset", "code", "time"), rows)


@dead_letters.command(epilog=example("airy-identify dead-letters show 3:17"))
@click.argument("place", type=_Place())
@json_option
def show(*, place: tuple[int, int], as_json: bool) -> None:
    """Show the dead letter at PLACE, partition:offset of the dead letters topic."""
    settings = settings_of_environment()
    partition, offset = place
    letter = run(read_one(settings, partition=partition, offset=offset))
    if as_json:
        print_json(_as_json(letter))
        return
    rows = [
        ("from topic:partition:offset", letter.source),
        ("code", letter.code),
        ("reason", letter.text),
        ("time", letter.time),
        ("key", None if letter.key is None else bytes_as_text(letter.key)),
        *((f"header {name}", None if value is None else bytes_as_text(value)) for name, value in letter.headers),
    ]
    print_table(f"dead letter {partition}:{offset}", ("what", "value"), rows)
    click.echo("value: null" if letter.value is None else f"value, {len(letter.value)} bytes:")
    if letter.value is not None:
        click.echo(bytes_as_text(letter.value))


def bytes_as_text(data: bytes) -> str:
    """Return bytes for the eyes: as text when they are printable text, else in hexadecimal; long ones are cut."""
    rest = f"\n… {len(data) - _SHOWN_BYTES_MAX} bytes more" if len(data) > _SHOWN_BYTES_MAX else ""
    shown = data[:_SHOWN_BYTES_MAX]
    try:
        text = shown.decode()
    except UnicodeDecodeError as error:
        if not rest or error.start < len(shown) - 3:  # else the cut went through a character
            return _hexadecimal(shown) + rest
        text = shown[: error.start].decode()
    return "\n".join(printable(line) for line in text.split("\n")) + rest


def _hexadecimal(data: bytes) -> str:
    lines = []
    for start in range(0, len(data), _HEX_LINE_BYTES):
        part = data[start : start + _HEX_LINE_BYTES]
        letters = "".join(chr(byte) if chr(byte).isascii() and chr(byte).isprintable() else "." for byte in part)
        lines.append(f"{start:08x}  {part.hex(' '):<{3 * _HEX_LINE_BYTES}} {letters}")
    return "\n".join(lines)


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    return {
        "partition": letter.partition,
        "offset": letter.offset,
        "source": letter.source,
        "code": letter.code,
        "text": letter.text,
        "time": letter.time,
        "key_base64": _base64(letter.key),
        "value_base64": _base64(letter.value),
        "headers_base64": [{"name": name, "value": _base64(value)} for name, value in letter.headers],
    }


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
