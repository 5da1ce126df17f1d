"""The rows that follow from changed contacts, so that the index always says what the contacts say.

- One contact row for each contact that changed, the target first.
- One owner row for each verified identifier that changed hands; a released one is deleted.
- A minted conversation has an owner row, and the id that Airy would make of it is an alias of its contact.
"""

from airy_identify.core.keys import held_identifiers
from airy_identify.core.values import (
    AliasKey,
    Contact,
    ContactId,
    ContactKey,
    ConversationId,
    ConversationOwnerKey,
    Identifier,
    IdentifierKey,
    IdentityWrite,
    Owner,
    TenantId,
)

Change = tuple[Contact | None, Contact]
"""A contact before and after; `None` before it was made."""


def write_contacts(tenant: TenantId, changes: tuple[Change, ...]) -> list[IdentityWrite]:
    """Return the rows of contacts that changed and of the identifiers that they gained, passed on or released."""
    owners_before: dict[Identifier, ContactId] = {}
    owners_after: dict[Identifier, ContactId] = {}
    writes: list[IdentityWrite] = []
    for before, after in changes:
        writes.append((ContactKey(tenant=tenant, contact_id=after.id), after))
        if before is not None:
            owners_before |= dict.fromkeys(held_identifiers(before), before.id)
        owners_after |= dict.fromkeys(held_identifiers(after), after.id)
    writes += [
        (_key(tenant, identifier), Owner(contact_id=owner))
        for identifier, owner in owners_after.items()
        if owners_before.get(identifier) != owner
    ]
    writes += [(_key(tenant, identifier), None) for identifier in owners_before if identifier not in owners_after]
    return writes


def write_conversation(
    tenant: TenantId, conversation_id: ConversationId, *, alias: ContactId, contact_id: ContactId
) -> list[IdentityWrite]:
    """Return the owner rows of a minted conversation: its own, and that of its alias unless the contact is called so."""
    owner = Owner(contact_id=contact_id)
    writes: list[IdentityWrite] = [(ConversationOwnerKey(tenant=tenant, conversation_id=conversation_id), owner)]
    if alias != contact_id:
        writes.append((AliasKey(tenant=tenant, contact_id=alias), owner))
    return writes


def _key(tenant: TenantId, identifier: Identifier) -> IdentifierKey:
    return IdentifierKey(tenant=tenant, kind=identifier.kind, value=identifier.value)
