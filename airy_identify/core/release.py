"""Decide one release command: one identifier is taken off a contact.

- The id must lead to a contact, else `unknown_contact`; old and merged ids do.
- What the contact does not hold is released already: nothing changes.
- Unverified values can be released too.
- When the external id is released, the next one that the contact took in takes its place. The contact stays hard while
  it has any, and known for ever.
"""

from dataclasses import replace

from airy_identify.core.airy_facts import names_of
from airy_identify.core.answers import ContactChanged, Decision
from airy_identify.core.commands import Release
from airy_identify.core.contacts import IdentityReader, find_by_id
from airy_identify.core.custom_kinds import remove_values
from airy_identify.core.index import write_contacts
from airy_identify.core.reasons import Rejected, unknown_contact
from airy_identify.core.values import EMAIL, EXTERNAL_ID, PHONE_NUMBER, Contact, Identifier
from airy_identify.core.view import view_contact


def release(command: Release, table: IdentityReader) -> Decision | Rejected:
    """Decide a command against the rows before it. Rejected as `unknown_contact`.

    Raises:
        InconsistentTableError: a row points to a contact that is not there.
    """
    contact = find_by_id(table, command.tenant, command.contact_id)
    if not isinstance(contact, Contact):
        return unknown_contact("contact_id")
    released = without(contact, command.identifier)
    writes = []
    if released is not contact:
        released = replace(released, updated_at_ms=max(contact.updated_at_ms, command.accepted_at_ms))
        writes = write_contacts(command.tenant, ((contact, released),))
    answer = ContactChanged(
        request_id=command.request_id, contact=view_contact(released, names=names_of(table, command.tenant, released))
    )
    return Decision(writes=tuple(writes), answer=answer)


def without(contact: Contact, identifier: Identifier) -> Contact:
    """Return the contact without an identifier, the very same object if it does not hold it. Times are left alone."""
    kind, value = identifier.kind, identifier.value
    if kind == EXTERNAL_ID:
        return _without_external_id(contact, value)
    if kind == EMAIL:
        return replace(contact, email=None) if contact.email and contact.email.value == value else contact
    if kind == PHONE_NUMBER:
        held = contact.phone_number
        return replace(contact, phone_number=None) if held and held.key == value else contact
    identifiers = remove_values(contact.identifiers, lost={(kind, value)})
    return contact if identifiers == contact.identifiers else replace(contact, identifiers=identifiers)


def _without_external_id(contact: Contact, value: str) -> Contact:
    if contact.external_id is None:
        return contact
    held = (contact.external_id, *contact.former_external_ids)
    left = tuple(each for each in held if each != value)
    if left == held:
        return contact
    return replace(contact, external_id=left[0] if left else None, former_external_ids=left[1:])
