"""Decide one forget command: a contact is erased, and only bare markers stay.

- An id that was never seen is `unknown_contact`. What is forgotten is forgotten: nothing changes.
- The contact, its identifiers, its journal and the journals of the contacts that it took in are deleted.
- Its ids and its conversations leave markers, here and in the table `conversation`, so that nothing late revives them.
- Whoever was separated from it is separated from it no longer.
- Its identifiers are free: the next request with one of them is about a new person.
"""

from dataclasses import replace

from airy_identify.core.answers import ContactForgotten, Decision
from airy_identify.core.commands import Forget
from airy_identify.core.contacts import IdentityReader, all_ids, find_by_id
from airy_identify.core.index import owner_keys
from airy_identify.core.journal import journal_keys
from airy_identify.core.reasons import Rejected, unknown_contact
from airy_identify.core.values import (
    Contact,
    ContactId,
    ContactKey,
    Forgotten,
    IdentifierKey,
    IdentityWrite,
    TenantId,
)


def forget(command: Forget, table: IdentityReader) -> Decision | Rejected:
    """Decide a command against the rows before it. Rejected as `unknown_contact`.

    Raises:
        InconsistentTableError: a row points to a contact or a merge that is not there.
    """
    contact = find_by_id(table, command.tenant, command.contact_id)
    if contact is None:
        return unknown_contact("contact_id")
    answer = ContactForgotten(request_id=command.request_id)
    if isinstance(contact, Forgotten):
        return Decision(answer=answer)
    marker = Forgotten()
    writes: list[IdentityWrite] = [(ContactKey(tenant=command.tenant, contact_id=contact.id), marker)]
    writes += [(key, None if isinstance(key, IdentifierKey) else marker) for key in owner_keys(command.tenant, contact)]
    writes += [(key, None) for key in journal_keys(table, command.tenant, contact.id, contact.merge_count)]
    writes += _reconcile(contact, table, command.tenant)
    forgotten = tuple(conversation.id for conversation in contact.conversations)
    return Decision(writes=tuple(writes), answer=answer, forgotten=forgotten)


def _reconcile(contact: Contact, table: IdentityReader, tenant: TenantId) -> list[IdentityWrite]:
    """Return the rows of those who were separated from a contact, without these separations."""
    ids = frozenset(all_ids(contact))
    others: dict[ContactId, Contact] = {}
    for separation in contact.separations:
        other = find_by_id(table, tenant, separation.other)
        if isinstance(other, Contact) and other.id != contact.id:
            others[other.id] = other
    return [
        (
            ContactKey(tenant=tenant, contact_id=other.id),
            replace(other, separations=tuple(each for each in other.separations if each.other not in ids)),
        )
        for other in others.values()
    ]
