"""What is written to Airy's contacts topic because of a row that came from there.

Airy's contacts component gives every conversation a contact at its first message, unless it has applied a row that says
whose it is: for a new conversation of somebody known it is sometimes quicker. Its delete, merge and late messages leave
rows of contacts that are no more. So:

- A row of Airy's under an id that leads to another contact here, or to one that was forgotten, is deleted; so is one that
  gives a contact the conversation of another.
- When a row was deleted, the contact that has the conversation now, or that the id leads to when its last row is gone, has
  a row said again: only that makes Airy take the conversation for its own. Tombstones come here when Airy has had the time
  to apply what went before (`stream.airy_pace`).
- A row that was deleted and is wanted is written again: our tombstone is older than the row, or Airy deleted only what it
  had read of a contact, or in a merge that was not followed here. With `created_at` a contact goes here too, and with it
  what was written again.
- A name that Airy invented over one that somebody gave here is written over, and so is an identifier that differs: Airy
  writes all rows of a contact anew with every change, from what it had read, and identifiers are decided here.
- A name, picture or time of ours that is not what it is by now is said again.

A row of ours that says what is so leads to nothing, and every other row to a few at most: so this ends.
"""

from airy_identify.core.airy_facts import (
    AVATAR_URL,
    CONVERSATIONS,
    CREATED_AT,
    DISPLAY_NAME,
    VIA_EMAIL,
    VIA_EXTERNAL_ID,
    VIA_PHONE,
    read_facts,
)
from airy_identify.core.commands import ContactRowReceived
from airy_identify.core.contacts import IdentityReader, find_by_id
from airy_identify.core.contacts_out import (
    AiryWrite,
    facts_by_key,
    is_java_uuid,
    restated,
    says,
    wanted,
    write,
)
from airy_identify.core.values import (
    AiryFact,
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
        return () if record is None else _after_tombstone(received, record, table)
    if received.contact_id is None or not is_java_uuid(received.contact_id):
        return ()
    contact_id, fact = received.contact_id, received.fact
    contact = find_by_id(table, received.tenant, contact_id)
    if received.own:
        return _overtaken(received, contact, fact, table) if isinstance(contact, Contact) else ()
    is_another = contact is not None and not (isinstance(contact, Contact) and contact.id == contact_id)
    owner = _owner_by_key(table, received.tenant, fact.key)
    if is_another or (owner is not None and owner.id != contact_id):
        return (AiryWrite(contact_id=contact_id, key=fact.key, value=None, timestamp_ms=received.accepted_at_ms),)
    return _said_otherwise(received, contact, fact, table) if isinstance(contact, Contact) else ()


def _after_tombstone(received: ContactRowReceived, record: AiryRecord, table: IdentityReader) -> tuple[AiryWrite, ...]:
    tenant = received.tenant
    contact = find_by_id(table, tenant, record.contact_id)
    is_itself = isinstance(contact, Contact) and contact.id == record.contact_id
    missing = _missing(received, record, contact, table) if isinstance(contact, Contact) and is_itself else ()
    now = _owner_by_key(table, tenant, record.key)
    if now is None and isinstance(contact, Contact) and read_facts(table, tenant, record.contact_id) is None:
        now = contact
    if now is None or now.id == record.contact_id:
        return missing
    again = restated(now, at_ms=received.accepted_at_ms)
    return missing if again is None else (*missing, again)


def _missing(
    received: ContactRowReceived, record: AiryRecord, contact: Contact, table: IdentityReader
) -> tuple[AiryWrite, ...]:
    """Return the rows that a contact needs and lost. Its name and time are ours to say when nothing of Airy's is left."""
    facts = facts_by_key(read_facts(table, received.tenant, contact.id))
    keys = dict.fromkeys((record.key, CREATED_AT, DISPLAY_NAME))
    values = wanted(contact, facts) if is_java_uuid(contact.id) else {}
    return tuple(
        write(contact, key, values[key], received.accepted_at_ms) for key in keys if key in values and key not in facts
    )


def _said_otherwise(
    received: ContactRowReceived, contact: Contact, fact: AiryFact, table: IdentityReader
) -> tuple[AiryWrite, ...]:
    """Return what is to be said again, because Airy said something else and it is not for Airy to say."""
    value = wanted(contact, facts_by_key(read_facts(table, received.tenant, contact.id))).get(fact.key)
    is_ours = fact.key in {DISPLAY_NAME, VIA_EXTERNAL_ID, VIA_EMAIL, VIA_PHONE}
    if not is_ours or value is None or says(fact, fact.key, value):
        return ()
    return (write(contact, fact.key, value, received.accepted_at_ms),)


def _overtaken(
    received: ContactRowReceived, contact: Contact, fact: AiryFact, table: IdentityReader
) -> tuple[AiryWrite, ...]:
    """Return what is to be said again, because it changed while Airy had its own, and a row of ours was on its way."""
    if contact.id != received.contact_id or fact.key not in {DISPLAY_NAME, AVATAR_URL, CREATED_AT}:
        return ()
    if fact.text is None and fact.at_ms is None:  # too long to be kept: whether it is what it was nobody can tell
        return ()
    value = wanted(contact, facts_by_key(read_facts(table, received.tenant, contact.id))).get(fact.key)
    if value is None or value in {fact.text, str(fact.at_ms)}:
        return ()
    return (write(contact, fact.key, value, received.accepted_at_ms),)


def _owner_by_key(table: IdentityReader, tenant: TenantId, key: str) -> Contact | None:
    """Return the contact here to which the conversation of a row belongs, null when it is of none, or no such row."""
    if not key.startswith(CONVERSATIONS):
        return None
    conversation_id = ConversationId(key.removeprefix(CONVERSATIONS))
    owner = table.owner(ConversationOwnerKey(tenant=tenant, conversation_id=conversation_id))
    if not isinstance(owner, Owner):
        return None
    return _living(table, tenant, owner.contact_id)


def _living(table: IdentityReader, tenant: TenantId, contact_id: ContactId) -> Contact | None:
    contact = find_by_id(table, tenant, contact_id)
    return contact if isinstance(contact, Contact) else None
