"""Airy's records on its own topics: messages, channels and rows of contacts, in the shape of its published schemas (airyhq/airy, efa19b2b).

Airy writes the Confluent wire format: 0, a schema id of 4 bytes, the datum. With a registry the id tells the writer's
schema; without one it says nothing, so such bytes are read with the published schema, and only if they fit it to the
last byte and make sense.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airy_identify.core.values import ChannelId, ConversationId, Message, MessageId
from airy_identify.wire import schemas
from airy_identify.wire.confluent import MARKER, PREFIX_BYTES, WriterSchemas
from airy_identify.wire.errors import UndecodableError
from airy_identify.wire.schemas import Datum

MESSAGE = "co.airy.avro.communication.Message"
CHANNEL = "co.airy.avro.communication.Channel"
METADATA = "co.airy.avro.communication.Metadata"

_ID_CHARACTERS_MAX = 255
LATEST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999: later times cannot be written as ISO 8601 with four digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel as Airy's topic `channels` has it."""

    id: ChannelId
    source: str
    source_channel_id: str
    connected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactRow:
    """A row as Airy's topic `contacts` has it: one attribute of what `subject` names, `contact:<id>` there."""

    subject: str
    key: str
    value: str
    timestamp_ms: int


def decode_message(data: bytes, writers: WriterSchemas | None = None) -> Message:
    """Return the message. Raises `UndecodableError` also for one without usable ids or times.

    `writers` are the schemas that the registry has, null when there is no registry.
    """
    datum = _decode(MESSAGE, data, writers)
    message = Message(
        id=MessageId(_identifier(datum, "id")),
        conversation_id=ConversationId(_identifier(datum, "conversationId")),
        channel_id=ChannelId(_identifier(datum, "channelId")),
        source=_identifier(datum, "source"),
        sender_id=datum["senderId"],
        is_from_contact=datum["isFromContact"],
        delivery_state=datum["deliveryState"],
        content=datum["content"],
        sent_at_ms=datum["sentAt"],
        updated_at_ms=datum["updatedAt"],
    )
    for time_ms in (message.sent_at_ms, message.updated_at_ms or 0):
        if not 0 <= time_ms <= LATEST_MS:
            raise UndecodableError("an Airy message with a time outside the years 1970 to 9999")
    return message


def encode_message(message: Message) -> bytes:
    """Return the message as Airy's record, in single-object encoding: for a local broker and for tests."""
    return schemas.encode(
        MESSAGE,
        {
            "id": message.id,
            "headers": None,
            "isFromContact": message.is_from_contact,
            "deliveryState": message.delivery_state.upper(),
            "senderId": message.sender_id,
            "sourceRecipientId": None,
            "conversationId": message.conversation_id,
            "channelId": message.channel_id,
            "source": message.source,
            "content": message.content,
            "sentAt": message.sent_at_ms,
            "updatedAt": message.updated_at_ms,
        },
    )


def decode_channel(data: bytes, writers: WriterSchemas | None = None) -> Channel:
    """Return the channel. Raises `UndecodableError` also for one without a usable id or source."""
    datum = _decode(CHANNEL, data, writers)
    return Channel(
        id=ChannelId(_identifier(datum, "id")),
        source=_identifier(datum, "source"),
        source_channel_id=datum["sourceChannelId"],
        connected=datum["connectionState"] == "CONNECTED",
    )


def encode_channel(channel: Channel) -> bytes:
    """Return the channel as Airy's record, in single-object encoding: for a local broker and for tests."""
    return schemas.encode(
        CHANNEL,
        {
            "id": channel.id,
            "source": channel.source,
            "sourceChannelId": channel.source_channel_id,
            "token": None,
            "connectionState": "CONNECTED" if channel.connected else "DISCONNECTED",
        },
    )


def decode_contact_row(data: bytes, writers: WriterSchemas | None = None) -> ContactRow:
    """Return the row, whatever it says. Raises `UndecodableError`.

    `writers` are the schemas that the registry has, null when there is no registry.
    """
    datum = _decode(METADATA, data, writers)
    return ContactRow(subject=datum["subject"], key=datum["key"], value=datum["value"], timestamp_ms=datum["timestamp"])


def encode_contact_row(row: ContactRow) -> bytes:
    """Return the row as Airy's record, in single-object encoding: for a local broker and for tests."""
    return schemas.encode(
        METADATA,
        {
            "subject": row.subject,
            "key": row.key,
            "value": row.value,
            "valueType": "text",
            "timestamp": row.timestamp_ms,
        },
    )


def _decode(record_name: str, data: bytes, writers: WriterSchemas | None) -> Datum:
    if data[:1] == MARKER:
        if writers is not None:
            return writers.decode(record_name, data)
        if len(data) < PREFIX_BYTES:
            raise UndecodableError("too short for the Confluent wire format")
        return schemas.our_schemas().decode_body(record_name, data, PREFIX_BYTES)
    return schemas.decode_as(record_name, data)


def _identifier(datum: Mapping[str, Any], field: str) -> str:
    """Return the field if it can be an id: ids become parts of row keys, which hold no control characters."""
    value: str = datum[field]
    if not 0 < len(value) <= _ID_CHARACTERS_MAX or not value.isprintable():
        raise UndecodableError(f"an Airy record whose {field} is empty, too long or not printable")
    return value
