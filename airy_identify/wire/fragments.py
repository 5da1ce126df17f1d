"""Parts that several records share: identifiers, conversations, messages, where to reply."""

from collections.abc import Iterable, Mapping
from typing import Any

from airy_identify.core.commands import AnswerFormat, ReplyTo
from airy_identify.core.reasons import Warned, WarningCode
from airy_identify.core.values import (
    ChannelId,
    ContactConversation,
    ConversationId,
    CustomIdentifiers,
    Email,
    Identifier,
    Message,
    MessageId,
    PhoneNumber,
    TenantId,
)
from airy_identify.wire.errors import UndecodableError
from airy_identify.wire.schemas import Branch, Datum

IDENTIFIER = "airy_identify.Identifier"
_EMAIL = "airy_identify.Email"
_PHONE_NUMBER = "airy_identify.PhoneNumber"
_LAST_MESSAGE = "airy_identify.LastMessage"


def email_datum(email: Email | None) -> Branch:
    """Return the datum of an optional `Email`."""
    return None if email is None else (_EMAIL, {"value": email.value, "verified": email.verified})


def read_email(datum: Mapping[str, Any] | None) -> Email | None:
    """Return the value of an `Email` datum."""
    return None if datum is None else Email(value=datum["value"], verified=datum["verified"])


def phone_number_datum(phone: PhoneNumber | None) -> Branch:
    """Return the datum of an optional `PhoneNumber`."""
    if phone is None:
        return None
    return _PHONE_NUMBER, {"value": phone.value, "key": phone.key, "verified": phone.verified}


def read_phone_number(datum: Mapping[str, Any] | None) -> PhoneNumber | None:
    """Return the value of a `PhoneNumber` datum."""
    if datum is None:
        return None
    return PhoneNumber(value=datum["value"], key=datum["key"], verified=datum["verified"])


def identifier_datum(identifier: Identifier) -> Datum:
    """Return the datum of an `Identifier`."""
    return {"kind": identifier.kind, "value": identifier.value}


def read_identifier(datum: Mapping[str, Any]) -> Identifier:
    """Return the value of an `Identifier` datum."""
    return Identifier(kind=datum["kind"], value=datum["value"])


def identifiers_datum(identifiers: Iterable[CustomIdentifiers]) -> list[Datum]:
    """Return the data of `CustomIdentifiers`, in the order given."""
    return [{"kind": custom.kind, "values": list(custom.values)} for custom in identifiers]


def read_identifiers(data: Iterable[Mapping[str, Any]]) -> tuple[CustomIdentifiers, ...]:
    """Return the values of `CustomIdentifiers` data."""
    return tuple(CustomIdentifiers(kind=datum["kind"], values=tuple(datum["values"])) for datum in data)


def conversation_datum(conversation: ContactConversation) -> Datum:
    """Return the datum of `ContactConversation`."""
    return {
        "id": conversation.id,
        "channel_id": conversation.channel_id,
        "source": conversation.source,
        "created_at_ms": conversation.created_at_ms,
    }


def read_conversation(datum: Mapping[str, Any]) -> ContactConversation:
    """Return the value of a `ContactConversation` datum."""
    return ContactConversation(
        id=ConversationId(datum["id"]),
        channel_id=ChannelId(datum["channel_id"]),
        source=datum["source"],
        created_at_ms=datum["created_at_ms"],
    )


def message_datum(message: Message) -> Datum:
    """Return the datum of `LastMessage`: that of `MessageReceived` without the tenant."""
    return {
        "id": message.id,
        "conversation_id": message.conversation_id,
        "channel_id": message.channel_id,
        "source": message.source,
        "sender_id": message.sender_id,
        "is_from_contact": message.is_from_contact,
        "delivery_state": message.delivery_state,
        "content": message.content,
        "sent_at_ms": message.sent_at_ms,
        "updated_at_ms": message.updated_at_ms,
    }


def last_message_datum(message: Message | None) -> Branch:
    """Return the datum of an optional `LastMessage`."""
    return None if message is None else (_LAST_MESSAGE, message_datum(message))


def read_last_message(datum: Mapping[str, Any] | None) -> Message | None:
    """Return the value of an optional `LastMessage` datum."""
    return None if datum is None else read_message(datum)


def read_message(datum: Mapping[str, Any]) -> Message:
    """Return the value of a `LastMessage` or `MessageReceived` datum; only the latter has a tenant."""
    tenant = datum.get("tenant")
    return Message(
        id=MessageId(datum["id"]),
        conversation_id=ConversationId(datum["conversation_id"]),
        channel_id=ChannelId(datum["channel_id"]),
        source=datum["source"],
        sender_id=datum["sender_id"],
        is_from_contact=datum["is_from_contact"],
        delivery_state=datum["delivery_state"],
        content=datum["content"],
        sent_at_ms=datum["sent_at_ms"],
        updated_at_ms=datum["updated_at_ms"],
        tenant=None if tenant is None else TenantId(tenant),
    )


def warnings_datum(warnings: Iterable[Warned]) -> list[Datum]:
    """Return the data of `Warning`."""
    return [{"code": warned.code.value, "message": warned.message, "field": warned.field} for warned in warnings]


def read_warnings(data: Iterable[Mapping[str, Any]]) -> tuple[Warned, ...]:
    """Return the values of `Warning` data. Raises `UndecodableError` for a code that is not ours."""
    return tuple(Warned(code=_read_code(datum), message=datum["message"], field=datum["field"]) for datum in data)


def _read_code(datum: Mapping[str, Any]) -> WarningCode:
    try:
        return WarningCode(datum["code"])
    except ValueError as error:
        raise UndecodableError("a warning with an unknown code") from error


def reply_to_datum(reply_to: ReplyTo) -> Datum:
    """Return the datum of `ReplyTo`."""
    return {
        "topic": reply_to.topic,
        "partition": reply_to.partition,
        "correlation_id": reply_to.correlation_id,
        "format": reply_to.format.value,
    }


def read_reply_to(datum: Mapping[str, Any]) -> ReplyTo:
    """Return the value of a `ReplyTo` datum."""
    return ReplyTo(
        topic=datum["topic"],
        partition=datum["partition"],
        correlation_id=datum["correlation_id"],
        format=AnswerFormat(datum["format"]),
    )
