"""The values of `identity-commands` as bytes."""

from airy_identify.core.commands import Command, Identify, OnConflict
from airy_identify.core.values import ChannelId, ConversationId, RequestId, TenantId
from airy_identify.wire import fragments, json_text, schemas

IDENTIFY_COMMAND = "airy_identify.IdentifyCommand"


def encode_command(command: Command) -> bytes:
    """Return the command in single-object encoding; equal commands give equal bytes."""
    metadata = None if command.metadata is None else json_text.canonical_json(command.metadata)
    return schemas.encode(
        IDENTIFY_COMMAND,
        {
            "request_id": command.request_id,
            "tenant": command.tenant,
            "accepted_at_ms": command.accepted_at_ms,
            "new_id": command.new_id,
            "rules_version": command.rules_version,
            "channel_id": command.channel_id,
            "channel_source": command.channel_source,
            "reply_to": fragments.reply_to_datum(command.reply_to),
            "external_id": command.external_id,
            "email": fragments.email_datum(command.email),
            "phone_number": fragments.phone_number_datum(command.phone_number),
            "identifiers": fragments.identifiers_datum(command.identifiers),
            "metadata": metadata,
            "on_conflict": command.on_conflict.value,
            "dry_run": command.dry_run,
            "explain": command.explain,
        },
    )


def decode_command(data: bytes) -> Command:
    """Return the command that `encode_command` wrote. Raises `UndecodableError`."""
    datum = schemas.decode_as(IDENTIFY_COMMAND, data)
    metadata = datum["metadata"]
    return Identify(
        request_id=RequestId(datum["request_id"]),
        tenant=TenantId(datum["tenant"]),
        accepted_at_ms=datum["accepted_at_ms"],
        new_id=ConversationId(datum["new_id"]),
        rules_version=datum["rules_version"],
        channel_id=ChannelId(datum["channel_id"]),
        channel_source=datum["channel_source"],
        reply_to=fragments.read_reply_to(datum["reply_to"]),
        external_id=datum["external_id"],
        email=fragments.read_email(datum["email"]),
        phone_number=fragments.read_phone_number(datum["phone_number"]),
        identifiers=fragments.read_identifiers(datum["identifiers"]),
        metadata=None if metadata is None else json_text.read_object(metadata),
        on_conflict=OnConflict(datum["on_conflict"]),
        dry_run=datum["dry_run"],
        explain=datum["explain"],
    )
