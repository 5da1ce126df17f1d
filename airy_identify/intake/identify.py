"""A request to identify becomes a command: checked, normalised, stamped. Used by the agent and by the bridge alike.

- Fields are checked in the order of the request in the docs; of several faults the first is answered.
- Then there must be an identifier that the caller vouches for.
- Then tenant and channel must be allowed to the caller, then the channel must be there, connected, of this tenant, and
  a chat plugin.
- A token to attach (`attach`) counts if it is genuine, of this channel, and had not expired when the request was
  accepted. A visitor's stale token must not lock out a login: then the command says that it did not count. The token
  itself ends here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from airy_identify.core.commands import RULES_VERSION, Identify, OnConflict
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import (
    EMAIL,
    PHONE_NUMBER,
    ChannelId,
    CustomIdentifiers,
    Email,
    JsonValue,
    PhoneNumber,
    TenantId,
)
from airy_identify.intake import fields as read
from airy_identify.intake.email_address import email_address
from airy_identify.intake.identifiers import custom_identifiers, external_id
from airy_identify.intake.metadata import metadata_patch
from airy_identify.intake.phone_numbers import phone_number
from airy_identify.intake.policy import DEFAULT_TENANT, Request, channel_id_of, find_channel, tenant_of
from airy_identify.intake.tokens import Token, attach_of, token_of

_MAY_BE_UNVERIFIED = (EMAIL, PHONE_NUMBER)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fields:
    """The fields of a request, each of its type and in canonical form."""

    channel_id: str
    external_id: str | None
    email: Email | None
    phone_number: PhoneNumber | None
    identifiers: tuple[CustomIdentifiers, ...]
    metadata: Mapping[str, JsonValue] | None
    token: Token | None
    on_conflict: OnConflict
    dry_run: bool
    explain: bool
    tenant: str


def accept_identify(request: Request) -> Identify | Rejected:
    """Return the command for the log, or why the request is refused. Never raises, whatever JSON the fields hold."""
    fields = _read_fields(request.fields, request.policy.default_region)
    if isinstance(fields, Rejected):
        return fields
    if not _has_verified_key(fields):
        return Rejected(
            reason=Reason.MISSING_IDENTIFIER,
            message="Give at least one of external_id, email, phone_number or identifiers that is not unverified.",
        )
    channel = find_channel(fields.channel_id, fields.tenant, channels=request.channels, policy=request.policy)
    if isinstance(channel, Rejected):
        return channel
    return Identify(
        request_id=request.request_id,
        tenant=TenantId(fields.tenant),
        accepted_at_ms=request.stamp.accepted_at_ms,
        new_id=request.stamp.new_id,
        rules_version=RULES_VERSION,
        channel_id=ChannelId(fields.channel_id),
        channel_source=channel.source,
        reply_to=request.reply_to,
        external_id=fields.external_id,
        email=fields.email,
        phone_number=fields.phone_number,
        identifiers=fields.identifiers,
        metadata=fields.metadata,
        attach=None if fields.token is None else attach_of(fields.token, request, fields.channel_id),
        on_conflict=fields.on_conflict,
        dry_run=fields.dry_run,
        explain=fields.explain,
    )


def _read_fields(fields: read.Fields, default_region: str | None) -> _Fields | Rejected:
    """Return the fields, or the first refusal in the order in which they are read here, which is the documented one."""
    refusals = read.Refusals()
    channel_id = refusals.keep(channel_id_of(fields.get("channel_id")), "")
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
    token = refusals.keep(token_of(fields.get("attach")), None)
    on_conflict = refusals.keep(_on_conflict(fields.get("on_conflict")), OnConflict.WARN)
    dry_run = refusals.keep(read.flag(fields.get("dry_run"), "dry_run"), otherwise=False)
    explain = refusals.keep(read.flag(fields.get("explain"), "explain"), otherwise=False)
    tenant = refusals.keep(tenant_of(fields.get("tenant")), DEFAULT_TENANT)
    if refusals.first is not None:
        return refusals.first
    return _Fields(
        channel_id=channel_id,
        external_id=external,
        email=None if address is None else Email(value=address, verified=EMAIL not in kinds),
        phone_number=phone,
        identifiers=identifiers,
        metadata=metadata,
        token=token,
        on_conflict=on_conflict,
        dry_run=dry_run,
        explain=explain,
        tenant=tenant,
    )


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


def _has_verified_key(fields: _Fields) -> bool:
    return bool(
        fields.external_id is not None
        or (fields.email is not None and fields.email.verified)
        or (fields.phone_number is not None and fields.phone_number.verified)
        or fields.identifiers
    )
