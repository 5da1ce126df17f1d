"""The values of `conversation-commands` as bytes: routing slips and messages."""

from collections.abc import Mapping
from typing import Any

from airy_identify.core.commands import ContactView, ConversationCommand, ConversationSummary, ResumeSlip
from airy_identify.core.values import ContactId, ConversationId, Message, RequestId, TenantId
from airy_identify.wire import fragments, json_text, schemas
from airy_identify.wire.errors import UndecodableError
from airy_identify.wire.schemas import Datum

RESUME_SLIP = "airy_identify.ResumeSlip"
MESSAGE_RECEIVED = "airy_identify.MessageReceived"


def encode_conversation_command(command: ConversationCommand) -> bytes:
    """Return the slip or message in single-object encoding; equal values give equal bytes."""
    if isinstance(command, Message):
        return schemas.encode(MESSAGE_RECEIVED, fragments.message_datum(command))
    return schemas.encode(RESUME_SLIP, _slip_datum(command))


def decode_conversation_command(data: bytes) -> ConversationCommand:
    """Return the slip or message that `encode_conversation_command` wrote. Raises `UndecodableError`."""
    name, datum = schemas.decode(data)
    if name == MESSAGE_RECEIVED:
        return fragments.read_message(datum)
    if name == RESUME_SLIP:
        return _read_slip(datum)
    raise UndecodableError(f"{name} where {RESUME_SLIP} or {MESSAGE_RECEIVED} belongs")


def _slip_datum(slip: ResumeSlip) -> Datum:
    return {
        "request_id": slip.request_id,
        "tenant": slip.tenant,
        "accepted_at_ms": slip.accepted_at_ms,
        "reply_to": fragments.reply_to_datum(slip.reply_to),
        "contact": _contact_datum(slip.contact),
        "created_contact": slip.created_contact,
        "created_conversation": slip.created_conversation,
        "merged": list(slip.merged),
        "warnings": fragments.warnings_datum(slip.warnings),
        "minted": slip.minted,
        "pending": [fragments.conversation_datum(conversation) for conversation in slip.pending],
        "summaries": [_summary_datum(summary) for summary in slip.summaries],
        "truncated": slip.truncated,
        "dry_run": slip.dry_run,
    }


def _read_slip(datum: Mapping[str, Any]) -> ResumeSlip:
    minted = datum["minted"]
    return ResumeSlip(
        request_id=RequestId(datum["request_id"]),
        tenant=TenantId(datum["tenant"]),
        accepted_at_ms=datum["accepted_at_ms"],
        reply_to=fragments.read_reply_to(datum["reply_to"]),
        contact=_read_contact(datum["contact"]),
        created_contact=datum["created_contact"],
        created_conversation=datum["created_conversation"],
        merged=tuple(ContactId(contact_id) for contact_id in datum["merged"]),
        warnings=fragments.read_warnings(datum["warnings"]),
        minted=None if minted is None else ConversationId(minted),
        pending=tuple(fragments.read_conversation(conversation) for conversation in datum["pending"]),
        summaries=tuple(_read_summary(summary) for summary in datum["summaries"]),
        truncated=datum["truncated"],
        dry_run=datum["dry_run"],
    )


def _contact_datum(contact: ContactView) -> Datum:
    return {
        "id": contact.id,
        "external_id": contact.external_id,
        "email": contact.email,
        "phone_number": contact.phone_number,
        "identifiers": fragments.identifiers_datum(contact.identifiers),
        "display_name": contact.display_name,
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "avatar_url": contact.avatar_url,
        "metadata": json_text.canonical_json(contact.metadata),
        "unverified": list(contact.unverified),
        "created_at_ms": contact.created_at_ms,
        "updated_at_ms": contact.updated_at_ms,
    }


def _read_contact(datum: Mapping[str, Any]) -> ContactView:
    contact_id = datum["id"]
    return ContactView(
        id=None if contact_id is None else ContactId(contact_id),
        external_id=datum["external_id"],
        email=datum["email"],
        phone_number=datum["phone_number"],
        identifiers=fragments.read_identifiers(datum["identifiers"]),
        display_name=datum["display_name"],
        first_name=datum["first_name"],
        last_name=datum["last_name"],
        avatar_url=datum["avatar_url"],
        metadata=json_text.read_object(datum["metadata"]),
        unverified=tuple(datum["unverified"]),
        created_at_ms=datum["created_at_ms"],
        updated_at_ms=datum["updated_at_ms"],
    )


def _summary_datum(summary: ConversationSummary) -> Datum:
    return {
        "conversation": fragments.conversation_datum(summary.conversation),
        "last_message": fragments.last_message_datum(summary.last_message),
    }


def _read_summary(datum: Mapping[str, Any]) -> ConversationSummary:
    return ConversationSummary(
        conversation=fragments.read_conversation(datum["conversation"]),
        last_message=fragments.read_last_message(datum["last_message"]),
    )
