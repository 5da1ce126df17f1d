"""Requests about contacts and conversations that are there already become commands: checked, normalised, stamped.

- Fields are checked in the order of the request in the docs, the tenant last; of several faults the first is answered.
- Ids are what earlier answers gave: text of at most 255 characters, none of them a control character.
- Identifiers are normalised as in a request to identify, so any spelling of them will do.
- Then the tenant must be allowed to the caller. Who may use some channels only may give out tokens for these, but not
  act on contacts: a contact has conversations on all channels of its tenant.
"""

import unicodedata
from dataclasses import replace
from typing import TypedDict

from airy_identify.core.commands import (
    RULES_VERSION,
    Forget,
    GiveResumeToken,
    Info,
    Merge,
    Release,
    ReplyTo,
    Unmerge,
)
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import (
    EMAIL,
    EXTERNAL_ID,
    PHONE_NUMBER,
    ChannelId,
    ContactId,
    ConversationId,
    Identifier,
    JsonValue,
    RequestId,
    TenantId,
)
from airy_identify.intake import fields as read
from airy_identify.intake.email_address import email_address
from airy_identify.intake.identifiers import custom_identifiers, custom_value, external_id, is_custom_kind
from airy_identify.intake.phone_numbers import phone_number
from airy_identify.intake.policy import (
    DEFAULT_TENANT,
    Request,
    channel_id_of,
    check_tenant,
    find_channel,
    forbidden,
    tenant_of,
)

ID_CHARACTERS_MAX = 255
SELECTORS = ("contact_id", EXTERNAL_ID, EMAIL, PHONE_NUMBER, "identifiers")
"""What a request for information may choose the contact by."""


class _Stamped(TypedDict):
    """What all commands have."""

    request_id: RequestId
    tenant: TenantId
    accepted_at_ms: int
    rules_version: int
    reply_to: ReplyTo


def accept_merge(request: Request) -> Merge | Rejected:
    """Return the command to make one contact of two, or why it is refused."""
    refusals = read.Refusals()
    source_id = _id(request, "source_id", refusals)
    destination_id = _id(request, "destination_id", refusals)
    stamped = _stamped(request, refusals)
    if isinstance(stamped, Rejected):
        return stamped
    return Merge(**stamped, source_id=ContactId(source_id), destination_id=ContactId(destination_id))


def accept_unmerge(request: Request) -> Unmerge | Rejected:
    """Return the command to undo a merge, or why it is refused."""
    refusals = read.Refusals()
    contact_id = _id(request, "contact_id", refusals)
    stamped = _stamped(request, refusals)
    return stamped if isinstance(stamped, Rejected) else Unmerge(**stamped, contact_id=ContactId(contact_id))


def accept_release(request: Request) -> Release | Rejected:
    """Return the command to take an identifier off a contact, or why it is refused."""
    refusals = read.Refusals()
    contact_id = _id(request, "contact_id", refusals)
    kind = refusals.keep(_kind(request.fields.get("kind")), EXTERNAL_ID)
    value = refusals.keep(_value(kind, request.fields.get("value"), request.policy.default_region), "")
    stamped = _stamped(request, refusals)
    if isinstance(stamped, Rejected):
        return stamped
    return Release(**stamped, contact_id=ContactId(contact_id), identifier=Identifier(kind=kind, value=value))


def accept_forget(request: Request) -> Forget | Rejected:
    """Return the command to erase a contact, or why it is refused."""
    refusals = read.Refusals()
    contact_id = _id(request, "contact_id", refusals)
    stamped = _stamped(request, refusals)
    return stamped if isinstance(stamped, Rejected) else Forget(**stamped, contact_id=ContactId(contact_id))


def accept_info(request: Request) -> Info | Rejected:
    """Return the command to show a contact, or why it is refused."""
    refusals = read.Refusals()
    fields = request.fields
    contact_id = refusals.keep(_optional_id(fields.get("contact_id"), "contact_id"), None)
    external = refusals.keep(external_id(fields.get(EXTERNAL_ID)), None)
    address = refusals.keep(email_address(fields.get(EMAIL)), None)
    region = request.policy.default_region
    phone = refusals.keep(phone_number(fields.get(PHONE_NUMBER), verified=True, default_region=region), None)
    custom = refusals.keep(custom_identifiers(fields.get("identifiers")), ())
    identifiers = [Identifier(kind=kind.kind, value=value) for kind in custom for value in kind.values]
    if external is not None:
        identifiers.append(Identifier(kind=EXTERNAL_ID, value=external))
    if address is not None:
        identifiers.append(Identifier(kind=EMAIL, value=address))
    if phone is not None:
        identifiers.append(Identifier(kind=PHONE_NUMBER, value=phone.key))
    if (contact_id is not None) + len(identifiers) != 1:
        refusals.add(read.invalid(_superfluous(fields), f"give exactly one of {', '.join(SELECTORS)}, with one value"))
    stamped = _stamped(request, refusals)
    if isinstance(stamped, Rejected):
        return stamped
    return Info(
        **stamped,
        contact_id=None if contact_id is None else ContactId(contact_id),
        identifier=identifiers[0] if identifiers else None,
    )


