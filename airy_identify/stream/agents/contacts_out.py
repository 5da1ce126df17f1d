"""Writes contacts to Airy's contacts topic, in the transactions of the shard that changes them.

Rows of the table never depend on it: the same log gives the same table, whether Airy is told or not. What was written in
a batch that was aborted is written again, byte for byte: Airy reads uncommitted, and has applied it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from airy_identify.core.airy_facts import CONVERSATION, CONVERSATIONS, claimants, read_facts
from airy_identify.core.commands import Command, ContactRowReceived, Observation
from airy_identify.core.contacts import IdentityReader
from airy_identify.core.contacts_out import ATTRIBUTES, AiryWrite, Change, Facts, facts_by_key, writes_of
from airy_identify.core.contacts_out_repair import repair
from airy_identify.core.values import (
    AiryRecord,
    AiryRecordKey,
    AliasKey,
    Contact,
    ContactConversation,
    ContactId,
    ContactKey,
    ConversationOwnerKey,
    IdentityWrite,
    Owner,
    TenantId,
)
from airy_identify.stream.batch import Batch
from airy_identify.wire.airy import METADATA
from airy_identify.wire.answers import SchemaIds
from airy_identify.wire.contacts_out import encode_write


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsOut:
    """Where rows go. `tenant` is the one whose contacts Airy has; `schema_ids` has the registry's id of `METADATA`."""

    topic: str
    tenant: TenantId
    schema_ids: SchemaIds

    def before(
        self, command: Command | Observation, writes: Iterable[IdentityWrite], table: IdentityReader
    ) -> "Telling":
        """Look at what a command changes, while the table does not have it yet."""
        if command.tenant != self.tenant or not isinstance(command, Command | ContactRowReceived):
            return Telling(out=self)
        record = None
        if isinstance(command, ContactRowReceived):
            found = table.airy(AiryRecordKey(tenant=command.tenant, record_key=command.record_key))
            record = found if isinstance(found, AiryRecord) else None
        changes = changes_of(command.tenant, writes, table)
        facts = {
            change.contact_id: facts_by_key(read_facts(table, command.tenant, change.contact_id)) for change in changes
        }
        return Telling(out=self, command=command, record=record, changes=changes, facts=facts)

    def send(self, batch: Batch, rows: Iterable[AiryWrite]) -> None:
        """Publish rows in this order. Each goes to the partition that Airy's own producers give its key."""
        schema_id = self.schema_ids[METADATA]
        for row in rows:
            key, value, headers = encode_write(row, schema_id)
            batch.send(self.topic, key, value, headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What Airy has to be told of one command. `command` is null when that is nothing.

    `facts` are what was known of Airy's contacts before it: of somebody forgotten nothing is known afterwards.
    """

    out: ContactsOut
    command: Command | ContactRowReceived | None = None
    record: AiryRecord | None = None
    changes: tuple[Change, ...] = ()
    facts: Mapping[ContactId, Facts] = field(default_factory=dict)

    def send(self, batch: Batch, table: IdentityReader) -> None:
        """Publish it; the table has the rows of the command now."""
        command = self.command
        if command is None:
            return

        def facts_of(contact_id: ContactId) -> Facts:
            now = facts_by_key(read_facts(table, command.tenant, contact_id))
            return now or self.facts.get(contact_id, now)

        rows = writes_of(self.changes, at_ms=command.accepted_at_ms, facts_of=facts_of)
        if isinstance(command, ContactRowReceived):
            rows += repair(command, self.record, table)
        self.out.send(batch, dict.fromkeys(rows))


def changes_of(tenant: TenantId, writes: Iterable[IdentityWrite], table: IdentityReader) -> tuple[Change, ...]:
    """Return the contacts that change by these writes, which the table does not have yet."""
    listed = dict(writes)
    living = {row.id: row for row in listed.values() if isinstance(row, Contact)}
    into = {
        key.contact_id: living.get(row.contact_id)
        for key, row in listed.items()
        if isinstance(key, AliasKey) and isinstance(row, Owner)
    }
    changes: dict[ContactId, Change] = {}
    for key, row in listed.items():
        if isinstance(key, ContactKey):
            found = table.contact(key)
            before = found if isinstance(found, Contact) else None
            after = row if isinstance(row, Contact) else None
            changes[key.contact_id] = Change(
                contact_id=key.contact_id,
                before=before,
                after=after,
                into=None if after is not None else into.get(key.contact_id),
                adopted=frozenset() if after is None else _adopted(tenant, before, after, table),
                rivals=() if after is None else _rivals(tenant, before, after, table),
            )
    for key, row in listed.items():
        if isinstance(key, AliasKey) and row is not None and key.contact_id not in changes:
            changes[key.contact_id] = Change(contact_id=key.contact_id, into=into.get(key.contact_id))
    return tuple(changes.values())


def _rivals(
    tenant: TenantId, before: Contact | None, after: Contact, table: IdentityReader
) -> tuple[tuple[ContactId, str], ...]:
    """Return the rows by which other contacts of Airy have conversations that a contact gains."""
    return tuple(
        (contact_id, f"{CONVERSATIONS}{each.id}")
        for each in _gained(before, after)
        for contact_id in claimants(table, tenant, CONVERSATION, each.id)
        if contact_id != after.id
    )


def _gained(before: Contact | None, after: Contact) -> list[ContactConversation]:
    had = {each.id for each in before.conversations} if before is not None else set()
    return [each for each in after.conversations if each.id not in had]


def _adopted(tenant: TenantId, before: Contact | None, after: Contact, table: IdentityReader) -> frozenset[str]:
    """Return the keys of which no row can be on its way to Airy, since nobody here had the attribute.

    A conversation of somebody who was put aside had somebody: Airy may still take that one for its contact.
    """
    is_new = (
        table.contact(ContactKey(tenant=tenant, contact_id=after.id)) is None
        and table.owner(AliasKey(tenant=tenant, contact_id=after.id)) is None
    )
    conversations = {
        f"{CONVERSATIONS}{each.id}"
        for each in _gained(before, after)
        if table.owner(ConversationOwnerKey(tenant=tenant, conversation_id=each.id)) is None
    }
    return frozenset({*conversations, *(ATTRIBUTES if is_new else ())})
