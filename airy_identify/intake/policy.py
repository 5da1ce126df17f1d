"""What holds for every request: its stamp, its tenant, its channel, and what the settings allow to whoever sent it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from airy_identify.core.commands import ReplyTo
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import ConversationId, JsonValue, RequestId
from airy_identify.intake import fields as read
from airy_identify.intake.channels import Channels
from airy_identify.wire.airy import Channel
from airy_identify.wire.resume_token import ResumeTokenVerifier

DEFAULT_TENANT = "default"
CHAT_PLUGIN = "chatplugin"
"""Airy's source of chat-plugin channels (airyhq/airy, `ChannelsController`)."""

_TENANT = re.compile("[a-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What must not be decided later: the time, milliseconds since the epoch, and a random UUID."""

    accepted_at_ms: int
    new_id: ConversationId


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakePolicy:
    """What the settings say about requests.

    `channel_tenants` maps channel ids to their tenants; the others belong to `default`. `allowed_tenants`,
    `allowed_channels` and `allowed_commands` bind the caller; null allows all. `tokens` checks those that callers show;
    without it none counts.
    """

    default_region: str | None = None
    channel_tenants: Mapping[str, str] = field(default_factory=dict)
    allowed_tenants: frozenset[str] | None = None
    allowed_channels: frozenset[str] | None = None
    allowed_commands: frozenset[str] | None = None
    tokens: ResumeTokenVerifier | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it came through a door: its fields, not looked at yet, and what the door knows about it."""

    fields: read.Fields
    request_id: RequestId
    stamp: Stamp
    reply_to: ReplyTo
    channels: Channels
    policy: IntakePolicy


def tenant_of(value: JsonValue) -> str | Rejected:
    """Return the tenant, the default one when absent, or `invalid_field`."""
    tenant = read.text(value, "tenant")
    if tenant is None:
        return DEFAULT_TENANT
    if isinstance(tenant, str) and not is_tenant(tenant):
        return read.invalid("tenant", "must be 1 to 64 characters of a-z, 0-9, _ and -")
    return tenant


def is_tenant(text: str) -> bool:
    """Return whether this can be the name of a tenant."""
    return bool(_TENANT.fullmatch(text))


def channel_id_of(value: JsonValue) -> str | Rejected:
    """Return the channel id, or `missing_field`."""
    channel_id = read.text(value, "channel_id")
    if channel_id is None:
        return Rejected(
            reason=Reason.MISSING_FIELD,
            message="channel_id is required: the id of a connected chat-plugin channel.",
            field="channel_id",
        )
    return channel_id


def check_tenant(tenant: str, policy: IntakePolicy) -> Rejected | None:
    """Return why the caller may not act for this tenant, or null."""
    if policy.allowed_tenants is not None and tenant not in policy.allowed_tenants:
        return forbidden("tenant")
    return None


def find_channel(channel_id: str, tenant: str, *, channels: Channels, policy: IntakePolicy) -> Channel | Rejected:
    """Return the channel: the caller may use it and its tenant, and it is there, connected, and a chat plugin."""
    refused = check_tenant(tenant, policy)
    if refused is not None:
        return refused
    if policy.allowed_channels is not None and channel_id not in policy.allowed_channels:
        return forbidden("channel_id")
    channel = channels.get(channel_id)
    belongs_to = policy.channel_tenants.get(channel_id, DEFAULT_TENANT)
    if channel is None or not channel.connected or belongs_to != tenant:
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


def forbidden(name: str) -> Rejected:
    """Return the refusal of what the caller may not use."""
    return Rejected(
        reason=Reason.FORBIDDEN,
        message=f"{name} is not among those that requests from here may use.",
        field=name,
    )
