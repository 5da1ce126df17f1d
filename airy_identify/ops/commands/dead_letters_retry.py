"""`dead-letters retry`: send dead letters again, each once unless told otherwise."""

import collections
import time
from collections.abc import Callable
from dataclasses import asdict

import click

from airy_identify.ops.commands.base import (
    EXIT_FAILED,
    example,
    json_option,
    print_json,
    print_table,
    progress_bar,
    run,
    settings_of_environment,
)
from airy_identify.ops.commands.dead_letter_forms import PlaceType
from airy_identify.ops.dead_letter_retry import Retried, retry_dead_letters
from airy_identify.ops.dead_letters import DeadLetter, Found, Place, find_dead_letters, missing_letter
from airy_identify.ops.reading import Advance
from airy_identify.settings import Settings
from airy_identify.wire.answers import iso_time


@click.command(epilog=example("airy-identify dead-letters retry --code undeliverable_answer"))
@click.argument("places", type=PlaceType(), nargs=-1, metavar="[PLACE]...")
@click.option("--code", help="All with this code.")
@click.option("--all", "everything", is_flag=True, help="All there are.")
@click.option("--again", is_flag=True, help="Also those that were sent again before.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def retry(  # noqa: PLR0913 - one for each option
    *, places: tuple[Place, ...], code: str | None, everything: bool, again: bool, yes: bool, as_json: bool
) -> None:
    """Send dead letters again: those at the PLACEs (partition:offset), with a code, or all.

    Requests go back to identify-requests byte for byte and keep their request id; answers go to their reply topic;
    Airy's messages are applied here, Airy's own topic is not touched. What was sent is noted in the dead letters topic
    in the same transaction, so a second call passes it over, unless --again is given.
    """
    if (bool(places), code is not None, everything).count(True) != 1:
        raise click.UsageError("Give either PLACEs, or --code, or --all.")
    settings = settings_of_environment()
    with progress_bar("reading the dead letters") as advance:
        found = run(find_dead_letters(settings, _wanted(places, code), advance=advance))
    for place in places:
        if place not in {letter.place for letter in found}:
            raise missing_letter(settings, place)
    chosen = [letter for letter in found if again or letter.retried_at is None]
    passed_over = len(found) - len(chosen)
    if chosen and not yes:
        click.confirm(_question(chosen), abort=True, err=True)
    with progress_bar("sending again") as advance:
        retried = run(_retry(settings, chosen, advance))
    _report(retried, passed_over, as_json=as_json)
    if any(letter.problem is not None for letter in retried):
        click.get_current_context().exit(EXIT_FAILED)


def _wanted(places: tuple[Place, ...], code: str | None) -> Callable[[DeadLetter], bool]:
    def wanted(letter: DeadLetter) -> bool:
        if places:
            return letter.place in places
        return code in (None, letter.code)

    return wanted


def _question(chosen: list[Found]) -> str:
    counts = collections.Counter(letter.code or "without a code" for letter in chosen)
    listed = ", ".join(f"{count} {code}" for code, count in sorted(counts.items()))
    return f"Send {len(chosen)} dead letters again ({listed})?"


async def _retry(settings: Settings, chosen: list[Found], advance: Advance) -> list[Retried]:
    now = iso_time(int(time.time() * 1000))
    retried = [letter async for letter in retry_dead_letters(settings, chosen, time=now, advance=advance)]
    return sorted(retried, key=lambda letter: letter.place)


def _report(retried: list[Retried], passed_over: int, *, as_json: bool) -> None:
    if as_json:
        letters = [
            {"partition": letter.place[0], "offset": letter.place[1]}
            | {name: value for name, value in asdict(letter).items() if name != "place"}
            for letter in retried
        ]
        print_json({"retried": letters, "passed_over": passed_over})
        return
    if retried:
        rows = [
            (f"{letter.place[0]}:{letter.place[1]}", letter.source, letter.code, letter.sent_to or letter.problem)
            for letter in retried
        ]
        print_table("dead letters", ("place", "from topic:partition:offset", "code", "sent to, or why not"), rows)
    sent = sum(letter.problem is None for letter in retried)
    click.echo(f"{sent} sent again, {len(retried) - sent} not, {passed_over} passed over that were sent again before")
