"""The values of `identity-commands` as bytes."""

from collections.abc import Callable, Mapping
from typing import Any

from airy_identify.core.commands import (
    Attach,
    Command,
    ContactRowReceived,
    ConversationSeen,
    Forget,
    GiveResumeToken,
    Identify,
    Info,
    Merge,
    Observation,
    OnConflict,
    Release,
    Unmerge,
)
from airy_identify.core.values import ChannelId, ContactId, ConversationId, RequestId, TenantId
from airy_identify.wire import airy_rows, fragments, json_text, schemas
from airy_identify.wire.errors import UndecodableError
from airy_identify.wire.schemas import Datum

IDENTIFY_COMMAND = "airy_identify.IdentifyCommand"
MERGE_COMMAND = "airy_identify.MergeCommand"
UNMERGE_COMMAND = "airy_identify.UnmergeCommand"
RELEASE_COMMAND = "airy_identify.ReleaseCommand"
FORGET_COMMAND = "airy_identify.ForgetCommand"
INFO_COMMAND = "airy_identify.InfoCommand"
RESUME_TOKEN_COMMAND = "airy_identify.ResumeTokenCommand"  # noqa: S105 - the name of a record
CONTACT_ROW_RECEIVED = "airy_identify.ContactRowReceived"
CONVERSATION_SEEN = "airy_identify.ConversationSeen"


def encode_command(command: Command | Observation) -> bytes:
    """Return the command in single-object encoding; equal commands give equal bytes."""
    match command:
        case ContactRowReceived():
            return schemas.encode(CONTACT_ROW_RECEIVED, _contact_row_datum(command))
        case ConversationSeen():
            return schemas.encode(CONVERSATION_SEEN, _conversation_seen_datum(command))
    name, members = _members(command)
    return schemas.encode(
        name,
        {
            "request_id": command.request_id,
            "tenant": command.tenant,
            "accepted_at_ms": command.accepted_at_ms,
            "rules_version": command.rules_version,
            "reply_to": fragments.reply_to_datum(command.reply_to),
            **members,
        },
    )


def decode_log_value(data: bytes) -> Command | Observation:
    """Return what `encode_command` wrote. Raises `UndecodableError`."""
    name, datum = schemas.decode(data)
    if name == CONTACT_ROW_RECEIVED:
        return _read_contact_row(datum)
    if name == CONVERSATION_SEEN:
        return _read_conversation_seen(datum)
    return _read_command(name, datum)


def decode_command(data: bytes) -> Command:
    """Return the command that `encode_command` wrote. Raises `UndecodableError`, also for what nobody asked."""
    return _read_command(*schemas.decode(data))


def _read_command(name: str, datum: Mapping[str, Any]) -> Command:
    read = _READERS.get(name)
    if read is None:
        raise UndecodableError(f"{name} where a command belongs")
    common = {
        "request_id": RequestId(datum["request_id"]),
        "tenant": TenantId(datum["tenant"]),
        "accepted_at_ms": datum["accepted_at_ms"],
        "rules_version": datum["rules_version"],
        "reply_to": fragments.read_reply_to(datum["reply_to"]),
    }
    return read(datum, common)


def _members(command: Command) -> tuple[str, Datum]:  # noqa: PLR0911 - one for each kind of command
    """Return the record of a command, and its members besides those that all commands have."""
    match command:
        case Identify():
            return IDENTIFY_COMMAND, _identify_members(command)
        case Merge():
            return MERGE_COMMAND, {"source_id": command.source_id, "destination_id": command.destination_id}
        case Unmerge():
            return UNMERGE_COMMAND, {"contact_id": command.contact_id}
        case Release():
            identifier = fragments.identifier_datum(command.identifier)
            return RELEASE_COMMAND, {"contact_id": command.contact_id, "identifier": identifier}
        case Forget():
            return FORGET_COMMAND, {"contact_id": command.contact_id}
        case Info():
            given = command.identifier
            optional = None if given is None else (fragments.IDENTIFIER, fragments.identifier_datum(given))
            return INFO_COMMAND, {"contact_id": command.contact_id, "identifier": optional}
        case GiveResumeToken():
            members = {"channel_id": command.channel_id, "conversation_id": command.conversation_id}
            return RESUME_TOKEN_COMMAND, members


def _identify_members(command: Identify) -> Datum:
    return {
        "new_id": command.new_id,
        "channel_id": command.channel_id,
        "channel_source": command.channel_source,
        "external_id": command.external_id,
        "email": fragments.email_datum(command.email),
        "phone_number": fragments.phone_number_datum(command.phone_number),
        "identifiers": fragments.identifiers_datum(command.identifiers),
        "metadata": None if command.metadata is None else json_text.canonical_json(command.metadata),
        "attach": None if command.attach is None else {"conversation_id": command.attach.conversation_id},
        "on_conflict": command.on_conflict.value,
        "dry_run": command.dry_run,
        "explain": command.explain,
    }


