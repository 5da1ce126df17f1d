"""Decide one unmerge command: the latest merge of a contact is undone, and the two never merge by themselves again.

- The id must be that of the contact that ended in the latest merge of the contact it leads to, else `not_latest_merge`;
  it must lead to a contact, else `unknown_contact`.
- If the merging command wrote nothing but this merge, the survivor is still as it left it, separations and level mark
  aside, and the values of both are free or the survivor's, both come back exactly as they were.
- Otherwise by value, not by history (`parting`).
- Either way: whoever came back is known, the survivor keeps its level mark, and the two are separated. They never merge
  automatically again, only by command, nor do those that take them in.
- The journal row of the merge goes away, so that the merge before it is the latest one.
- Conversations begun after the merge stay with the survivor. Tokens that were handed out work on.
"""

from dataclasses import replace

from airy_identify.core.airy_facts import names_of
from airy_identify.core.answers import ContactRestored, Decision
from airy_identify.core.commands import Unmerge
from airy_identify.core.contacts import IdentityReader, all_ids, find_by_id, journal_row
from airy_identify.core.index import write_contacts
from airy_identify.core.journal import is_as_left
from airy_identify.core.keys import held_identifiers
from airy_identify.core.parting import part
from airy_identify.core.reasons import Reason, Rejected, unknown_contact
from airy_identify.core.values import (
    EMAIL,
    PHONE_NUMBER,
    Contact,
    Email,
    Identifier,
    IdentifierKey,
    JournalKey,
    Merged,
    Owner,
    PhoneNumber,
    Separation,
    TenantId,
)
from airy_identify.core.view import view_contact


def unmerge(command: Unmerge, table: IdentityReader) -> Decision | Rejected:
    """Decide a command against the rows before it. Rejected as `unknown_contact` or `not_latest_merge`.

    Raises:
        InconsistentTableError: a row points to a contact or a merge that is not there.
    """
    contact = find_by_id(table, command.tenant, command.contact_id)
    if not isinstance(contact, Contact):
        return unknown_contact("contact_id")
    number = contact.merge_count - 1
    if number < 0:
        return _not_latest()
    row = journal_row(table, command.tenant, contact.id, number)
    if row.merged.id != command.contact_id:
        return _not_latest()
    survivor, restored = _undo(contact, row, table, command)
    survivor, restored = _separate(contact, survivor, restored)
    writes = write_contacts(command.tenant, ((contact, survivor), (None, restored)))
    writes.append((JournalKey(tenant=command.tenant, contact_id=contact.id, number=number), None))
    answer = ContactRestored(
        request_id=command.request_id,
        contact=view_contact(survivor, names=names_of(table, command.tenant, survivor)),
        restored=view_contact(restored, names=names_of(table, command.tenant, restored)),
    )
    return Decision(writes=tuple(writes), answer=answer)


def _undo(contact: Contact, row: Merged, table: IdentityReader, command: Unmerge) -> tuple[Contact, Contact]:
    if row.alone and is_as_left(contact, row) and _are_free(contact, row, table, command.tenant):
        return row.survivor, row.merged
    tenant = command.tenant
    survivor, restored = part(
        contact,
        row,
        email=row.replaced_email if _is_free_email(row.replaced_email, table, tenant) else None,
        phone_number=row.replaced_phone_number if _is_free_phone(row.replaced_phone_number, table, tenant) else None,
    )
    return replace(survivor, updated_at_ms=max(contact.updated_at_ms, command.accepted_at_ms)), restored


def _separate(contact: Contact, survivor: Contact, restored: Contact) -> tuple[Contact, Contact]:
    """Return both, separated, each with those separations of the contact that are about its own ids."""
    own = frozenset(all_ids(restored))
    stay = tuple(each for each in contact.separations if each.own not in own)
    leave = tuple(each for each in contact.separations if each.own in own)
    mine = Separation(own=survivor.id, other=restored.id)
    theirs = Separation(own=restored.id, other=survivor.id)
    return (
        replace(survivor, known=contact.known, separations=tuple(dict.fromkeys((*stay, mine)))),
        replace(restored, known=True, separations=tuple(dict.fromkeys((*leave, theirs)))),
    )


def _are_free(contact: Contact, row: Merged, table: IdentityReader, tenant: TenantId) -> bool:
    """Tell whether nobody else holds a value that one of the two had before the merge."""
    for identifier in (*held_identifiers(row.survivor), *held_identifiers(row.merged)):
        owner = _holder(identifier, table, tenant)
        if owner is not None and owner.contact_id != contact.id:
            return False
    return True


def _is_free_email(email: Email | None, table: IdentityReader, tenant: TenantId) -> bool:
    return email is not None and _holder(Identifier(kind=EMAIL, value=email.value), table, tenant) is None


def _is_free_phone(phone: PhoneNumber | None, table: IdentityReader, tenant: TenantId) -> bool:
    return phone is not None and _holder(Identifier(kind=PHONE_NUMBER, value=phone.key), table, tenant) is None


def _holder(identifier: Identifier, table: IdentityReader, tenant: TenantId) -> Owner | None:
    owner = table.owner(IdentifierKey(tenant=tenant, kind=identifier.kind, value=identifier.value))
    return owner if isinstance(owner, Owner) else None


def _not_latest() -> Rejected:
    message = "this is not the contact that ended in the latest merge of its survivor; only that one can be undone"
    return Rejected(reason=Reason.NOT_LATEST_MERGE, message=message, field="contact_id")
