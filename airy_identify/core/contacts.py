"""Finding contacts in the table, by any id that they have or had."""

from typing import Protocol

from airy_identify.core.errors import InconsistentTableError
from airy_identify.core.values import (
    AiryKey,
    AiryRow,
    AliasKey,
    Contact,
    ContactId,
    ContactKey,
    ConversationOwnerKey,
    Forgotten,
    IdentifierKey,
    JournalKey,
    Merged,
    Owner,
    TenantId,
)


class IdentityReader(Protocol):
    """The table `contact-identity` as the rules see it: the rows before this command."""

    def contact(self, key: ContactKey, /) -> Contact | Forgotten | None:
        """Return a contact by its id."""

    def owner(self, key: IdentifierKey | AliasKey | ConversationOwnerKey, /) -> Owner | Forgotten | None:
        """Return who holds an identifier, an alias or a conversation."""

    def journal(self, key: JournalKey, /) -> Merged | None:
        """Return a merge."""

    def is_stored(self, key: ContactKey, /) -> bool:
        """Tell whether a contact has a row here, and does not live in Airy only."""

    def airy(self, key: AiryKey, /) -> AiryRow | None:
        """Return what is known from Airy, of the kind that the key says."""


def find_by_id(table: IdentityReader, tenant: TenantId, contact_id: ContactId) -> Contact | Forgotten | None:
    """Return the contact that has this id, or has it as an alias; the marker if it was forgotten.

    Raises:
        InconsistentTableError: an alias leads to no contact.
    """
    row = table.contact(ContactKey(tenant=tenant, contact_id=contact_id))
    if row is not None:
        return row
    owner = table.owner(AliasKey(tenant=tenant, contact_id=contact_id))
    return owned_contact(table, tenant, owner) if isinstance(owner, Owner) else owner


def owned_contact(table: IdentityReader, tenant: TenantId, owner: Owner) -> Contact:
    """Return the contact that an owner row names.

    Raises:
        InconsistentTableError: it is not there.
    """
    contact = table.contact(ContactKey(tenant=tenant, contact_id=owner.contact_id))
    if not isinstance(contact, Contact):
        raise InconsistentTableError(f"a row belongs to contact {owner.contact_id}, which is not there")
    return contact


def journal_row(table: IdentityReader, tenant: TenantId, contact_id: ContactId, number: int) -> Merged:
    """Return a merge that the contact's count says there is.

    Raises:
        InconsistentTableError: it is not there.
    """
    row = table.journal(JournalKey(tenant=tenant, contact_id=contact_id, number=number))
    if row is None:
        raise InconsistentTableError(f"contact {contact_id} has no journal row {number}")
    return row


def all_ids(contact: Contact) -> tuple[ContactId, ...]:
    """Return every id that leads to a contact, its own first."""
    return (contact.id, *contact.aliases)
