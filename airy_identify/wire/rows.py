"""Rows of the tables and their keys as bytes. A row's bytes are a function of its value, so a replay gives the same.

Keys of `contact-identity` are parts joined by U+001F: the tenant, the kind of row, what it is about. Keys of
`conversation` are the conversation id. The progress row is in every table, under a key that no other row can have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from airy_identify.core.values import (
    AiryClaimKey,
    AiryContactKey,
    AiryRecordKey,
    AliasKey,
    ChannelId,
    Contact,
    ContactId,
    ContactKey,
    Conversation,
    ConversationId,
    ConversationOwnerKey,
    ConversationRow,
    Forgotten,
    Gone,
    GoneKey,
    GoneQueueKey,
    IdentifierKey,
    IdentityKey,
    IdentityRow,
    JournalKey,
    Merged,
    Owner,
    RequestId,
    SeenConversationKey,
    Separation,
    TenantId,
)
from airy_identify.wire import airy_rows, fragments, json_text, schemas
from airy_identify.wire.errors import UndecodableError
from airy_identify.wire.schemas import Datum

CONTACT_ROW = "airy_identify.ContactRow"
OWNER_ROW = "airy_identify.OwnerRow"
MERGE_ROW = "airy_identify.MergeRow"
FORGOTTEN_ROW = "airy_identify.ForgottenRow"
GONE_ROW = "airy_identify.GoneRow"
CONVERSATION_ROW = "airy_identify.ConversationRow"
PROGRESS_ROW = "airy_identify.ProgressRow"

PROGRESS_KEY = b"progress"

_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a shard has applied its log: the last offset, and a fingerprint of the record that was there.

    `digest` is that of the table's other rows at this offset, 32 bytes; null in rows of earlier releases.
    """

    offset: int
    fingerprint: bytes
    digest: bytes | None = None


def encode_identity_key(key: IdentityKey) -> bytes:  # noqa: C901, PLR0911 - one line for each kind of row
    """Return the row key. Raises ValueError for a part that holds the separator: intake lets no such value pass."""
    match key:
        case ContactKey(tenant=tenant, contact_id=contact_id):
            return _join(tenant, "contact", contact_id)
        case IdentifierKey(tenant=tenant, kind=kind, value=value):
            return _join(tenant, "identifier", kind, value)
        case AliasKey(tenant=tenant, contact_id=contact_id):
            return _join(tenant, "alias", contact_id)
        case ConversationOwnerKey(tenant=tenant, conversation_id=conversation_id):
            return _join(tenant, "conversation", conversation_id)
        case JournalKey(tenant=tenant, contact_id=contact_id, number=number):
            return _join(tenant, "merge", contact_id, str(number))
        case AiryContactKey(tenant=tenant, contact_id=contact_id):
            return _join(tenant, "airy_contact", contact_id)
        case AiryRecordKey(tenant=tenant, record_key=record_key):
            return _join(tenant, "airy_record", record_key)
        case AiryClaimKey(tenant=tenant, kind=kind, value=value):
            return _join(tenant, "airy_claim", kind, value)
        case SeenConversationKey(tenant=tenant, conversation_id=conversation_id):
            return _join(tenant, "seen", conversation_id)
        case GoneKey(tenant=tenant, contact_id=contact_id):
            return _join(tenant, "gone", contact_id)
        case GoneQueueKey(tenant=tenant):
            return _join(tenant, "gone_queue")
        case _:
            assert_never(key)


