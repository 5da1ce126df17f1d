"""Routing slips as data: what the answers need on their way through the partitions of `conversation-commands`."""

from collections.abc import Mapping
from typing import Any

from airy_identify.core.answers import (
    ContactDetails,
    ContactView,
    ConversationSummary,
    ExplainedKey,
    Explanation,
    JournalEntry,
    Outcome,
    ResumeSlip,
    TargetChoice,
    TokenSlip,
)
from airy_identify.core.values import ChannelId, ContactId, ConversationId, Level, RequestId, TenantId
from airy_identify.wire import fragments, json_text
from airy_identify.wire.errors import UndecodableError
from airy_identify.wire.schemas import Branch, Datum

_CONTACT_VIEW = "airy_identify.ContactView"
_EXPLANATION = "airy_identify.Explanation"
_CONTACT_DETAILS = "airy_identify.ContactDetails"


def resume_slip_datum(slip: ResumeSlip) -> Datum:
    """Return the datum of a `ResumeSlip`."""
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
        "explanation": _explanation_datum(slip.explanation),
        "details": _details_datum(slip.details),
    }


def read_resume_slip(datum: Mapping[str, Any]) -> ResumeSlip:
    """Return the value of a `ResumeSlip` datum. Raises `UndecodableError`."""
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
        explanation=_read_explanation(datum["explanation"]),
        details=_read_details(datum["details"]),
    )


def token_slip_datum(slip: TokenSlip) -> Datum:
    """Return the datum of a `TokenSlip`."""
    return {
        "request_id": slip.request_id,
        "accepted_at_ms": slip.accepted_at_ms,
        "reply_to": fragments.reply_to_datum(slip.reply_to),
        "channel_id": slip.channel_id,
        "conversation_id": slip.conversation_id,
        "owned": slip.owned,
    }


def read_token_slip(datum: Mapping[str, Any]) -> TokenSlip:
    """Return the value of a `TokenSlip` datum."""
    return TokenSlip(
        request_id=RequestId(datum["request_id"]),
        accepted_at_ms=datum["accepted_at_ms"],
        reply_to=fragments.read_reply_to(datum["reply_to"]),
        channel_id=ChannelId(datum["channel_id"]),
        conversation_id=ConversationId(datum["conversation_id"]),
        owned=datum["owned"],
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


def _explanation_datum(explanation: Explanation | None) -> Branch:
    if explanation is None:
        return None
    keys = [
        {
            "field": key.field,
            "level": None if key.level is None else key.level.value,
            "outcome": key.outcome.value,
            "why": key.why,
        }
        for key in explanation.keys
    ]
    return _EXPLANATION, {"target": explanation.target.value, "by": explanation.by, "keys": keys}


def _read_explanation(datum: Mapping[str, Any] | None) -> Explanation | None:
    if datum is None:
        return None
    try:
        keys = tuple(
            ExplainedKey(
                field=key["field"],
                level=None if key["level"] is None else Level(key["level"]),
                outcome=Outcome(key["outcome"]),
                why=key["why"],
            )
            for key in datum["keys"]
        )
        return Explanation(target=TargetChoice(datum["target"]), by=datum["by"], keys=keys)
    except ValueError as error:
        raise UndecodableError("an explanation with an unknown word") from error


def _details_datum(details: ContactDetails | None) -> Branch:
    if details is None:
        return None
    journal = [
        {
            "merged_id": entry.merged_id,
            "into_id": entry.into_id,
            "merged_at_ms": entry.merged_at_ms,
            "why": entry.why,
            "request_id": entry.request_id,
            "offset": entry.offset,
            "survivor_before": _optional_contact_datum(entry.survivor_before),
            "merged_before": _optional_contact_datum(entry.merged_before),
        }
        for entry in details.journal
    ]
    return _CONTACT_DETAILS, {"aliases": list(details.aliases), "journal": journal}


def _read_details(datum: Mapping[str, Any] | None) -> ContactDetails | None:
    if datum is None:
        return None
    return ContactDetails(
        aliases=tuple(ContactId(alias) for alias in datum["aliases"]),
        journal=tuple(
            JournalEntry(
                merged_id=ContactId(entry["merged_id"]),
                into_id=ContactId(entry["into_id"]),
                merged_at_ms=entry["merged_at_ms"],
                why=entry["why"],
                request_id=RequestId(entry["request_id"]),
                offset=entry["offset"],
                survivor_before=_read_optional_contact(entry["survivor_before"]),
                merged_before=_read_optional_contact(entry["merged_before"]),
            )
            for entry in datum["journal"]
        ),
    )


def _optional_contact_datum(contact: ContactView | None) -> Branch:
    return None if contact is None else (_CONTACT_VIEW, _contact_datum(contact))


def _read_optional_contact(datum: Mapping[str, Any] | None) -> ContactView | None:
    return None if datum is None else _read_contact(datum)
