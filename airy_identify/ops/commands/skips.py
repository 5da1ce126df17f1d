"""`skip` and `skips`."""

import getpass
import re
import socket
import time

import click

from airy_identify.ops.commands.base import (
    example,
    json_option,
    print_json,
    print_table,
    progress_bar,
    run,
    settings_of_environment,
)
from airy_identify.ops.skips import SkipState, ask_skip, list_skips
from airy_identify.wire.answers import iso_time
from airy_identify.wire.skips import Skip

_PLACE = re.compile(r"([a-zA-Z0-9._-]{1,249}):(\d{1,9}):(\d{1,18})")
_TEXT_MAX = 1000


class _Place(click.ParamType):
    """`topic:partition:offset`."""

    name = "topic:partition:offset"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int, int]:
        """Return topic, partition and offset, or fail with a usage error."""
        match = _PLACE.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is not of the form topic:partition:offset, as logs and /readyz show it.", param, ctx)
        return match[1], int(match[2]), int(match[3])


class _Text(click.ParamType):
    """A text that is not blank and not too long."""

    name = "text"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text without white space around it, or fail with a usage error."""
        text = str(value).strip()
        if not text or len(text) > _TEXT_MAX:
            self.fail(f"must be 1 to {_TEXT_MAX} characters.", param, ctx)
        return text


def whoami() -> str:
    """Return user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


@click.command(epilog=example("airy-identify skip identity-commands:3:1234 --reason 'defect 77, forgotten by hand'"))
@click.argument("place", type=_Place(), metavar="TOPIC:PARTITION:OFFSET")
@click.option("--reason", type=_Text(), required=True, help="Why; it is kept, and goes to the dead letters with it.")
@click.option("--by", type=_Text(), default=whoami, show_default="user@host", help="Who decides it.")
def skip(*, place: tuple[str, int, int], reason: str, by: str) -> None:
    """Pass over the record that a shard is paused at, for good: it goes to the dead letters, and no rebuild applies it.

    Look at the cause first: a record that a mended release can process is better left where it is. This cannot be
    taken back.
    """
    settings = settings_of_environment()
    topic, partition, offset = place
    decided = Skip(
        topic=topic, partition=partition, offset=offset, reason=reason, by=by, asked_at_ms=int(time.time() * 1000)
    )
    with progress_bar("looking how far the log is applied") as advance:
        run(ask_skip(settings, decided, advance))
    click.echo(f"{decided.place} will be passed over; `airy-identify skips` says when it was")


@click.command(epilog=example("airy-identify skips --json"))
@json_option
def skips(*, as_json: bool) -> None:
    """List the records that are passed over: where each is, who decided it, when, why, and whether it was passed."""
    settings = settings_of_environment()
    with progress_bar("reading the skips") as advance:
        found = run(list_skips(settings, advance))
    if as_json:
        print_json([_as_json(state) for state in found])
        return
    rows = [
        (
            state.skip.place,
            "passed" if state.passed else "waiting",
            iso_time(state.skip.asked_at_ms),
            state.skip.by,
            state.skip.reason,
        )
        for state in found
    ]
    print_table("skips", ("topic:partition:offset", "state", "decided", "by", "reason"), rows)


def _as_json(state: SkipState) -> dict[str, object]:
    skip = state.skip
    return {
        "topic": skip.topic,
        "partition": skip.partition,
        "offset": skip.offset,
        "passed": state.passed,
        "by": skip.by,
        "reason": skip.reason,
        "asked_at": iso_time(skip.asked_at_ms),
    }
