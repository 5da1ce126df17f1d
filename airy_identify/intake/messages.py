"""Airy's messages as this service takes them: read, and shortened to what answers show."""

from collections.abc import Mapping
from dataclasses import replace

from airy_identify.core.conversation import shorten
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import Message, TenantId
from airy_identify.intake.policy import DEFAULT_TENANT
from airy_identify.wire.airy import decode_message
from airy_identify.wire.confluent import WriterSchemas
from airy_identify.wire.errors import UndecodableError

NO_TENANTS: Mapping[str, str] = {}


def accept_message(
    value: bytes, writers: WriterSchemas | None = None, channel_tenants: Mapping[str, str] = NO_TENANTS
) -> Message | Rejected:
    """Return the message for `conversation-commands`, or why the value is none.

    `channel_tenants` maps channel ids to their tenants; the others belong to `default`.
    `writers` are the schemas that the registry has, null when there is no registry.
    Content that no answer shows is dropped here already, so that no record of ours outgrows its topic.
    """
    try:
        message = decode_message(value, writers)
    except UndecodableError as error:
        return Rejected(reason=Reason.INVALID_FIELD, message=f"not a message of Airy: {error}")
    tenant = TenantId(channel_tenants.get(message.channel_id, DEFAULT_TENANT))
    return replace(shorten(message), tenant=tenant)
