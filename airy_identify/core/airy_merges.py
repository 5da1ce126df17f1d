"""What a merge in Airy means for contacts that are ours.

Airy writes `mergeHistory` on the destination and deletes the rows of the source. While neither is ours, the view alone
shows it: the source is an alias. As soon as one of the two is:

- The source ends in the destination, with a row in the journal: its aliases, conversations and free identifiers follow.
  A source that was put aside because its rows went first comes back for that. One that never was ours brings what
  Airy's history says of it, as far as that is free.
- Only a contact's own id stands for it. Who merges, in Airy, what Airy has of an alias has seen one conversation, and
  does not speak for the whole contact.
- This is an automatic merge: not of two hard contacts, not of separated ones, and within the limits. Where it may not
  be, the source stays a contact of its own.
- A destination that was forgotten here takes nobody in.
- Once it is done it stays done: an unmerge here separates the two, and Airy's rows do not bring them together again.
"""

from dataclasses import replace

from airy_identify.core.airy_facts import merged_into
from airy_identify.core.airy_view import AiryView
from airy_identify.core.claims import Merger
from airy_identify.core.commands import ContactRowReceived
from airy_identify.core.contacts import IdentityReader, find_by_id
from airy_identify.core.gone import put_aside_contact, take_back
from airy_identify.core.index import write_contacts
from airy_identify.core.journal import write_journal
from airy_identify.core.keys import held_identifiers
from airy_identify.core.levels import level_of
from airy_identify.core.merging import is_separated, merge_contacts
from airy_identify.core.pending import PendingTable
from airy_identify.core.release import without
from airy_identify.core.values import (
    AiryContact,
    AirySource,
    Contact,
    ContactKey,
    IdentifierKey,
    IdentityWrite,
    Level,
    TenantId,
)

BY_AIRY = "airy"


def follow_merges(command: ContactRowReceived, airys: AiryContact, table: PendingTable, *, offset: int) -> None:
    """Let the contacts that Airy merged into a living one end in it here too, if one of them is ours.

    Raises:
        InconsistentTableError: a row points to a contact that is not there.
    """
    for source in merged_into(airys):
        _follow(command, airys, source, table, offset=offset)


def _follow(
    command: ContactRowReceived, airys: AiryContact, source: AirySource, table: PendingTable, *, offset: int
) -> None:
    tenant = command.tenant
    view = AiryView(table, tenant)
    destination = find_by_id(view, tenant, airys.id)
    if not isinstance(destination, Contact) or destination.id != airys.id:
        return
    found = find_by_id(table, tenant, source.id)
    if isinstance(found, Contact):
        if found.id == source.id:
            _unite(command, destination, found, (view, table), offset=offset)
        return
    put_aside = put_aside_contact(table, tenant, source.id)
    if put_aside is not None:
        _bring_back(command, destination, put_aside, (view, table), offset=offset)
    elif found is None and isinstance(table.contact(ContactKey(tenant=tenant, contact_id=destination.id)), Contact):
        _unite(command, destination, _from_history(source, view, tenant), (view, table), offset=offset)


def _unite(
    command: ContactRowReceived,
    destination: Contact,
    source: Contact,
    tables: tuple[AiryView, PendingTable],
    *,
    offset: int,
) -> bool:
    """Let a contact end in another if that may be; return whether it did."""
    view, table = tables
    both_hard = level_of(destination) is level_of(source) is Level.HARD
    if both_hard or is_separated(source, destination) or is_separated(destination, source):
        return False
    merged = merge_contacts(destination, source, at_ms=command.accepted_at_ms)
    if merged is None:
        return False
    stored = table.contact(ContactKey(tenant=command.tenant, contact_id=source.id))
    writes: list[IdentityWrite] = write_contacts(command.tenant, ((destination, merged), (source, None)))
    if stored is None:  # there is no row to delete
        writes = [(key, row) for key, row in writes if key != ContactKey(tenant=command.tenant, contact_id=source.id)]
    merger = Merger(survivor=destination, merged=source, why=BY_AIRY)
    writes += write_journal(command, (merger,), before=destination, after=merged, offset=offset)
    table.write(view.complete(writes, made_ours=frozenset()))
    return True


def _bring_back(
    command: ContactRowReceived,
    destination: Contact,
    source: Contact,
    tables: tuple[AiryView, PendingTable],
    *,
    offset: int,
) -> None:
    """Let a contact that was put aside end in the destination, or be a contact of its own again if that may not be."""
    view, table = tables
    tenant = command.tenant
    free = _without_taken(source, view, tenant)
    if not _unite(command, destination, free, tables, offset=offset):
        table.write(write_contacts(tenant, ((None, free),)))
    take_back(table, tenant, source.id)


def _without_taken(contact: Contact, table: IdentityReader, tenant: TenantId) -> Contact:
    """Return the contact without the identifiers that somebody else has by now."""
    for identifier in held_identifiers(contact):
        key = IdentifierKey(tenant=tenant, kind=identifier.kind, value=identifier.value)
        if table.owner(key) is not None:
            contact = without(contact, identifier)
    return contact


def _from_history(source: AirySource, view: IdentityReader, tenant: TenantId) -> Contact:
    """Return a contact that never was ours as Airy's history has it."""
    given = source.identifiers
    contact = Contact(
        id=source.id,
        created_at_ms=source.created_at_ms,
        updated_at_ms=source.created_at_ms,
        external_id=given.external_id,
        email=given.email,
        phone_number=given.phone_number,
    )
    free = _without_taken(contact, view, tenant)
    return replace(free, known=bool(held_identifiers(free)))
