"""Airy's messages as this service takes them: read, and shortened to what answers show."""

from airy_identify.core.conversation import shorten
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import Message
from airy_identify.wire.airy import decode_message
from airy_identify.wire.confluent import WriterSchemas
from airy_identify.wire.errors import UndecodableError


def accept_message(value: bytes, writers: WriterSchemas | None = None) -> Message | Rejected:
    """Return the message for `conversation-commands`, or why the value is none.

    `writers` are the schemas that the registry has, null when there is no registry.
    Content that no answer shows is dropped here already, so that no record of ours outgrows its topic.
    """
    try:
        return shorten(decode_message(value, writers))
    except UndecodableError as error:
        return Rejected(reason=Reason.INVALID_FIELD, message=f"not a message of Airy: {error}")
