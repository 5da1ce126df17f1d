"""`state get` and `state stats`."""

import dataclasses
from typing import Any

import click

from airy_identify.core.reasons import Rejected
from airy_identify.core.values import EMAIL, PHONE_NUMBER, Contact, ContactId, IdentifierKey, TenantId
from airy_identify.intake.email_address import email_address
from airy_identify.intake.phone_numbers import phone_number
from airy_identify.ops.commands.base import (
    EXIT_FAILED,
    Commands,
    example,
    json_option,
    print_json,
    print_table,
    progress_bar,
    run,
    settings_of_environment,
)
from airy_identify.ops.commands.options import one_selector, selector_options
from airy_identify.ops.reading import Advance
from airy_identify.ops.state import PartitionStats, find_contact, read_stats
from airy_identify.settings import Settings
from airy_identify.wire.answers import iso_time


@click.group(cls=Commands, epilog=example("airy-identify state stats"))
def state() -> None:
    """Look into the tables, through their changelogs."""


@state.command(epilog=example("airy-identify state get --email ada@example.org"))
@click.argument("contact_id", required=False)
@selector_options
@click.option("--tenant", default="default", show_default=True, help="Whose contact.")
@json_option
def get(*, contact_id: str | None, tenant: str, as_json: bool, **selectors: Any) -> None:  # noqa: ANN401
    """Show the contact with CONTACT_ID (an alias will do), or with exactly one identifier."""
    settings = settings_of_environment()
    chosen = one_selector(selectors, contact_id)
    key: ContactId | IdentifierKey
    if chosen is None:
        key = ContactId(contact_id or "")
    else:
        kind, value = chosen
        key = IdentifierKey(tenant=TenantId(tenant), kind=kind, value=canonical(kind, value, settings.default_region))
    with progress_bar("reading the changelog") as advance:
        contact = run(find_contact(settings, TenantId(tenant), key, advance))
    if contact is None:
        click.echo(f"no such contact of the tenant {tenant}", err=True)
        click.get_current_context().exit(EXIT_FAILED)
    if as_json:
        print_json(dataclasses.asdict(contact))
    else:
        _print_contact(contact)


@state.command(epilog=example("airy-identify state stats"))
@json_option
def stats(*, as_json: bool) -> None:
    """Count the rows of each partition by kind, and tell how far its log has been applied."""
    settings = settings_of_environment()
    with progress_bar("reading the changelogs") as advance:
        partitions = run(_collect(settings, advance))
    if as_json:
        print_json([dataclasses.asdict(partition) for partition in partitions])
        return
    for table in dict.fromkeys(partition.table for partition in partitions):
        _print_stats(table, [partition for partition in partitions if partition.table == table])


def canonical(kind: str, value: str, default_region: str | None) -> str:
    """Return the form of an identifier that matches. Raises `click.BadParameter` for one that intake would refuse."""
    given: Any = value.strip()
    if kind == EMAIL:
        given = email_address(value)
    elif kind == PHONE_NUMBER:
        number = phone_number(value, verified=True, default_region=default_region)
        given = number if isinstance(number, Rejected) or number is None else number.key
    if isinstance(given, Rejected):
        raise click.BadParameter(given.message)
    if not given:
        raise click.BadParameter(f"{kind} is empty.")
    return str(given)


async def _collect(settings: Settings, advance: Advance) -> list[PartitionStats]:
    return [partition async for partition in read_stats(settings, advance)]


def _print_contact(contact: Contact) -> None:
    rows: list[tuple[str, object]] = [
        ("id", contact.id),
        ("external id", contact.external_id),
        ("e-mail", _marked(contact.email)),
        ("phone number", _marked(contact.phone_number)),
        *((custom.kind, ", ".join(custom.values)) for custom in contact.identifiers),
        ("metadata", dict(contact.metadata) or None),
        ("aliases", ", ".join(contact.aliases) or None),
        ("created", iso_time(contact.created_at_ms)),
        ("updated", iso_time(contact.updated_at_ms)),
    ]
    print_table("contact", ("attribute", "value"), rows)
    conversations = [
        (conversation.id, conversation.channel_id, conversation.source, iso_time(conversation.created_at_ms))
        for conversation in contact.conversations
    ]
    print_table("conversations", ("id", "channel", "source", "created"), conversations)


def _marked(identifier: Any) -> str | None:  # noqa: ANN401 - an Email or a PhoneNumber, which share no base
    if identifier is None:
        return None
    return str(identifier.value) + ("" if identifier.verified else " (not verified)")


def _print_stats(table: str, partitions: list[PartitionStats]) -> None:
    kinds = sorted({kind for partition in partitions for kind in partition.rows})
    rows = [
        (partition.partition, *(partition.rows.get(kind, 0) for kind in kinds), partition.applied_offset)
        for partition in partitions
    ]
    totals = ["all", *(sum(partition.rows.get(kind, 0) for partition in partitions) for kind in kinds), None]
    print_table(table, ("partition", *kinds, "log applied up to"), [*rows, totals])
