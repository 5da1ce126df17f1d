"""Makers of values: the only constructors in tests. Every maker takes overrides by name and fills in the rest."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from airy_identify.core.answers import (
    ContactChanged,
    ContactDetails,
    ContactForgotten,
    ContactInfo,
    ContactRestored,
    ContactView,
    ConversationSummary,
    ExplainedKey,
    Explanation,
    ForgetConversation,
    Identified,
    JournalEntry,
    Outcome,
    ResumeSlip,
    TargetChoice,
    TokenGiven,
    TokenSlip,
)
from airy_identify.core.commands import (
    Attach,
    ContactRowReceived,
    ConversationSeen,
    Forget,
    GiveResumeToken,
    Identify,
    Info,
    Merge,
    OnConflict,
    Release,
    ReplyTo,
    Unmerge,
)
from airy_identify.core.erasing import airy_record_key
from airy_identify.core.reasons import Warned, WarningCode
from airy_identify.core.values import (
    AiryContact,
    AiryFact,
    AiryIdentifiers,
    AirySource,
    ChannelId,
    Contact,
    ContactConversation,
    ContactId,
    Conversation,
    ConversationId,
    CustomIdentifiers,
    Email,
    Identifier,
    Level,
    Merged,
    Message,
    Owner,
    PhoneNumber,
    SeenConversation,
    Separation,
    TenantId,
)
from airy_identify.intake.channels import ChannelDirectory
from airy_identify.wire.airy import Channel, encode_channel
from airy_identify.wire.generations import CURRENT, Generation
from airy_identify.wire.skips import Skip

Made = TypeVar("Made", bound=Any)

TENANT = TenantId("default")
CHANNEL_ID = ChannelId("7f1ad1c5-0f0c-4d1f-8f3c-1d5f8a8a6f10")
OTHER_CHANNEL_ID = ChannelId("2b0f6f0e-52c5-4f43-9f0d-6f1c2d7ad111")
NEW_ID = ConversationId("98ce13ef-5469-4db3-af62-579be61cfaa4")
ACCEPTED_AT_MS = 1_700_000_000_000


def make_again(value: Made, **over: Any) -> Made:
    """Return the same value but for what is given."""
    return dataclasses.replace(value, **over)


def make_reply_to(**over: Any) -> ReplyTo:
    return ReplyTo(**{"topic": "identify-responses", "partition": None, "correlation_id": b"correlation"} | over)


def make_email(value: str | None, *, verified: bool = True) -> Email | None:
    return None if value is None else Email(value=value, verified=verified)


def make_phone_number(value: str | None, *, key: str | None = None, verified: bool = True) -> PhoneNumber | None:
    return None if value is None else PhoneNumber(value=value, key=value if key is None else key, verified=verified)


def make_custom(values: Mapping[str, str | Iterable[str]]) -> tuple[CustomIdentifiers, ...]:
    return tuple(
        CustomIdentifiers(kind=kind, values=(given,) if isinstance(given, str) else tuple(given))
        for kind, given in sorted(values.items())
    )


def _plain(over: dict[str, Any]) -> dict[str, Any]:
    """Let tests give an e-mail or phone as text and custom identifiers as a dict."""
    for name, make in (("email", make_email), ("phone_number", make_phone_number)):
        if isinstance(over.get(name), str):
            over[name] = make(over[name])
    if isinstance(over.get("identifiers"), dict):
        over["identifiers"] = make_custom(over["identifiers"])
    return over


def make_attach(conversation_id: str | None = None) -> Attach:
    """Return what a token asks to attach; without an id, one that did not count."""
    return Attach(conversation_id=None if conversation_id is None else ConversationId(conversation_id))


def make_identify_command(**over: Any) -> Identify:
    defaults: dict[str, Any] = {
        "request_id": "request-1",
        "tenant": TENANT,
        "accepted_at_ms": ACCEPTED_AT_MS,
        "new_id": NEW_ID,
        "rules_version": 1,
        "channel_id": CHANNEL_ID,
        "channel_source": "chatplugin",
        "reply_to": make_reply_to(),
    }
    if "on_conflict" in over:
        over["on_conflict"] = OnConflict(over["on_conflict"])
    return Identify(**defaults | _plain(over))


def _asked(over: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """Return the members that all commands have, and those of this one."""
    common: dict[str, Any] = {
        "request_id": "request-1",
        "tenant": TENANT,
        "accepted_at_ms": ACCEPTED_AT_MS,
        "rules_version": 1,
        "reply_to": make_reply_to(),
    }
    return common | defaults | over


def make_identifier(kind: str, value: str) -> Identifier:
    return Identifier(kind=kind, value=value)


def make_fact(key: str, text: str | None = None, **over: Any) -> AiryFact:
    return AiryFact(key=key, text=text, **over)


def make_airy_identifiers(**over: Any) -> AiryIdentifiers:
    return AiryIdentifiers(**_plain(over))


def make_airy_source(source_id: str, **over: Any) -> AirySource:
    created_at_ms = over.pop("created_at_ms", ACCEPTED_AT_MS)
    return AirySource(id=ContactId(source_id), created_at_ms=created_at_ms, identifiers=make_airy_identifiers(**over))


def make_airy_contact(contact_id: str, *facts: AiryFact) -> AiryContact:
    return AiryContact(id=ContactId(contact_id), facts=facts)


def make_seen_conversation(**over: Any) -> SeenConversation:
    defaults: dict[str, Any] = {"channel_id": CHANNEL_ID, "source": "chatplugin", "created_at_ms": ACCEPTED_AT_MS}
    return SeenConversation(**defaults | over)


def make_row_received(contact_id: str | None, fact: AiryFact | None, **over: Any) -> ContactRowReceived:
    """Return what a row of Airy says; without a fact it is a tombstone of `record_key`."""
    record_key = "" if contact_id is None or fact is None else airy_record_key(ContactId(contact_id), fact.key)
    defaults: dict[str, Any] = {
        "request_id": "contacts-0-0",
        "tenant": TENANT,
        "accepted_at_ms": ACCEPTED_AT_MS,
        "rules_version": 1,
        "record_key": record_key,
        "contact_id": contact_id,
        "fact": fact,
    }
    return ContactRowReceived(**defaults | over)


def make_tombstone(contact_id: str, key: str, **over: Any) -> ContactRowReceived:
    return make_row_received(None, None, record_key=airy_record_key(ContactId(contact_id), key), **over)


def make_conversation_seen(conversation_id: str, **over: Any) -> ConversationSeen:
    defaults: dict[str, Any] = {
        "tenant": TENANT,
        "rules_version": 1,
        "conversation_id": conversation_id,
        "channel_id": CHANNEL_ID,
        "source": "chatplugin",
        "created_at_ms": ACCEPTED_AT_MS,
    }
    return ConversationSeen(**defaults | over)


def make_merge(source_id: str, destination_id: str, **over: Any) -> Merge:
    return Merge(**_asked(over, source_id=source_id, destination_id=destination_id))


def make_unmerge(contact_id: str, **over: Any) -> Unmerge:
    return Unmerge(**_asked(over, contact_id=contact_id))


def make_release(contact_id: str, kind: str, value: str, **over: Any) -> Release:
    return Release(**_asked(over, contact_id=contact_id, identifier=make_identifier(kind, value)))


def make_forget(contact_id: str, **over: Any) -> Forget:
    return Forget(**_asked(over, contact_id=contact_id))


def make_info(contact_id: str | None = None, identifier: tuple[str, str] | None = None, **over: Any) -> Info:
    given = None if identifier is None else make_identifier(*identifier)
    return Info(**_asked(over, contact_id=contact_id, identifier=given))


def make_give_token(**over: Any) -> GiveResumeToken:
    return GiveResumeToken(**_asked(over, channel_id=CHANNEL_ID, conversation_id=NEW_ID) | over)


def make_contact_conversation(**over: Any) -> ContactConversation:
    defaults: dict[str, Any] = {
        "id": NEW_ID,
        "channel_id": CHANNEL_ID,
        "source": "chatplugin",
        "created_at_ms": ACCEPTED_AT_MS,
    }
    return ContactConversation(**defaults | over)


def make_contact(**over: Any) -> Contact:
    defaults: dict[str, Any] = {
        "id": "e5fc97f1-2f2d-53c5-85c7-97a83b17e9ff",
        "created_at_ms": ACCEPTED_AT_MS,
        "updated_at_ms": ACCEPTED_AT_MS,
    }
    return Contact(**defaults | _plain(over))


def make_separation(own: str, other: str) -> Separation:
    return Separation(own=ContactId(own), other=ContactId(other))


def make_merged(**over: Any) -> Merged:
    defaults: dict[str, Any] = {
        "survivor": make_contact(id="survivor"),
        "merged": make_contact(id="merged"),
        "merged_at_ms": ACCEPTED_AT_MS,
        "why": "email",
        "request_id": "request-1",
        "offset": 0,
        "alone": True,
    }
    return Merged(**defaults | over)


def make_contact_view(**over: Any) -> ContactView:
    defaults: dict[str, Any] = {
        "id": "e5fc97f1-2f2d-53c5-85c7-97a83b17e9ff",
        "external_id": None,
        "email": None,
        "phone_number": None,
        "identifiers": (),
        "display_name": None,
        "first_name": None,
        "last_name": None,
        "avatar_url": None,
        "metadata": {},
        "unverified": (),
        "created_at_ms": ACCEPTED_AT_MS,
        "updated_at_ms": ACCEPTED_AT_MS,
    }
    return ContactView(**defaults | over)


def make_message(**over: Any) -> Message:
    defaults: dict[str, Any] = {
        "id": "0d6a3c5e-7f5b-4b1f-9a55-3b9d3f3f0c01",
        "conversation_id": NEW_ID,
        "channel_id": CHANNEL_ID,
        "source": "chatplugin",
        "sender_id": NEW_ID,
        "is_from_contact": True,
        "delivery_state": "DELIVERED",
        "content": '{"text":"Hello"}',
        "sent_at_ms": ACCEPTED_AT_MS,
        "updated_at_ms": None,
    }
    return Message(**defaults | over)


def make_conversation(**over: Any) -> Conversation:
    defaults: dict[str, Any] = {
        "id": NEW_ID,
        "channel_id": CHANNEL_ID,
        "source": "chatplugin",
        "created_at_ms": ACCEPTED_AT_MS,
        "last_message": None,
    }
    return Conversation(**defaults | over)


def make_resume_slip(**over: Any) -> ResumeSlip:
    defaults: dict[str, Any] = {
        "request_id": "request-1",
        "tenant": TENANT,
        "accepted_at_ms": ACCEPTED_AT_MS,
        "reply_to": make_reply_to(),
        "contact": make_contact_view(),
        "created_contact": False,
        "created_conversation": False,
    }
    return ResumeSlip(**defaults | over)


def make_token_slip(**over: Any) -> TokenSlip:
    defaults: dict[str, Any] = {
        "request_id": "request-1",
        "accepted_at_ms": ACCEPTED_AT_MS,
        "reply_to": make_reply_to(),
        "channel_id": CHANNEL_ID,
        "conversation_id": NEW_ID,
        "owned": True,
    }
    return TokenSlip(**defaults | over)


def make_explanation(**over: Any) -> Explanation:
    key = ExplainedKey(field="email", level=Level.KNOWN, outcome=Outcome.MATCHED, why="words")
    return Explanation(**{"target": TargetChoice.FOUND, "by": "email", "keys": (key,)} | over)


def make_journal_entry(**over: Any) -> JournalEntry:
    defaults: dict[str, Any] = {
        "merged_id": "merged",
        "into_id": "survivor",
        "merged_at_ms": ACCEPTED_AT_MS,
        "why": "email",
        "request_id": "request-1",
        "offset": 0,
        "survivor_before": None,
        "merged_before": None,
    }
    return JournalEntry(**defaults | over)


def make_details(**over: Any) -> ContactDetails:
    return ContactDetails(**{"aliases": (), "journal": ()} | over)


def make_conversation_summary(**over: Any) -> ConversationSummary:
    return ConversationSummary(**{"conversation": make_contact_conversation(), "last_message": None} | over)


def make_warned(**over: Any) -> Warned:
    defaults: dict[str, Any] = {
        "code": WarningCode.IDENTIFIER_CONFLICT,
        "message": "Belongs to somebody else.",
        "field": "email",
    }
    return Warned(**defaults | over)


def make_identified(**over: Any) -> Identified:
    defaults: dict[str, Any] = {
        "request_id": "request-1",
        "contact": make_contact_view(),
        "conversations": (),
        "created_contact": False,
        "created_conversation": False,
        "accepted_at_ms": ACCEPTED_AT_MS,
    }
    return Identified(**defaults | over)


def make_contact_info(**over: Any) -> ContactInfo:
    defaults: dict[str, Any] = {
        "request_id": "request-1",
        "contact": make_contact_view(),
        "conversations": (),
        "details": make_details(),
    }
    return ContactInfo(**defaults | over)


def make_contact_changed(**over: Any) -> ContactChanged:
    defaults: dict[str, Any] = {"request_id": "request-1", "contact": make_contact_view()}
    return ContactChanged(**defaults | over)


def make_contact_restored(**over: Any) -> ContactRestored:
    defaults: dict[str, Any] = {
        "request_id": "request-1",
        "contact": make_contact_view(),
        "restored": make_contact_view(id="restored"),
    }
    return ContactRestored(**defaults | over)


def make_contact_forgotten(**over: Any) -> ContactForgotten:
    return ContactForgotten(**{"request_id": "request-1"} | over)


def make_token_given(**over: Any) -> TokenGiven:
    defaults: dict[str, Any] = {
        "request_id": "request-1",
        "accepted_at_ms": ACCEPTED_AT_MS,
        "channel_id": CHANNEL_ID,
        "conversation_id": NEW_ID,
    }
    return TokenGiven(**defaults | over)


def make_forget_conversation(conversation_id: str) -> ForgetConversation:
    return ForgetConversation(conversation_id=ConversationId(conversation_id))


def make_channel(**over: Any) -> Channel:
    defaults: dict[str, Any] = {
        "id": CHANNEL_ID,
        "source": "chatplugin",
        "source_channel_id": "Website",
        "connected": True,
    }
    return Channel(**defaults | over)


def make_owner(contact_id: str) -> Owner:
    return Owner(contact_id=ContactId(contact_id))


def make_channels(*channels: Channel) -> ChannelDirectory:
    """Return a directory that has read these channels; without any, the usual one."""
    directory = ChannelDirectory()
    for channel in channels or (make_channel(),):
        directory.apply(channel.id.encode(), encode_channel(channel))
    return directory


def make_skip(**over: Any) -> Skip:
    defaults: dict[str, Any] = {
        "topic": "identity-commands",
        "partition": 3,
        "offset": 17,
        "reason": "a defect of the rules",
        "by": "ada@ops-1",
        "asked_at_ms": ACCEPTED_AT_MS,
    }
    return Skip(**defaults | over)


def make_generation(**over: Any) -> Generation:
    defaults: dict[str, Any] = {
        "agent": "contact-identity",
        "partition": 3,
        "generation": 2,
        "state": CURRENT,
        "by": "ada@ops-1",
        "written_at_ms": ACCEPTED_AT_MS,
    }
    return Generation(**defaults | over)