def _read_identify(datum: Mapping[str, Any], common: dict[str, Any]) -> Command:
    metadata, attach = datum["metadata"], datum["attach"]
    return Identify(
        **common,
        new_id=ConversationId(datum["new_id"]),
        channel_id=ChannelId(datum["channel_id"]),
        channel_source=datum["channel_source"],
        external_id=datum["external_id"],
        email=fragments.read_email(datum["email"]),
        phone_number=fragments.read_phone_number(datum["phone_number"]),
        identifiers=fragments.read_identifiers(datum["identifiers"]),
        metadata=None if metadata is None else json_text.read_object(metadata),
        attach=None if attach is None else _read_attach(attach),
        on_conflict=OnConflict(datum["on_conflict"]),
        dry_run=datum["dry_run"],
        explain=datum["explain"],
    )


def _read_attach(datum: Mapping[str, Any]) -> Attach:
    conversation_id = datum["conversation_id"]
    return Attach(conversation_id=None if conversation_id is None else ConversationId(conversation_id))


def _read_merge(datum: Mapping[str, Any], common: dict[str, Any]) -> Command:
    return Merge(**common, source_id=ContactId(datum["source_id"]), destination_id=ContactId(datum["destination_id"]))


def _read_unmerge(datum: Mapping[str, Any], common: dict[str, Any]) -> Command:
    return Unmerge(**common, contact_id=ContactId(datum["contact_id"]))


def _read_release(datum: Mapping[str, Any], common: dict[str, Any]) -> Command:
    identifier = fragments.read_identifier(datum["identifier"])
    return Release(**common, contact_id=ContactId(datum["contact_id"]), identifier=identifier)


def _read_forget(datum: Mapping[str, Any], common: dict[str, Any]) -> Command:
    return Forget(**common, contact_id=ContactId(datum["contact_id"]))


def _read_info(datum: Mapping[str, Any], common: dict[str, Any]) -> Command:
    contact_id, given = datum["contact_id"], datum["identifier"]
    return Info(
        **common,
        contact_id=None if contact_id is None else ContactId(contact_id),
        identifier=None if given is None else fragments.read_identifier(given),
    )


def _read_resume_token(datum: Mapping[str, Any], common: dict[str, Any]) -> Command:
    return GiveResumeToken(
        **common,
        channel_id=ChannelId(datum["channel_id"]),
        conversation_id=ConversationId(datum["conversation_id"]),
    )


def _contact_row_datum(command: ContactRowReceived) -> Datum:
    fact = command.fact
    return {
        "request_id": command.request_id,
        "tenant": command.tenant,
        "accepted_at_ms": command.accepted_at_ms,
        "rules_version": command.rules_version,
        "record_key": command.record_key,
        "contact_id": command.contact_id,
        "fact": None if fact is None else (airy_rows.FACT, airy_rows.fact_datum(fact)),
        "own": command.own,
    }


def _read_contact_row(datum: Mapping[str, Any]) -> ContactRowReceived:
    contact_id, fact = datum["contact_id"], datum["fact"]
    return ContactRowReceived(
        request_id=RequestId(datum["request_id"]),
        tenant=TenantId(datum["tenant"]),
        accepted_at_ms=datum["accepted_at_ms"],
        rules_version=datum["rules_version"],
        record_key=datum["record_key"],
        contact_id=None if contact_id is None else ContactId(contact_id),
        fact=None if fact is None else airy_rows.read_fact(fact),
        own=datum["own"],
    )


def _conversation_seen_datum(command: ConversationSeen) -> Datum:
    return {
        "tenant": command.tenant,
        "rules_version": command.rules_version,
        "conversation_id": command.conversation_id,
        "channel_id": command.channel_id,
        "source": command.source,
        "created_at_ms": command.created_at_ms,
    }


def _read_conversation_seen(datum: Mapping[str, Any]) -> ConversationSeen:
    return ConversationSeen(
        tenant=TenantId(datum["tenant"]),
        rules_version=datum["rules_version"],
        conversation_id=ConversationId(datum["conversation_id"]),
        channel_id=ChannelId(datum["channel_id"]),
        source=datum["source"],
        created_at_ms=datum["created_at_ms"],
    )


_READERS: dict[str, Callable[[Mapping[str, Any], dict[str, Any]], Command]] = {
    IDENTIFY_COMMAND: _read_identify,
    MERGE_COMMAND: _read_merge,
    UNMERGE_COMMAND: _read_unmerge,
    RELEASE_COMMAND: _read_release,
    FORGET_COMMAND: _read_forget,
    INFO_COMMAND: _read_info,
    RESUME_TOKEN_COMMAND: _read_resume_token,
}
