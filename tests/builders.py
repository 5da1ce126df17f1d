"""Makers of values: the only constructors in tests. Every maker takes overrides by name and fills in the rest."""

from collections.abc import Iterable, Mapping
from typing import Any

from airy_identify.core.commands import (
    ContactView,
    ConversationSummary,
    Identified,
    Identify,
    OnConflict,
    ReplyTo,
    ResumeSlip,
)
from airy_identify.core.reasons import Reason, Warned
from airy_identify.core.values import (
    ChannelId,
    Contact,
    ContactConversation,
    ContactId,
    Conversation,
    ConversationId,
    CustomIdentifiers,
    Email,
    Message,
    Owner,
    PhoneNumber,
    TenantId,
)
from airy_identify.intake.channels import ChannelDirectory
from airy_identify.wire.airy import Channel, encode_channel

TENANT = TenantId("default")
CHANNEL_ID = ChannelId("7f1ad1c5-0f0c-4d1f-8f3c-1d5f8a8a6f10")
OTHER_CHANNEL_ID = ChannelId("2b0f6f0e-52c5-4f43-9f0d-6f1c2d7ad111")
NEW_ID = ConversationId("98ce13ef-5469-4db3-af62-579be61cfaa4")
ACCEPTED_AT_MS = 1_700_000_000_000


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


def make_conversation_summary(**over: Any) -> ConversationSummary:
    return ConversationSummary(**{"conversation": make_contact_conversation(), "last_message": None} | over)


def make_warned(**over: Any) -> Warned:
    defaults: dict[str, Any] = {
        "code": Reason.IDENTIFIER_CONFLICT,
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
