"""Dead letters as operators see them: their place on the command line, their bytes for the eyes, and as JSON."""

import base64
import re
from typing import Any

import click

from airy_identify.header_names import name_bytes, shown_name
from airy_identify.ops.commands.base import printable
from airy_identify.ops.dead_letters import DeadLetter

_PLACE = re.compile(r"(\d+):(\d+)")
_HEX_LINE_BYTES = 16
_SHOWN_BYTES_MAX = 16 * 1024


class PlaceType(click.ParamType):
    """`partition:offset`, as two numbers."""

    name = "partition:offset"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Return partition and offset, or fail with a usage error."""
        match = _PLACE.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is not of the form partition:offset, as `dead-letters list` shows it.", param, ctx)
        return int(match[1]), int(match[2])


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


def letter_as_json(letter: DeadLetter) -> dict[str, Any]:
    """Return everything that is known of a dead letter, bytes in base64."""
    return {
        "partition": letter.partition,
        "offset": letter.offset,
        "written_at_ms": letter.written_at_ms,
        "source": letter.source,
        "source_topic": letter.source_topic,
        "source_partition": letter.source_partition,
        "source_offset": letter.source_offset,
        "code": letter.code,
        "text": letter.text,
        "time": letter.time,
        "reply_topic": letter.reply_topic,
        "reply_partition": letter.reply_partition,
        "bytes_lost": letter.bytes_lost,
        "retried_at": letter.retried_at,
        "key_base64": _base64(letter.key),
        "value_base64": _base64(letter.value),
        "headers_base64": [
            {"name": shown_name(name), "name_base64": _base64(name_bytes(name)), "value": _base64(value)}
            for name, value in letter.headers
        ],
    }


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
