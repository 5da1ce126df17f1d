"""A request to identify becomes a command: checked, normalised, stamped. Used by the agent and by the bridge alike.

- Fields are checked in the order of the request in the docs; of several faults the first is answered.
- Then there must be an identifier that the caller vouches for.
- Then tenant and channel must be allowed to the caller, then the channel must be there, connected, of this tenant, and
  a chat plugin.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from airy_identify.core.commands import RULES_VERSION, Identify, OnConflict, ReplyTo
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import (
    EMAIL,
    PHONE_NUMBER,
    ChannelId,
    ConversationId,
    CustomIdentifiers,
    Email,
    JsonValue,
    PhoneNumber,
    RequestId,
    TenantId,
)
from airy_identify.intake import fields as read
from airy_identify.intake.channels import Channels
from airy_identify.intake.email_address import email_address
from airy_identify.intake.identifiers import custom_identifiers, external_id
from airy_identify.intake.metadata import metadata_patch
from airy_identify.intake.phone_numbers import phone_number
from airy_identify.wire.airy import Channel

COMMAND = "identify"
DEFAULT_TENANT = "default"
CHAT_PLUGIN = "chatplugin"
"""Airy's source of chat-plugin channels (airyhq/airy, `ChannelsController`)."""

_TENANT = re.compile("[a-z0-9_-]{1,64}")
_MAY_BE_UNVERIFIED = (EMAIL, PHONE_NUMBER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What must not be decided later: the time, milliseconds since the epoch, and a random UUID."""

    accepted_at_ms: int
    new_id: ConversationId


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakePolicy:
    """What the settings say about requests.

    `channel_tenants` maps channel ids to their tenants; the others belong to `default`. `allowed_tenants` and
    `allowed_channels` bind the caller; null allows all.
    """

    default_region: str | None = None
    channel_tenants: Mapping[str, str] = field(default_factory=dict)
    allowed_tenants: frozenset[str] | None = None
    allowed_channels: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fields:
    """The fields of a request, each of its type and in canonical form."""

    channel_id: str
    external_id: str | None
    email: Email | None
    phone_number: PhoneNumber | None
    identifiers: tuple[CustomIdentifiers, ...]
    metadata: Mapping[str, JsonValue] | None
    on_conflict: OnConflict
    dry_run: bool
    explain: bool
    tenant: str


def accept(  # noqa: PLR0913 - each comes from somewhere else, and all are named
    fields: Mapping[str, JsonValue],
    *,
    request_id: RequestId,
    stamp: Stamp,
    reply_to: ReplyTo,
    channels: Channels,
    policy: IntakePolicy,
) -> Identify | Rejected:
    """Return the command for the log, or why the request is refused. Never raises, whatever JSON the fields hold."""
    request = _read_fields(fields, policy.default_region)
    if isinstance(request, Rejected):
        return request
    if not _has_verified_key(request):
        return Rejected(
            reason=Reason.MISSING_IDENTIFIER,
            message="Give at least one of external_id, email, phone_number or identifiers that is not unverified.",
        )
    channel = _find_channel(request, channels, policy)
    if isinstance(channel, Rejected):
        return channel
    return Identify(
        request_id=request_id,
        tenant=TenantId(request.tenant),
        accepted_at_ms=stamp.accepted_at_ms,
        new_id=stamp.new_id,
        rules_version=RULES_VERSION,
        channel_id=ChannelId(request.channel_id),
        channel_source=channel.source,
        reply_to=reply_to,
        external_id=request.external_id,
        email=request.email,
        phone_number=request.phone_number,
        identifiers=request.identifiers,
        metadata=request.metadata,
        on_conflict=request.on_conflict,
        dry_run=request.dry_run,
        explain=request.explain,
    )


def _read_fields(fields: Mapping[str, JsonValue], default_region: str | None) -> _Fields | Rejected:
    """Return the fields, or the first refusal in the order in which they are read here, which is the documented one."""
    refusals = read.Refusals()
    _check_command(fields, refusals)
    channel_id = refusals.keep(_channel_id(fields.get("channel_id")), "")
    external = refusals.keep(external_id(fields.get("external_id")), None)
    # Its values decide how e-mail and phone are read, but a fault in it comes after theirs.
    unverified = _unverified(fields.get("unverified"))
    kinds: frozenset[str] = frozenset() if isinstance(unverified, Rejected) else unverified
    address = refusals.keep(email_address(fields.get("email")), None)
    phone = refusals.keep(
        phone_number(
            fields.get("phone_number"),
            verified=PHONE_NUMBER not in kinds,
            default_region=default_region,
        ),
        None,
    )
    identifiers = refusals.keep(custom_identifiers(fields.get("identifiers")), ())
    metadata = refusals.keep(metadata_patch(fields.get("metadata")), None)
    refusals.keep(unverified, kinds)
    on_conflict = refusals.keep(_on_conflict(fields.get("on_conflict")), OnConflict.WARN)
    dry_run = refusals.keep(read.flag(fields.get("dry_run"), "dry_run"), otherwise=False)
    explain = refusals.keep(read.flag(fields.get("explain"), "explain"), otherwise=False)
    tenant = refusals.keep(_tenant(fields.get("tenant")), DEFAULT_TENANT)
    if refusals.first is not None:
        return refusals.first
    return _Fields(
        channel_id=channel_id,
        external_id=external,
        email=None if address is None else Email(value=address, verified=EMAIL not in kinds),
        phone_number=phone,
        identifiers=identifiers,
        metadata=metadata,
        on_conflict=on_conflict,
        dry_run=dry_run,
        explain=explain,
        tenant=tenant,
    )


def _check_command(fields: Mapping[str, JsonValue], refusals: read.Refusals) -> None:
    """Leave room for the other requests: a record that asks for one of them must not be taken for this one."""
    command = refusals.keep(read.text(fields.get("command"), "command"), None)
    if command not in {None, COMMAND}:
        refusals.add(read.invalid("command", f"must be {COMMAND} or absent"))


def _channel_id(value: JsonValue) -> str | Rejected:
    channel_id = read.text(value, "channel_id")
    if channel_id is None:
        return Rejected(
            reason=Reason.MISSING_FIELD,
            message="channel_id is required: the id of a connected chat-plugin channel.",
            field="channel_id",
        )
    return channel_id


def _unverified(value: JsonValue) -> frozenset[str] | Rejected:
    value = read.given(value)
    if value is None:
        return frozenset()
    if not isinstance(value, list) or any(kind not in _MAY_BE_UNVERIFIED for kind in value):
        return read.invalid("unverified", "must be a list of email, phone_number or both")
    return frozenset(kind for kind in value if isinstance(kind, str))


def _on_conflict(value: JsonValue) -> OnConflict | Rejected:
    given = read.text(value, "on_conflict")
    if given is None:
        return OnConflict.WARN
    if isinstance(given, Rejected):
        return given
    try:
        return OnConflict(given)
    except ValueError:
        return read.invalid("on_conflict", "must be warn or reject")


def _tenant(value: JsonValue) -> str | Rejected:
    tenant = read.text(value, "tenant")
    if tenant is None:
        return DEFAULT_TENANT
    if isinstance(tenant, str) and not _TENANT.fullmatch(tenant):
        return read.invalid("tenant", "must be 1 to 64 characters of a-z, 0-9, _ and -")
    return tenant


def _has_verified_key(request: _Fields) -> bool:
    return bool(
        request.external_id is not None
        or (request.email is not None and request.email.verified)
        or (request.phone_number is not None and request.phone_number.verified)
        or request.identifiers
    )


def _find_channel(request: _Fields, channels: Channels, policy: IntakePolicy) -> Channel | Rejected:
    if policy.allowed_tenants is not None and request.tenant not in policy.allowed_tenants:
        return _forbidden("tenant")
    if policy.allowed_channels is not None and request.channel_id not in policy.allowed_channels:
        return _forbidden("channel_id")
    channel = channels.get(request.channel_id)
    tenant = policy.channel_tenants.get(request.channel_id, DEFAULT_TENANT)
    if channel is None or not channel.connected or tenant != request.tenant:
        return Rejected(
            reason=Reason.UNKNOWN_CHANNEL,
            message="channel_id names no connected channel of this tenant.",
            field="channel_id",
        )
    if channel.source != CHAT_PLUGIN:
        return Rejected(
            reason=Reason.UNSUPPORTED_CHANNEL,
            message="channel_id names a channel that is no chat plugin; only those have resume tokens.",
            field="channel_id",
        )
    return channel


def _forbidden(name: str) -> Rejected:
    return Rejected(
        reason=Reason.FORBIDDEN,
        message=f"{name} is not among those that requests from here may use.",
        field=name,
    )
