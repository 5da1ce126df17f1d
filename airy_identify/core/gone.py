"""Contacts that Airy deleted. A merge in Airy looks the same at first: the rows of one contact go.

- When `created_at` of a contact of ours goes, the contact goes too: its keys are free, its ids and conversations leave
  markers, and nothing late revives it. It itself is put aside.
- If Airy's `mergeHistory` says that it was merged, it comes back as a part of the other (`airy_merges`).
- Otherwise it is erased as by a forget command, with the first row of Airy, or command that writes, that was accepted
  `GRACE_MS` after it went. Time is that in the log, so it does not matter when the log is read.
- Those put aside stand in a queue, so that one row tells whether somebody's time has come.
"""

from dataclasses import replace

from airy_identify.core.airy_facts import CONVERSATIONS
from airy_identify.core.contacts import IdentityReader
from airy_identify.core.erasing import airy_record_key, erase_history, leave_markers
from airy_identify.core.pending import PendingTable
from airy_identify.core.values import (
    AiryRecordKey,
    Contact,
    ContactId,
    ConversationId,
    ConversationOwnerKey,
    Forgotten,
    Gone,
    GoneKey,
    GoneQueue,
    GoneQueueKey,
    TenantId,
)

GRACE_MS = 24 * 60 * 60 * 1000
"""How long partitions of Airy's topic may be behind one another before a merge is taken for a deletion."""
ERASED_AT_ONCE_MAX = 16
"""How many a single command erases; the others wait for the next."""


def put_aside(table: PendingTable, tenant: TenantId, contact: Contact, *, at_ms: int) -> None:
    """Take a contact out of everybody's reach, and keep it until it is clear what became of it."""
    leave_markers(table, tenant, contact, may_come_back=True)
    key = GoneKey(tenant=tenant, contact_id=contact.id)
    known = table.airy(key)
    if isinstance(known, Gone):  # it went before, came back, and still stands in the queue
        table.write([(key, replace(known, contact=contact, gone_at_ms=at_ms))])
        return
    table.write([(key, Gone(contact=contact, gone_at_ms=at_ms))])
    queue_key = GoneQueueKey(tenant=tenant)
    queue = table.airy(queue_key)
    if not isinstance(queue, GoneQueue):
        table.write([(queue_key, GoneQueue(first=contact.id, last=contact.id))])
        return
    last_key = GoneKey(tenant=tenant, contact_id=queue.last)
    last = table.airy(last_key)
    assert isinstance(last, Gone)  # noqa: S101 - the queue names rows that are there
    table.write([(last_key, replace(last, next=contact.id)), (queue_key, replace(queue, last=contact.id))])


def put_aside_contact(table: IdentityReader, tenant: TenantId, contact_id: ContactId) -> Contact | None:
    """Return the contact with this id that was put aside and may come back."""
    row = table.airy(GoneKey(tenant=tenant, contact_id=contact_id))
    return row.contact if isinstance(row, Gone) else None


def may_be_needed(table: IdentityReader, tenant: TenantId, contact_id: ContactId, key: str) -> bool:
    """Tell whether a row gives a contact that was put aside one of its conversations.

    Should it come back, that row is a rival of its conversation, and when the row goes Airy has to be told again.
    """
    contact = put_aside_contact(table, tenant, contact_id)
    return contact is not None and any(f"{CONVERSATIONS}{each.id}" == key for each in contact.conversations)


def take_back(table: PendingTable, tenant: TenantId, contact_id: ContactId) -> None:
    """Note that a contact that was put aside is not erased: it came back, or it is erased already."""
    key = GoneKey(tenant=tenant, contact_id=contact_id)
    row = table.airy(key)
    assert isinstance(row, Gone)  # noqa: S101 - the caller has just read it
    table.write([(key, replace(row, contact=None))])


def erase(table: PendingTable, tenant: TenantId, contact: Contact) -> tuple[ConversationId, ...]:
    """Erase what is left of a contact that was put aside; return its conversations, which are to be erased too.

    Raises:
        InconsistentTableError: a row points to a contact or a merge that is not there.
    """
    erase_history(table, tenant, contact)
    forgotten = tuple(
        conversation.id
        for conversation in contact.conversations
        if table.owner(ConversationOwnerKey(tenant=tenant, conversation_id=conversation.id)) == Forgotten()
    )
    for conversation_id in forgotten:
        record_key = airy_record_key(contact.id, f"{CONVERSATIONS}{conversation_id}")
        key = AiryRecordKey(tenant=tenant, record_key=record_key)
        if table.airy(key) is not None:
            table.write([(key, None)])
    return forgotten


def erase_those_due(table: PendingTable, tenant: TenantId, *, now_ms: int) -> tuple[ConversationId, ...]:
    """Erase those whose time has come, the earliest first; return their conversations.

    Raises:
        InconsistentTableError: a row points to a contact or a merge that is not there.
    """
    forgotten: list[ConversationId] = []
    queue_key = GoneQueueKey(tenant=tenant)
    queue = table.airy(queue_key)
    for _ in range(ERASED_AT_ONCE_MAX):
        if not isinstance(queue, GoneQueue):
            break
        key = GoneKey(tenant=tenant, contact_id=queue.first)
        row = table.airy(key)
        assert isinstance(row, Gone)  # noqa: S101 - the queue names rows that are there
        if row.gone_at_ms + GRACE_MS > now_ms:
            break
        if row.contact is not None:
            forgotten += erase(table, tenant, row.contact)
        queue = None if row.next is None else replace(queue, first=row.next)
        table.write([(key, None), (queue_key, queue)])
    return tuple(forgotten)