def accept_resume_token(request: Request) -> GiveResumeToken | Rejected:
    """Return the command to make a token, or why it is refused. The channel must be there, as for identify."""
    refusals = read.Refusals()
    channel_id = refusals.keep(channel_id_of(request.fields.get("channel_id")), "")
    conversation_id = _id(request, "conversation_id", refusals)
    tenant = refusals.keep(tenant_of(request.fields.get("tenant")), DEFAULT_TENANT)
    if refusals.first is not None:
        return refusals.first
    channel = find_channel(channel_id, tenant, channels=request.channels, policy=request.policy)
    if isinstance(channel, Rejected):
        return channel
    return GiveResumeToken(
        **_stamp(request, tenant),
        channel_id=ChannelId(channel_id),
        conversation_id=ConversationId(conversation_id),
    )


def _stamped(request: Request, refusals: read.Refusals) -> _Stamped | Rejected:
    """Return what all commands on contacts have once every other field was read, or the refusal of the request."""
    tenant = refusals.keep(tenant_of(request.fields.get("tenant")), DEFAULT_TENANT)
    if refusals.first is not None:
        return refusals.first
    refused = check_tenant(tenant, request.policy)
    if refused is not None:
        return refused
    if request.policy.allowed_channels is not None:
        return forbidden("command")
    return _stamp(request, tenant)


def _stamp(request: Request, tenant: str) -> _Stamped:
    return _Stamped(
        request_id=request.request_id,
        tenant=TenantId(tenant),
        accepted_at_ms=request.stamp.accepted_at_ms,
        rules_version=RULES_VERSION,
        reply_to=request.reply_to,
    )


def _id(request: Request, field: str, refusals: read.Refusals) -> str:
    given = refusals.keep(_optional_id(request.fields.get(field), field), "")
    if given is None:
        refusals.add(_missing(field))
    return given or ""


def _optional_id(value: JsonValue, field: str) -> str | Rejected | None:
    given = read.text(value, field)
    if given is None or isinstance(given, Rejected):
        return given
    if len(given) > ID_CHARACTERS_MAX:
        return read.invalid(field, f"must have at most {ID_CHARACTERS_MAX} characters")
    if not is_id(given):
        return read.invalid(field, "must not hold control characters or halves of characters")
    return given


def is_id(text: str) -> bool:
    """Return whether the text can be an id: it is short enough, and holds no control characters nor halves of characters."""
    return len(text) <= ID_CHARACTERS_MAX and not any(unicodedata.category(each) in {"Cc", "Cs"} for each in text)


def _kind(value: JsonValue) -> str | Rejected:
    given = read.text(value, "kind")
    if given is None:
        return _missing("kind")
    if isinstance(given, Rejected) or given in (EXTERNAL_ID, EMAIL, PHONE_NUMBER) or is_custom_kind(given):
        return given
    return read.invalid("kind", "must be external_id, email, phone_number or the name of a custom kind")


def _value(kind: str, value: JsonValue, default_region: str | None) -> str | Rejected:
    """Return the canonical value of an identifier of this kind; errors name the field `value`."""
    given = read.text(value, "value")
    if given is None:
        return _missing("value")
    if isinstance(given, Rejected):
        return given
    result: str | Rejected | None
    if kind == EMAIL:
        result = email_address(given)
    elif kind == PHONE_NUMBER:
        phone = phone_number(given, verified=True, default_region=default_region)
        result = phone if phone is None or isinstance(phone, Rejected) else phone.key
    else:
        result = custom_value(given, "value")
    if result is None:
        return _missing("value")
    return replace(result, field="value") if isinstance(result, Rejected) else result


def _superfluous(fields: read.Fields) -> str:
    """Return the selector to name: the second of those given, `identifiers` for several values, else the first of all."""
    given = [name for name in SELECTORS if read.given(fields.get(name)) not in (None, [], {})]
    return (given[1:] or given or list(SELECTORS))[0]


def _missing(field: str) -> Rejected:
    return Rejected(reason=Reason.MISSING_FIELD, message=f"{field} is required.", field=field)
