from airy_identify.core.pending import PendingTable
from airy_identify.core.values import (
    ContactKey,
    GoneQueue,
    GoneQueueKey,
    IdentifierKey,
    IdentityKey,
    IdentityRow,
    JournalKey,
)
from tests.builders import TENANT, make_contact, make_merged, make_owner
from tests.tables import InMemoryIdentityTable

CONTACT = ContactKey(tenant=TENANT, contact_id=make_contact().id)
IDENTIFIER = IdentifierKey(tenant=TENANT, kind="email", value="a@b.cd")
JOURNAL = JournalKey(tenant=TENANT, contact_id=make_contact().id, number=0)
QUEUE = GoneQueueKey(tenant=TENANT)
ROWS: dict[IdentityKey, IdentityRow] = {
    CONTACT: make_contact(),
    IDENTIFIER: make_owner("k"),
    JOURNAL: make_merged(),
    QUEUE: GoneQueue(first=make_contact().id, last=make_contact().id),
}


def read(table: PendingTable) -> dict[IdentityKey, IdentityRow | None]:
    return {
        CONTACT: table.contact(CONTACT),
        IDENTIFIER: table.owner(IDENTIFIER),
        JOURNAL: table.journal(JOURNAL),
        QUEUE: table.airy(QUEUE),
    }


def test_it_reads_the_table_then_what_was_written_then_what_was_written_last() -> None:
    table = InMemoryIdentityTable()
    pending = PendingTable(table)
    assert read(pending) == dict.fromkeys(ROWS)
    table.rows.update(ROWS)
    assert read(pending) == ROWS
    assert pending.writes == ()
    pending.write((key, None) for key in ROWS)
    assert read(pending) == dict.fromkeys(ROWS)
    pending.write(ROWS.items())
    assert read(pending) == ROWS
    assert dict(pending.writes) == ROWS
    assert PendingTable(table, [(CONTACT, None)]).contact(CONTACT) is None
