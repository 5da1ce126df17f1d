"""The rows that follow from changed contacts, so that the index always says what the contacts say.

- One contact row for each contact that changed, the target first; one that ended in another has none any more.
- One owner row for each verified identifier, alias and conversation that changed hands; a released one is deleted.
"""

from airy_identify.core.keys import held_identifiers
from airy_identify.core.values import (
    AliasKey,
    Contact,
    ContactId,
    ContactKey,
    ConversationOwnerKey,
    IdentifierKey,
    IdentityWrite,
    Owner,
    TenantId,
)

Change = tuple[Contact | None, Contact | None]
"""A contact before and after; `None` before it was made, and after it ended in another."""

OwnerKey = IdentifierKey | AliasKey | ConversationOwnerKey


def write_contacts(tenant: TenantId, changes: tuple[Change, ...]) -> list[IdentityWrite]:
    """Return the rows of contacts that changed, and of what they gained, passed on or released."""
    owners_before: dict[OwnerKey, ContactId] = {}
    owners_after: dict[OwnerKey, ContactId] = {}
    writes: list[IdentityWrite] = []
    for before, after in changes:
        if before is not None:
            owners_before |= dict.fromkeys(_owned(tenant, before, unless_same=after), before.id)
        if after is None:
            continue
        writes.append((ContactKey(tenant=tenant, contact_id=after.id), after))
        owners_after |= dict.fromkeys(_owned(tenant, after, unless_same=before), after.id)
    stay = {after.id for _, after in changes if after is not None}
    writes += [
        (ContactKey(tenant=tenant, contact_id=before.id), None)
        for before, after in changes
        if before is not None and after is None and before.id not in stay
    ]
    writes += [(key, Owner(contact_id=owner)) for key, owner in owners_after.items() if owners_before.get(key) != owner]
    writes += [(key, None) for key in owners_before if key not in owners_after]
    return writes


def owner_keys(tenant: TenantId, contact: Contact) -> list[OwnerKey]:
    """Return the keys of all owner rows that lead to a contact."""
    return _owned(tenant, contact, unless_same=None)


def _owned(tenant: TenantId, contact: Contact, *, unless_same: Contact | None) -> list[OwnerKey]:
    """Return what leads to a contact. Aliases and conversations that are those of `unless_same` are left out."""
    owned: list[OwnerKey] = [
        IdentifierKey(tenant=tenant, kind=identifier.kind, value=identifier.value)
        for identifier in held_identifiers(contact)
    ]
    if unless_same is None or unless_same.aliases is not contact.aliases:
        owned += [AliasKey(tenant=tenant, contact_id=alias) for alias in contact.aliases]
    if unless_same is None or unless_same.conversations is not contact.conversations:
        owned += [
            ConversationOwnerKey(tenant=tenant, conversation_id=conversation.id)
            for conversation in contact.conversations
        ]
    return owned
