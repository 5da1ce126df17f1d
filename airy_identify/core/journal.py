"""The journal of merges: one row for each, kept under the survivor, numbered from 0.

- A row holds who, into whom, why, the place in the log, and both contacts as they were, separations aside: an unmerge
  leaves those that there are by then, and somebody who is forgotten must not live on in the journals of others.
- An answer shows the newest first, as many as it may hold.
"""

from dataclasses import replace

from airy_identify.core.answers import ContactDetails, JournalEntry
from airy_identify.core.claims import Merger
from airy_identify.core.commands import ContactRowReceived, Identify, Merge
from airy_identify.core.contacts import IdentityReader, journal_row
from airy_identify.core.merging import merge_contacts
from airy_identify.core.metadata import canonical_json
from airy_identify.core.values import Contact, ContactId, IdentityWrite, JournalKey, Merged, TenantId
from airy_identify.core.view import view_contact

ENTRIES_MAX = 100
STATES_BYTES_MAX = 256 * 1024
"""How much the contacts of an answer's journal may hold together, in bytes of metadata and custom values.

Older entries come without contacts.
"""


def write_journal(
    command: Identify | Merge | ContactRowReceived,
    mergers: tuple[Merger, ...],
    *,
    before: Contact,
    after: Contact,
    offset: int,
) -> list[IdentityWrite]:
    """Return the rows of a command's merges. `before` and `after`: the survivor before and after the whole command."""
    writes: list[IdentityWrite] = []
    for merger in mergers:
        row = Merged(
            survivor=replace(merger.survivor, separations=()),
            merged=replace(merger.merged, separations=()),
            merged_at_ms=command.accepted_at_ms,
            why=merger.why,
            request_id=command.request_id,
            offset=offset,
            alone=False,
            replaced_email=None if before.email == after.email else before.email,
            replaced_phone_number=None if before.phone_number == after.phone_number else before.phone_number,
        )
        if len(mergers) == 1:
            row = replace(row, alone=is_as_left(after, row))
        number = merger.survivor.merge_count
        writes.append((JournalKey(tenant=command.tenant, contact_id=before.id, number=number), row))
    return writes


def is_as_left(contact: Contact, row: Merged) -> bool:
    """Tell whether a survivor is just what this merge made of it, separations and level mark aside.

    These two change without anybody touching the survivor: when a later merge is undone, when somebody is forgotten.
    """
    left = merge_contacts(row.survivor, row.merged, at_ms=row.merged_at_ms)
    if left is None:
        return False
    touched = replace(contact, known=left.known, separations=left.separations)
    # Values of metadata are equal as JSON; to Python 1 and true are the same.
    return touched == left and canonical_json(contact.metadata) == canonical_json(left.metadata)


def details_of(table: IdentityReader, tenant: TenantId, contact: Contact) -> ContactDetails:
    """Return what is told of a contact besides itself: its other ids, and its merges, the newest first.

    Raises:
        InconsistentTableError: a journal row is not there.
    """
    entries = []
    bytes_left = STATES_BYTES_MAX
    for number in range(contact.merge_count - 1, max(-1, contact.merge_count - 1 - ENTRIES_MAX), -1):
        row = journal_row(table, tenant, contact.id, number)
        bytes_left -= _size(row.survivor) + _size(row.merged)
        entries.append(_entry(row, with_contacts=bytes_left >= 0))
    return ContactDetails(aliases=contact.aliases, journal=tuple(entries))


def _size(contact: Contact) -> int:
    values = sum(len(value.encode()) for custom in contact.identifiers for value in custom.values)
    return len(canonical_json(contact.metadata)) + values


def _entry(row: Merged, *, with_contacts: bool) -> JournalEntry:
    return JournalEntry(
        merged_id=row.merged.id,
        into_id=row.survivor.id,
        merged_at_ms=row.merged_at_ms,
        why=row.why,
        request_id=row.request_id,
        offset=row.offset,
        survivor_before=view_contact(row.survivor) if with_contacts else None,
        merged_before=view_contact(row.merged) if with_contacts else None,
    )


def journal_keys(table: IdentityReader, tenant: TenantId, contact_id: ContactId, merge_count: int) -> list[JournalKey]:
    """Return the keys of all journal rows of a contact, and of those of the contacts that it took in.

    Raises:
        InconsistentTableError: a journal row is not there.
    """
    keys: list[JournalKey] = []
    left = [(contact_id, merge_count)]
    while left:
        owner, count = left.pop()
        for number in range(count):
            keys.append(JournalKey(tenant=tenant, contact_id=owner, number=number))
            merged = journal_row(table, tenant, owner, number).merged
            left.append((merged.id, merged.merge_count))
    return keys
