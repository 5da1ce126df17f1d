"""What is left of a contact that is erased, and what is not: the rows for a forget command and for a deletion in Airy.

- The contact, its aliases and its conversations leave markers; its identifiers are free.
- What Airy's rows say of any of its ids is deleted, but which row gives it the conversation of another.
- The journal goes: its own rows and those of the contacts that it took in. So do the separations of others from it.
"""

from dataclasses import replace

from airy_identify.core.airy_facts import CONVERSATIONS, claim_writes, read_facts
from airy_identify.core.contacts import IdentityReader, all_ids, find_by_id
from airy_identify.core.ids import from_name
from airy_identify.core.index import owner_keys
from airy_identify.core.journal import journal_keys
from airy_identify.core.pending import PendingTable
from airy_identify.core.values import (
    AiryContactKey,
    AiryRecordKey,
    Contact,
    ContactId,
    ContactKey,
    ConversationId,
    ConversationOwnerKey,
    Forgotten,
    IdentifierKey,
    IdentityWrite,
    Owner,
    TenantId,
)


def leave_markers(table: PendingTable, tenant: TenantId, contact: Contact, *, may_come_back: bool = False) -> None:
    """Let nobody find a contact any more, nor anything late revive it.

    Of one that may come back it is still known which of its rows in Airy give it its conversations.
    """
    marker = Forgotten()
    table.write([(ContactKey(tenant=tenant, contact_id=contact.id), marker)])
    table.write((key, None if isinstance(key, IdentifierKey) else marker) for key in owner_keys(tenant, contact))
    kept = frozenset(conversation_rows(contact)) if may_come_back else frozenset()
    for contact_id in all_ids(contact):
        drop_facts(table, tenant, contact_id, kept=kept)


def conversation_rows(contact: Contact) -> list[str]:
    """Return the keys of the rows by which Airy has the conversations of a contact with it, under its own id."""
    return [airy_record_key(contact.id, f"{CONVERSATIONS}{conversation.id}") for conversation in contact.conversations]


def drop_facts(
    table: PendingTable, tenant: TenantId, contact_id: ContactId, *, kept: frozenset[str] = frozenset()
) -> None:
    """Delete what Airy's rows say of a contact, and the index of it; of the rows with the keys `kept` not which they are."""
    facts = read_facts(table, tenant, contact_id)
    if facts is None:
        return
    table.write([(AiryContactKey(tenant=tenant, contact_id=contact_id), None)])
    table.write(claim_writes(table, tenant, contact_id, facts, None))
    for fact in facts.facts:
        key = AiryRecordKey(tenant=tenant, record_key=airy_record_key(contact_id, fact.key))
        needed = key.record_key in kept or is_of_somebody_here(table, tenant, fact.key)
        if not needed and table.airy(key) is not None:
            table.write([(key, None)])


def is_of_somebody_here(table: IdentityReader, tenant: TenantId, key: str) -> bool:
    """Tell whether a row gives its contact the conversation of a contact here.

    Which row that is, is known until it goes: Airy is then told again whose the conversation is.
    """
    conversation_id = ConversationId(key.removeprefix(CONVERSATIONS))
    owner_key = ConversationOwnerKey(tenant=tenant, conversation_id=conversation_id)
    return conversation_id != key and isinstance(table.owner(owner_key), Owner)


def erase_history(table: PendingTable, tenant: TenantId, contact: Contact) -> None:
    """Delete the journal of a contact, and the separations of others from it.

    Raises:
        InconsistentTableError: a row points to a contact or a merge that is not there.
    """
    keys = journal_keys(table, tenant, contact.id, contact.merge_count)
    table.write((key, None) for key in keys)
    table.write(_reconciled(table, tenant, contact))


def airy_record_key(contact_id: ContactId, key: str) -> str:
    """Return the key that Airy gives to a row on its topic (airyhq/airy, `MetadataRepository.getId`)."""
    return from_name(key, namespace=f"contact:{contact_id}")


def _reconciled(table: IdentityReader, tenant: TenantId, contact: Contact) -> list[IdentityWrite]:
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
