"""Looking into the tables from outside: by reading their changelogs, which hold what the workers' disks hold."""

import hashlib
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from airy_identify.core.values import (
    AiryClaimKey,
    AiryContactKey,
    AiryRecordKey,
    AliasKey,
    Contact,
    ContactId,
    ContactKey,
    ConversationOwnerKey,
    GoneKey,
    GoneQueueKey,
    IdentifierKey,
    IdentityKey,
    IdentityRow,
    JournalKey,
    Owner,
    SeenConversationKey,
    TenantId,
)
from airy_identify.kafka import partition_for
from airy_identify.ops.generations import current_changelogs, read_generations
from airy_identify.ops.reading import Advance, read_partition, reader
from airy_identify.settings import Settings
from airy_identify.topics import CONVERSATION, IDENTITY
from airy_identify.wire.errors import UndecodableError
from airy_identify.wire.rows import (
    PROGRESS_KEY,
    decode_identity_key,
    decode_identity_row,
    decode_progress,
    encode_identity_key,
)

UNREADABLE = "unreadable"
KINDS = {
    ContactKey: "contact",
    IdentifierKey: "identifier",
    AliasKey: "alias",
    ConversationOwnerKey: "conversation owner",
    JournalKey: "merge",
    AiryContactKey: "airy contact",
    AiryRecordKey: "airy record",
    AiryClaimKey: "airy claim",
    SeenConversationKey: "seen conversation",
    GoneKey: "gone",
    GoneQueueKey: "gone queue",
}
"""How rows are called, by the type of their keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionStats:
    """What one partition of a table holds: rows by kind, and the last offset of its log that has been applied."""

    table: str
    partition: int
    rows: dict[str, int]
    applied_offset: int | None


async def find_contact(
    settings: Settings, tenant: TenantId, wanted: ContactId | IdentifierKey, advance: Advance
) -> Contact | None:
    """Return the contact with this id (an alias will do) or identifier, null when there is none.

    The changelog of the tenant's partition is read once, and a second time when the first has only told whose it is.

    Raises:
        KafkaUnreachableError: No broker answers.
        TopicsError: There is no changelog.
    """
    book = await read_generations(settings)
    async with reader(settings.kafka_bootstrap_servers) as consumer:
        partitions = await current_changelogs(consumer, settings, IDENTITY, book)
        partition = partitions[partition_for(tenant.encode(), len(partitions))]
        keys: list[IdentityKey] = [wanted] if isinstance(wanted, IdentifierKey) else _keys_of(tenant, wanted)
        for row in await _latest(consumer, partition, keys, advance):
            if not isinstance(row, Owner):
                return row if isinstance(row, Contact) else None  # null: forgotten
            owned = ContactKey(tenant=tenant, contact_id=row.contact_id)
            for contact in await _latest(consumer, partition, [owned], advance):
                return contact if isinstance(contact, Contact) else None
    return None


async def read_stats(settings: Settings, advance: Advance) -> AsyncIterator[PartitionStats]:
    """Yield what each partition of each table holds, one after the other.

    Raises:
        KafkaUnreachableError: No broker answers.
        TopicsError: There is no changelog.
    """
    book = await read_generations(settings)
    async with reader(settings.kafka_bootstrap_servers) as consumer:
        # All topics are looked up first: once partitions are assigned, the client knows only their topics.
        tables = {
            table: await current_changelogs(consumer, settings, table, book) for table in (IDENTITY, CONVERSATION)
        }
        for table, partitions in tables.items():
            for partition in partitions:
                yield await _stats(consumer, table, partition, advance)


def _keys_of(tenant: TenantId, contact_id: ContactId) -> list[IdentityKey]:
    return [ContactKey(tenant=tenant, contact_id=contact_id), AliasKey(tenant=tenant, contact_id=contact_id)]


async def _latest(
    consumer: AIOKafkaConsumer, partition: TopicPartition, keys: Collection[IdentityKey], advance: Advance
) -> list[IdentityRow]:
    """Return the rows that have these keys now, in the order of the keys."""
    rows: dict[bytes, bytes | None] = dict.fromkeys(encode_identity_key(key) for key in keys)
    async for record in read_partition(consumer, partition, advance):
        if record.key in rows:
            rows[record.key] = record.value
    return [decode_identity_row(row) for row in rows.values() if row is not None]


async def _stats(consumer: AIOKafkaConsumer, table: str, partition: TopicPartition, advance: Advance) -> PartitionStats:
    """Count the rows of a partition. Keys are remembered as hashes of 8 bytes, for there may be millions."""
    keys: dict[str, set[bytes]] = {}
    applied_offset: int | None = None
    async for record in read_partition(consumer, partition, advance):
        if record.key == PROGRESS_KEY:
            applied_offset = None if record.value is None else decode_progress(record.value).offset
            continue
        kind = _kind(table, record.key)
        digest = hashlib.blake2b(record.key or b"", digest_size=8).digest()
        if record.value is None:
            keys.setdefault(kind, set()).discard(digest)
        else:
            keys.setdefault(kind, set()).add(digest)
    rows = {kind: len(digests) for kind, digests in sorted(keys.items())}
    return PartitionStats(table=table, partition=partition.partition, rows=rows, applied_offset=applied_offset)


def _kind(table: str, key: bytes | None) -> str:
    if table == CONVERSATION:
        return "conversation"
    try:
        return KINDS[type(decode_identity_key(key or b""))]
    except UndecodableError:
        return UNREADABLE
