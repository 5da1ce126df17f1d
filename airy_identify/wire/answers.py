"""Answers as JSON: the 200 of an identify request and every error, over HTTP and Kafka alike.

Whatever was stored, what leaves here is JSON in UTF-8: content that is no proper JSON is answered as the text it is.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from airy_identify.core.commands import ContactView, ConversationSummary, Identified
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import ChannelId, ConversationId, JsonValue, Message, RequestId
from airy_identify.wire import json_text

ANSWER_SCHEMA_HEADER = "airy_identify_schema"
"""Kafka header of an answer: the full name of its record, since JSON does not say it."""
IDENTIFY_RESPONSE = "airy_identify.IdentifyResponse"
ERROR_RESPONSE = "airy_identify.ErrorResponse"

SignToken = Callable[[ConversationId, ChannelId, int], str]
"""Makes the resume token of a conversation on a channel, issued at that second."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode_identified(identified: Identified, sign: SignToken) -> bytes:
    """Return the answer as JSON. Tokens are issued at the second the request was accepted; a dry run gets none."""
    issued_at_s = identified.accepted_at_ms // 1000
    conversations: list[JsonValue] = []
    for summary in identified.conversations:
        conversation = summary.conversation
        token = None if identified.dry_run else sign(conversation.id, conversation.channel_id, issued_at_s)
        conversations.append(_conversation(summary, token))
    return json_text.plain_json(
        {
            "request_id": identified.request_id,
            "contact": _contact(identified.contact),
            "conversations": conversations,
            "created": {
                "contact": identified.created_contact,
                "conversation": identified.created_conversation,
            },
            "merged": list(identified.merged),
            "warnings": [
                {"code": warning.code.value, "message": warning.message, "field": warning.field}
                for warning in identified.warnings
            ],
            "truncated": identified.truncated,
        }
    )


def encode_error(rejected: Rejected, request_id: RequestId) -> bytes:
    """Return the error as JSON; `message` is where Airy's clients look for it."""
    return json_text.plain_json(
        {
            "message": rejected.message,
            "code": rejected.reason.value,
            "field": rejected.field,
            "request_id": request_id,
        }
    )


def iso_time(time_ms: int) -> str:
    """Return milliseconds since the epoch as ISO 8601 with milliseconds and Z."""
    return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _contact(contact: ContactView) -> dict[str, JsonValue]:
    return {
        "id": contact.id,
        "external_id": contact.external_id,
        "email": contact.email,
        "phone_number": contact.phone_number,
        "identifiers": {custom.kind: list(custom.values) for custom in contact.identifiers},
        "display_name": contact.display_name,
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "avatar_url": contact.avatar_url,
        "metadata": dict(contact.metadata),
        "unverified": list(contact.unverified),
        "created_at": None if contact.created_at_ms is None else iso_time(contact.created_at_ms),
        "updated_at": None if contact.updated_at_ms is None else iso_time(contact.updated_at_ms),
    }


def _conversation(summary: ConversationSummary, token: str | None) -> dict[str, JsonValue]:
    conversation = summary.conversation
    return {
        "id": conversation.id,
        "created_at": iso_time(conversation.created_at_ms),
        "channel": {"id": conversation.channel_id, "source": conversation.source},
        "resume_token": token,
        "last_message": None if summary.last_message is None else _message(summary.last_message),
    }


def _message(message: Message) -> dict[str, JsonValue]:
    """Return Airy's payload of a message (its `MessageResponsePayload.fromMessage`), `truncated` if the text is gone."""
    payload: dict[str, JsonValue] = {
        "id": message.id,
        "content": None if message.content is None else _content(message.content),
        "sent_at": iso_time(message.sent_at_ms),
        "delivery_state": message.delivery_state.lower(),
        "from_contact": message.is_from_contact,
        "source": message.source,
        "metadata": None,
        "sender": {"id": message.sender_id, "name": None, "avatar_url": None},
    }
    if message.content is None:
        payload["truncated"] = True
    return payload


def _content(text: str) -> JsonValue:
    """Return the JSON value that the text is, or the text when it is none that can be passed on unharmed."""
    try:
        return json_text.read_strict(text)
    except ValueError:
        return text
