"""`person show|merge|unmerge|release|forget`: the commands about people, through the log like everybody's."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import click

from airy_identify.core.values import BUILT_IN_KINDS, JsonValue
from airy_identify.kafka import partition_for
from airy_identify.ops.ask import KafkaAnswer, ask
from airy_identify.ops.commands.answer_tables import finish, print_contact, print_info, summary
from airy_identify.ops.commands.base import (
    EXIT_FAILED,
    Commands,
    example,
    json_option,
    run,
    settings_of_environment,
)
from airy_identify.ops.commands.options import KindAndValue, identifiers_given, one_selector, selector_options
from airy_identify.settings import Settings

_TOKENS = "Resume tokens that were handed out work on for their seven days: nothing can call one back."
_AsksPeople = Callable[..., None]


def _common_options(command: _AsksPeople) -> _AsksPeople:
    """Add what all commands about people have."""
    tenant = click.option("--tenant", default="default", show_default=True, help="Whose contact.")
    timeout = click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0.1),
        default=10.0,
        show_default=True,
        help="Seconds to wait.",
    )
    return tenant(timeout(json_option(command)))


_yes_option = click.option("--yes", is_flag=True, help="Do it without asking.")


@click.group(cls=Commands, epilog=example("airy-identify person show --email ada@example.org"))
def person() -> None:
    """Show, merge, part, or forget people.

    Ids are those of contacts; old ones, and those of contacts that were merged into another, lead to the contact too.
    """


@person.command(epilog=example("airy-identify person show --external-id u-1"))
@click.argument("contact_id", required=False)
@selector_options
@_common_options
def show(*, contact_id: str | None, tenant: str, timeout_s: float, as_json: bool, **selectors: Any) -> None:  # noqa: ANN401
    """Show the contact with CONTACT_ID, or with exactly one identifier: its conversations, other ids and merges."""
    settings = settings_of_environment()
    chosen = one_selector(selectors, contact_id)
    asker = _Asker(settings, tenant, timeout_s)
    result = asker.ask("info", _selector(chosen) if chosen else {"contact_id": contact_id})
    if finish(result.answer, refused=result.refused, as_json=as_json):
        partition = partition_for(tenant.encode(), settings.partitions)
        print_info(result.answer, f"{settings.topic_names.identity_commands}:{partition}")


@person.command(epilog=example("airy-identify person merge SOURCE_ID DESTINATION_ID"))
@click.argument("source_id")
@click.argument("destination_id")
@_yes_option
@_common_options
def merge(  # noqa: PLR0913 - one for each option
    *, source_id: str, destination_id: str, yes: bool, tenant: str, timeout_s: float, as_json: bool
) -> None:
    """Make one contact of two: SOURCE_ID ends in DESTINATION_ID."""
    asker = _Asker(settings_of_environment(), tenant, timeout_s)
    if not yes:
        source, destination = (asker.preview(each, as_json=as_json) for each in (source_id, destination_id))
        _confirm(
            f"The contact {source}",
            f"ends in        {destination}.",
            "Whoever is found as the second will see the chats of both. What only the first has goes over; where both",
            "have an e-mail, a phone number or a member of metadata, that of the second stays.",
            f"To take it back, `airy-identify person unmerge {source_id}`, as long as it is the latest merge there.",
            f"What has been shown by then has been seen. {_TOKENS}",
        )
    result = asker.ask("merge", {"source_id": source_id, "destination_id": destination_id})
    if finish(result.answer, refused=result.refused, as_json=as_json):
        print_contact("contact", result.answer["contact"])


@person.command(epilog=example("airy-identify person unmerge CONTACT_ID"))
@click.argument("contact_id")
@_yes_option
@_common_options
def unmerge(*, contact_id: str, yes: bool, tenant: str, timeout_s: float, as_json: bool) -> None:
    """Undo the latest merge of a contact. CONTACT_ID is the id of the contact that ended in it."""
    asker = _Asker(settings_of_environment(), tenant, timeout_s)
    if not yes:
        survivor = asker.preview(contact_id, as_json=as_json)
        _confirm(
            f"The contact {contact_id} comes back out of",
            f"            {survivor},",
            "with the conversations it had. Conversations that began after the merge stay where they are.",
            "The two never merge by themselves again, only by `airy-identify person merge`.",
            _TOKENS,
        )
    result = asker.ask("unmerge", {"contact_id": contact_id})
    if finish(result.answer, refused=result.refused, as_json=as_json):
        print_contact("contact", result.answer["contact"])
        print_contact("restored", result.answer["restored"])


@person.command(epilog=example("airy-identify person release CONTACT_ID --phone-number +4915112345678"))
@click.argument("contact_id")
@selector_options
@_yes_option
@_common_options
def release(
    *,
    contact_id: str,
    yes: bool,
    tenant: str,
    timeout_s: float,
    as_json: bool,
    **selectors: Any,  # noqa: ANN401
) -> None:
    """Take one identifier off the contact with CONTACT_ID."""
    chosen = identifiers_given(selectors)
    if len(chosen) != 1:
        raise click.UsageError("Give exactly one identifier.")
    ((kind, value),) = chosen
    asker = _Asker(settings_of_environment(), tenant, timeout_s)
    if not yes:
        _confirm(
            f"{kind} {value} is taken off the contact",
            f"    {asker.preview(contact_id, as_json=as_json)}.",
            "It then finds nobody, and belongs to whoever is identified with it next. To give it back, identify with",
            "it and another identifier of the contact, before somebody else does.",
            _TOKENS,
        )
    result = asker.ask("release", {"contact_id": contact_id, "kind": kind, "value": value})
    if finish(result.answer, refused=result.refused, as_json=as_json):
        print_contact("contact", result.answer["contact"])


@person.command(epilog=example("airy-identify person forget CONTACT_ID"))
@click.argument("contact_id")
@_yes_option
@_common_options
def forget(*, contact_id: str, yes: bool, tenant: str, timeout_s: float, as_json: bool) -> None:
    """Erase the contact with CONTACT_ID and its conversations, for ever."""
    settings = settings_of_environment()
    asker = _Asker(settings, tenant, timeout_s)
    if not yes:
        preview = asker.look(contact_id)
        who = summary(preview.answer["contact"]) if not preview.refused else f"{contact_id} (of whom nothing is known)"
        _confirm(
            f"The contact {who}",
            "is erased: its identifiers, other ids, journal and conversations. This cannot be taken back.",
            "The next request with one of its identifiers is about a new person.",
            f"The log {settings.topic_names.identity_commands} keeps what was asked about it as long as its retention says,",
            "and what Airy has is Airy's.",
            _TOKENS,
        )
    result = asker.ask("forget", {"contact_id": contact_id})
    if finish(result.answer, refused=result.refused, as_json=as_json):
        click.echo(f"{contact_id} is forgotten")


class _Asker:
    """Sends commands of one tenant and waits for their answers."""

    def __init__(self, settings: Settings, tenant: str, timeout_s: float) -> None:
        self._settings = settings
        self._tenant = tenant
        self._timeout_s = timeout_s

    def ask(self, command: str, fields: Mapping[str, JsonValue]) -> KafkaAnswer:
        """Return the answer to a command. Raises `OpsError`."""
        request = {"command": command, "request_id": str(uuid.uuid4()), "tenant": self._tenant} | dict(fields)
        return run(ask(self._settings, request, timeout_s=self._timeout_s))

    def look(self, contact_id: str) -> KafkaAnswer:
        """Return what is known of a contact. Raises `OpsError`."""
        return self.ask("info", {"contact_id": contact_id})

    def preview(self, contact_id: str, *, as_json: bool) -> str:
        """Return a contact in a line; one that is not there ends the command here. Raises `OpsError`."""
        result = self.look(contact_id)
        if result.refused:
            finish(result.answer, refused=True, as_json=as_json)
        return summary(result.answer["contact"])


def _selector(chosen: KindAndValue) -> dict[str, JsonValue]:
    kind, value = chosen
    return {kind: value} if kind in BUILT_IN_KINDS else {"identifiers": {kind: value}}


def _confirm(*lines: str) -> None:
    """Say what will happen and go on only after a yes, all of it on standard error; else the command ends with 1."""
    for line in lines:
        click.echo(line, err=True)
    try:
        agreed = click.confirm("Go on?", err=True)
    except click.Abort:  # there is nobody to ask
        agreed = False
        click.echo(err=True)
    if not agreed:
        click.echo("nothing was changed; --yes goes on without asking", err=True)
        click.get_current_context().exit(EXIT_FAILED)
