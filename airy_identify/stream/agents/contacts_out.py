"""Writes contacts to Airy's contacts topic, in the transactions of the shard that changes them.

Rows of the table never depend on it: the same log gives the same table, whether Airy is told or not. What was written in
a batch that was aborted is written again, byte for byte: Airy reads uncommitted, and has applied it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airy_identify.core.commands import Command, ContactRowReceived, Observation
from airy_identify.core.contacts import IdentityReader
from airy_identify.core.contacts_out import AiryWrite, Change, facts_by_key, writes_of
from airy_identify.core.contacts_out_repair import airy_contact, repair
from airy_identify.core.values import (
    AiryFact,
    AiryRecord,
    AiryRecordKey,
    AliasKey,
    Contact,
    ContactId,
    ContactKey,
    IdentityWrite,
    Owner,
    TenantId,
)
from airy_identify.stream.batch import Batch
from airy_identify.wire.answers import SchemaIds
from airy_identify.wire.contacts_out import METADATA, encode_write


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsOut:
    """Where rows go. `tenant` is the one whose contacts Airy has; `schema_ids` has the registry's id of `METADATA`."""

    topic: str
    tenant: TenantId
    schema_ids: SchemaIds

    def before(self, command: Command | Observation, writes: Iterable[IdentityWrite], table: IdentityReader) -> "Telling":
        """Look at what a command changes, while the table does not have it yet."""
        if command.tenant != self.tenant or not isinstance(command, Command | ContactRowReceived):
            return Telling(out=self, command=None, record=None, changes=())
        record = None
        if isinstance(command, ContactRowReceived):
            found = table.airy(AiryRecordKey(tenant=command.tenant, record_key=command.record_key))
            record = found if isinstance(found, AiryRecord) else None
        return Telling(out=self, command=command, record=record, changes=changes_of(command.tenant, writes, table))

    def send(self, batch: Batch, rows: Iterable[AiryWrite]) -> None:
        """Publish rows in this order. Each goes to the partition that Airy's own producers give its key."""
        schema_id = self.schema_ids[METADATA]
        for row in rows:
            key, value, headers = encode_write(row, schema_id)
            batch.send(self.topic, key, value, headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What Airy has to be told of one command. `command` is null when that is nothing."""

    out: ContactsOut
    command: Command | ContactRowReceived | None
    record: AiryRecord | None
    changes: tuple[Change, ...]

    def send(self, batch: Batch, table: IdentityReader) -> None:
        """Publish it; the table has the rows of the command now."""
        command = self.command
        if command is None:
            return

        def facts_of(contact_id: ContactId) -> Mapping[str, AiryFact]:
            return facts_by_key(airy_contact(table, command.tenant, contact_id))

        rows = writes_of(self.changes, at_ms=command.accepted_at_ms, facts_of=facts_of)
        if isinstance(command, ContactRowReceived):
            # What Airy has just said itself is not said again.
            rows = tuple(row for row in rows if row.record_key != command.record_key)
            rows += repair(command, self.record, table)
        self.out.send(batch, dict.fromkeys(rows))


def changes_of(tenant: TenantId, writes: Iterable[IdentityWrite], table: IdentityReader) -> tuple[Change, ...]:
    """Return the contacts that change by these writes, which the table does not have yet."""
    listed = list(writes)
    living = {row.id: row for _, row in listed if isinstance(row, Contact)}
    aliases = {
        key.contact_id: living.get(row.contact_id)
        for key, row in listed
        if isinstance(key, AliasKey) and isinstance(row, Owner)
    }
    changes = []
    for key, row in listed:
        if isinstance(key, ContactKey):
            found = table.contact(ContactKey(tenant=tenant, contact_id=key.contact_id))
            before = found if isinstance(found, Contact) else None
            after = row if isinstance(row, Contact) else None
            changes.append(Change(before=before, after=after, into=None if after else aliases.get(key.contact_id)))
    return tuple(changes)
