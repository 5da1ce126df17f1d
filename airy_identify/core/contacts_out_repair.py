"""What is written to Airy's contacts topic because of a row that came from there.

Airy's contacts component gives every conversation a contact at its first message, unless it has applied a row that says
whose it is: for a new conversation of somebody known it is sometimes quicker. Its delete, merge and late messages leave
rows of contacts that are no more. So:

- A row of Airy's under an id that leads to another contact here, or to one that was forgotten, is deleted.
- When the last row of such a contact is gone, and when a conversation was taken off a contact, a row of the contact that
  has it now is said again: only that makes Airy take the conversation for its. Rows come here when Airy has had the time
  to apply what went before (`stream.airy_pace`).
- A name that Airy invented over one that somebody gave here is written over.
- Rows of our own that live lead to nothing, and each row of Airy's to one of ours at most: so this ends.
"""

from airy_identify.core.commands import ContactRowReceived
from airy_identify.core.contacts import IdentityReader, find_by_id
from airy_identify.core.contacts_out import (
    CONVERSATIONS,
    DISPLAY_NAME,
    AiryWrite,
    default_names,
    facts_by_key,
    own_name,
    restated,
)
from airy_identify.core.values import (
    AiryContact,
    AiryContactKey,
    AiryRecord,
    Contact,
    ContactId,
    ConversationId,
    ConversationOwnerKey,
    Owner,
    TenantId,
)


def repair(received: ContactRowReceived, record: AiryRecord | None, table: IdentityReader) -> tuple[AiryWrite, ...]:
    """Return what a row from Airy's topic leads to there. `table` is read after the row was applied to it.

    `record` is what the row's key stood for before, null when that was not known.

    Raises:
        InconsistentTableError: a row points to a contact that is not there.
    """
    if received.fact is None:
        return _after_tombstone(received, record, table) if received.own and record is not None else ()
    if received.own or received.contact_id is None:
        return ()
    contact = find_by_id(table, received.tenant, received.contact_id)
    if contact is None:
        return ()
    if isinstance(contact, Contact) and contact.id == received.contact_id:
        return _named_again(received, contact)
    return (_write(received, received.contact_id, received.fact.key, None),)


def _after_tombstone(
    received: ContactRowReceived, record: AiryRecord, table: IdentityReader
) -> tuple[AiryWrite, ...]:
    contact: Contact | None = None
    if record.key.startswith(CONVERSATIONS):
        conversation_id = ConversationId(record.key.removeprefix(CONVERSATIONS))
        owner = table.owner(ConversationOwnerKey(tenant=received.tenant, conversation_id=conversation_id))
        if isinstance(owner, Owner):
            contact = _living(table, received.tenant, owner.contact_id)
    elif not facts_by_key(airy_contact(table, received.tenant, record.contact_id)):
        contact = _living(table, received.tenant, record.contact_id)
    if contact is None or contact.id == record.contact_id:
        return ()
    again = restated(contact, at_ms=received.accepted_at_ms)
    return () if again is None else (again,)


def _named_again(received: ContactRowReceived, contact: Contact) -> tuple[AiryWrite, ...]:
    fact, name = received.fact, own_name(contact)
    if fact is None or fact.key != DISPLAY_NAME or name is None or name == fact.text:
        return ()
    if fact.text not in default_names(contact):
        return ()
    return (_write(received, contact.id, DISPLAY_NAME, name),)


def airy_contact(table: IdentityReader, tenant: TenantId, contact_id: ContactId) -> AiryContact | None:
    """Return what Airy's topic is known to hold of a contact."""
    row = table.airy(AiryContactKey(tenant=tenant, contact_id=contact_id))
    return row if isinstance(row, AiryContact) else None


def _living(table: IdentityReader, tenant: TenantId, contact_id: ContactId) -> Contact | None:
    contact = find_by_id(table, tenant, contact_id)
    return contact if isinstance(contact, Contact) else None


def _write(received: ContactRowReceived, contact_id: ContactId, key: str, value: str | None) -> AiryWrite:
    return AiryWrite(contact_id=contact_id, key=key, value=value, timestamp_ms=received.accepted_at_ms)