def decode_identity_key(data: bytes) -> IdentityKey:  # noqa: C901, PLR0911, PLR0912 - one line for each kind of row
    """Return the key that `encode_identity_key` wrote. Raises `UndecodableError`, for the progress row's key too."""
    try:
        parts = data.decode().split(_SEPARATOR)
    except UnicodeDecodeError as error:
        raise UndecodableError("a row key that is not UTF-8") from error
    match parts:
        case [tenant, "contact", contact_id]:
            return ContactKey(tenant=TenantId(tenant), contact_id=ContactId(contact_id))
        case [tenant, "identifier", kind, value]:
            return IdentifierKey(tenant=TenantId(tenant), kind=kind, value=value)
        case [tenant, "alias", contact_id]:
            return AliasKey(tenant=TenantId(tenant), contact_id=ContactId(contact_id))
        case [tenant, "conversation", conversation_id]:
            return ConversationOwnerKey(tenant=TenantId(tenant), conversation_id=ConversationId(conversation_id))
        case [tenant, "merge", contact_id, number] if number.isdecimal():
            return JournalKey(tenant=TenantId(tenant), contact_id=ContactId(contact_id), number=int(number))
        case [tenant, "airy_contact", contact_id]:
            return AiryContactKey(tenant=TenantId(tenant), contact_id=ContactId(contact_id))
        case [tenant, "airy_record", record_key]:
            return AiryRecordKey(tenant=TenantId(tenant), record_key=record_key)
        case [tenant, "airy_claim", kind, value]:
            return AiryClaimKey(tenant=TenantId(tenant), kind=kind, value=value)
        case [tenant, "seen", conversation_id]:
            return SeenConversationKey(tenant=TenantId(tenant), conversation_id=ConversationId(conversation_id))
        case [tenant, "gone", contact_id]:
            return GoneKey(tenant=TenantId(tenant), contact_id=ContactId(contact_id))
        case [tenant, "gone_queue"]:
            return GoneQueueKey(tenant=TenantId(tenant))
        case _:
            raise UndecodableError("a row key of an unknown kind")


def encode_identity_row(row: IdentityRow) -> bytes:
    """Return the row of `contact-identity` in single-object encoding."""
    match row:
        case Contact():
            return schemas.encode(CONTACT_ROW, _contact_datum(row))
        case Owner():
            return schemas.encode(OWNER_ROW, {"contact_id": row.contact_id})
        case Merged():
            return schemas.encode(MERGE_ROW, _merge_datum(row))
        case Forgotten():
            return schemas.encode(FORGOTTEN_ROW, {})
        case Gone():
            return schemas.encode(GONE_ROW, _gone_datum(row))
        case _:
            return airy_rows.encode_airy_row(row)


def decode_identity_row(data: bytes) -> IdentityRow:
    """Return the row that `encode_identity_row` wrote. Raises `UndecodableError`."""
    name, datum = schemas.decode(data)
    if name == OWNER_ROW:
        return Owner(contact_id=ContactId(datum["contact_id"]))
    if name == CONTACT_ROW:
        return _read_contact(datum)
    if name == MERGE_ROW:
        return _read_merge(datum)
    if name == FORGOTTEN_ROW:
        return Forgotten()
    if name == GONE_ROW:
        return _read_gone(datum)
    row = airy_rows.read_airy_row(name, datum)
    if row is None:
        raise UndecodableError(f"{name} where a row of contact-identity belongs")
    return row


def encode_conversation_key(conversation_id: ConversationId) -> bytes:
    """Return the row key of a conversation: also the key of its records in `conversation-commands`."""
    return conversation_id.encode()


def encode_conversation_row(row: ConversationRow) -> bytes:
    """Return the row of `conversation` in single-object encoding."""
    if isinstance(row, Forgotten):
        return schemas.encode(FORGOTTEN_ROW, {})
    return schemas.encode(
        CONVERSATION_ROW,
        {
            "id": row.id,
            "channel_id": row.channel_id,
            "source": row.source,
            "created_at_ms": row.created_at_ms,
            "last_message": fragments.last_message_datum(row.last_message),
            "first_sent_at_ms": row.first_sent_at_ms,
        },
    )


def decode_conversation_row(data: bytes) -> ConversationRow:
    """Return the row that `encode_conversation_row` wrote. Raises `UndecodableError`."""
    name, datum = schemas.decode(data)
    if name == FORGOTTEN_ROW:
        return Forgotten()
    if name != CONVERSATION_ROW:
        raise UndecodableError(f"{name} where {CONVERSATION_ROW} belongs")
    return Conversation(
        id=ConversationId(datum["id"]),
        channel_id=ChannelId(datum["channel_id"]),
        source=datum["source"],
        created_at_ms=datum["created_at_ms"],
        last_message=fragments.read_last_message(datum["last_message"]),
        first_sent_at_ms=datum["first_sent_at_ms"],
    )


