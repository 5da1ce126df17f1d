"""`dead-letters list` and `dead-letters show`; the group that has the other two as well."""

import click

from airy_identify.header_names import shown_name
from airy_identify.ops.commands.base import (
    Commands,
    example,
    json_option,
    print_json,
    print_table,
    progress_bar,
    run,
    settings_of_environment,
)
from airy_identify.ops.commands.dead_letter_forms import PlaceType, bytes_as_text, letter_as_json
from airy_identify.ops.commands.dead_letters_export import export
from airy_identify.ops.commands.dead_letters_retry import retry
from airy_identify.ops.dead_letters import list_dead_letters, read_one


@click.group(cls=Commands, name="dead-letters", epilog=example("airy-identify dead-letters list"))
def dead_letters() -> None:
    """Look at the records that could not be processed, and send them again."""


@dead_letters.command(name="list", epilog=example("airy-identify dead-letters list --newest 10"))
@click.option("--newest", type=click.IntRange(min=1), default=50, show_default=True, help="How many to list.")
@json_option
def list_command(*, newest: int, as_json: bool) -> None:
    """List the newest dead letters: where each lies, where it came from, and why it is there."""
    settings = settings_of_environment()
    with progress_bar("reading the dead letters") as advance:
        letters = run(list_dead_letters(settings, newest=newest, advance=advance))
    if as_json:
        print_json([letter_as_json(letter) for letter in letters])
        return
    rows = [
        (f"{letter.partition}:{letter.offset}", letter.source, letter.code, letter.time, letter.retried_at)
        for letter in letters
    ]
    print_table("dead letters", ("place", "from topic:partition:offset", "code", "time", "sent again"), rows)


@dead_letters.command(epilog=example("airy-identify dead-letters show 3:17"))
@click.argument("place", type=PlaceType())
@json_option
def show(*, place: tuple[int, int], as_json: bool) -> None:
    """Show the dead letter at PLACE, partition:offset of the dead letters topic."""
    settings = settings_of_environment()
    partition, offset = place
    letter = run(read_one(settings, partition=partition, offset=offset))
    if as_json:
        print_json(letter_as_json(letter))
        return
    rows = [
        ("from topic:partition:offset", letter.source),
        ("code", letter.code),
        ("reason", letter.text),
        ("time", letter.time),
        *([("meant for", letter.reply_topic)] if letter.reply_topic is not None else []),
        *([("bytes lost", letter.bytes_lost)] if letter.bytes_lost is not None else []),
        ("key", None if letter.key is None else bytes_as_text(letter.key)),
        *(
            (f"header {shown_name(name)}", None if value is None else bytes_as_text(value))
            for name, value in letter.headers
        ),
    ]
    print_table(f"dead letter {partition}:{offset}", ("what", "value"), rows)
    click.echo("value: null" if letter.value is None else f"value, {len(letter.value)} bytes:")
    if letter.value is not None:
        click.echo(bytes_as_text(letter.value))


dead_letters.add_command(retry)
dead_letters.add_command(export)
