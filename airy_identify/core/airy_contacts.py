"""Decide about what Airy tells: a row of its topic `contacts`, a conversation that began there.

- A row is a fact about a contact, in place of the one of the same key; a tombstone takes it away (`airy_facts`).
- Of somebody forgotten here nothing is kept, but which row gives it the conversation of another.
- A contact of ours whose `created_at` goes was deleted, unless a living contact says that Airy merged it into itself
  (`gone`). Airy's contact of an alias is not the contact.
- Merges in Airy are followed where they concern contacts that are ours (`airy_merges`).
- What this service wrote itself is noted, so that its tombstones are understood, and has no consequence.
- A conversation that has an owner, or was forgotten, is known already. Of what is told of another twice, the earlier
  start counts.
"""

from dataclasses import replace

from airy_identify.core.airy_facts import (
    CREATED_AT,
    MERGE_HISTORY,
    claim_writes,
    created_at,
    read_facts,
    with_fact,
    without_fact,
)
from airy_identify.core.airy_merges import follow_merges
from airy_identify.core.airy_view import AiryView
from airy_identify.core.answers import Decision
from airy_identify.core.commands import ContactRowReceived, ConversationSeen
from airy_identify.core.contacts import IdentityReader, find_by_id
from airy_identify.core.erasing import is_of_somebody_here
from airy_identify.core.gone import may_be_needed, put_aside
from airy_identify.core.pending import PendingTable
from airy_identify.core.values import (
    AiryContact,
    AiryContactKey,
    AiryRecord,
    AiryRecordKey,
    Contact,
    ContactId,
    ContactKey,
    ConversationOwnerKey,
    Forgotten,
    SeenConversation,
    SeenConversationKey,
    TenantId,
)


def see_conversation(command: ConversationSeen, table: IdentityReader) -> Decision:
    """Note a conversation that began outside this service."""
    tenant, conversation_id = command.tenant, command.conversation_id
    if table.owner(ConversationOwnerKey(tenant=tenant, conversation_id=conversation_id)) is not None:
        return Decision()
    key = SeenConversationKey(tenant=tenant, conversation_id=conversation_id)
    told = SeenConversation(channel_id=command.channel_id, source=command.source, created_at_ms=command.created_at_ms)
    known = table.airy(key)
    if isinstance(known, SeenConversation) and _start(known) <= _start(told):
        return Decision()
    return Decision(writes=((key, told),))


def receive_row(command: ContactRowReceived, table: PendingTable, *, offset: int) -> None:
    """Take in a row of Airy's topic `contacts`; `offset` is the command's place in the log.

    Raises:
        InconsistentTableError: a row points to a contact that is not there.
    """
    key = AiryRecordKey(tenant=command.tenant, record_key=command.record_key)
    known = table.airy(key)
    stood_for = known if isinstance(known, AiryRecord) else None
    fact, contact_id = command.fact, command.contact_id
    if fact is None or contact_id is None:
        if stood_for is not None:
            table.write([(key, None)])
            _take_away(command, stood_for, table)
        return
    stands_for = AiryRecord(contact_id=contact_id, key=fact.key)
    if stood_for is not None and stood_for != stands_for:
        _take_away(command, stood_for, table)
    if isinstance(find_by_id(table, command.tenant, contact_id), Forgotten):
        needed = is_of_somebody_here(table, command.tenant, fact.key) or may_be_needed(
            table, command.tenant, contact_id, fact.key
        )
        kept = stands_for if needed else None
        if stood_for != kept:
            table.write([(key, kept)])
        return
    if stood_for != stands_for:
        table.write([(key, stands_for)])
    before = read_facts(table, command.tenant, contact_id)
    after = with_fact(before, contact_id, replace(fact, own=command.own))
    if after == before:
        return
    _replace(table, command.tenant, contact_id, before, after)
    if fact.key in {CREATED_AT, MERGE_HISTORY} and created_at(after) is not None:
        follow_merges(command, after, table, offset=offset)


def _take_away(command: ContactRowReceived, stood_for: AiryRecord, table: PendingTable) -> None:
    """Take a fact away; with its `created_at` a contact goes."""
    contact_id = stood_for.contact_id
    before = read_facts(table, command.tenant, contact_id)
    after = None if before is None else without_fact(before, stood_for.key)
    if after == before:
        return
    _replace(table, command.tenant, contact_id, before, after)
    if command.own or created_at(before) is None or created_at(after) is not None:
        return
    contact = table.contact(ContactKey(tenant=command.tenant, contact_id=contact_id))
    if isinstance(contact, Contact) and AiryView(table, command.tenant).absorber(contact_id) is None:
        put_aside(table, command.tenant, contact, at_ms=command.accepted_at_ms)


def _replace(
    table: PendingTable,
    tenant: TenantId,
    contact_id: ContactId,
    before: AiryContact | None,
    after: AiryContact | None,
) -> None:
    table.write([(AiryContactKey(tenant=tenant, contact_id=contact_id), after)])
    table.write(claim_writes(table, tenant, contact_id, before, after))


def _start(conversation: SeenConversation) -> tuple[int, str, str]:
    return conversation.created_at_ms, conversation.channel_id, conversation.source