def encode_progress(progress: Progress) -> bytes:
    """Return the progress row in single-object encoding."""
    datum = {"offset": progress.offset, "fingerprint": progress.fingerprint, "digest": progress.digest}
    return schemas.encode(PROGRESS_ROW, datum)


def decode_progress(data: bytes) -> Progress:
    """Return the progress row that `encode_progress` wrote. Raises `UndecodableError`."""
    datum = schemas.decode_as(PROGRESS_ROW, data)
    return Progress(offset=datum["offset"], fingerprint=datum["fingerprint"], digest=datum["digest"])


def _join(*parts: str) -> bytes:
    key = _SEPARATOR.join(parts)
    if key.count(_SEPARATOR) != len(parts) - 1:
        raise ValueError("a part of a row key holds U+001F")
    return key.encode()


def _contact_datum(contact: Contact) -> Datum:
    return {
        "id": contact.id,
        "created_at_ms": contact.created_at_ms,
        "updated_at_ms": contact.updated_at_ms,
        "known": contact.known,
        "external_id": contact.external_id,
        "former_external_ids": list(contact.former_external_ids),
        "email": fragments.email_datum(contact.email),
        "phone_number": fragments.phone_number_datum(contact.phone_number),
        "identifiers": fragments.identifiers_datum(contact.identifiers),
        "metadata": json_text.canonical_json(contact.metadata),
        "conversations": [fragments.conversation_datum(conversation) for conversation in contact.conversations],
        "aliases": list(contact.aliases),
        "merge_count": contact.merge_count,
        "separations": [{"own": each.own, "other": each.other} for each in contact.separations],
    }


def _read_contact(datum: Mapping[str, Any]) -> Contact:
    return Contact(
        id=ContactId(datum["id"]),
        created_at_ms=datum["created_at_ms"],
        updated_at_ms=datum["updated_at_ms"],
        known=datum["known"],
        external_id=datum["external_id"],
        former_external_ids=tuple(datum["former_external_ids"]),
        email=fragments.read_email(datum["email"]),
        phone_number=fragments.read_phone_number(datum["phone_number"]),
        identifiers=fragments.read_identifiers(datum["identifiers"]),
        metadata=json_text.read_object(datum["metadata"]),
        conversations=tuple(fragments.read_conversation(conversation) for conversation in datum["conversations"]),
        aliases=tuple(ContactId(alias) for alias in datum["aliases"]),
        merge_count=datum["merge_count"],
        separations=tuple(
            Separation(own=ContactId(each["own"]), other=ContactId(each["other"])) for each in datum["separations"]
        ),
    )


def _merge_datum(row: Merged) -> Datum:
    return {
        "survivor": _contact_datum(row.survivor),
        "merged": _contact_datum(row.merged),
        "merged_at_ms": row.merged_at_ms,
        "why": row.why,
        "request_id": row.request_id,
        "offset": row.offset,
        "alone": row.alone,
        "replaced_email": fragments.email_datum(row.replaced_email),
        "replaced_phone_number": fragments.phone_number_datum(row.replaced_phone_number),
    }


def _read_merge(datum: Mapping[str, Any]) -> Merged:
    return Merged(
        survivor=_read_contact(datum["survivor"]),
        merged=_read_contact(datum["merged"]),
        merged_at_ms=datum["merged_at_ms"],
        why=datum["why"],
        request_id=RequestId(datum["request_id"]),
        offset=datum["offset"],
        alone=datum["alone"],
        replaced_email=fragments.read_email(datum["replaced_email"]),
        replaced_phone_number=fragments.read_phone_number(datum["replaced_phone_number"]),
    )


def _gone_datum(row: Gone) -> Datum:
    contact = None if row.contact is None else (CONTACT_ROW, _contact_datum(row.contact))
    return {"contact": contact, "gone_at_ms": row.gone_at_ms, "next": row.next}


def _read_gone(datum: Mapping[str, Any]) -> Gone:
    contact, following = datum["contact"], datum["next"]
    return Gone(
        contact=None if contact is None else _read_contact(contact),
        gone_at_ms=datum["gone_at_ms"],
        next=None if following is None else ContactId(following),
    )
