"""Why a request is refused: one code each, and the HTTP status that goes with it. The only such table."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The codes that callers see, over HTTP and over Kafka alike."""

    MALFORMED_JSON = "malformed_json"
    INVALID_FIELD = "invalid_field"
    MISSING_FIELD = "missing_field"
    MISSING_IDENTIFIER = "missing_identifier"
    INVALID_EMAIL = "invalid_email"
    INVALID_PHONE_NUMBER = "invalid_phone_number"
    BLOCKED_IDENTIFIER = "blocked_identifier"
    INVALID_METADATA = "invalid_metadata"
    UNSUPPORTED_CHANNEL = "unsupported_channel"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    UNKNOWN_CHANNEL = "unknown_channel"
    UNKNOWN_CONTACT = "unknown_contact"
    UNKNOWN_CONVERSATION = "unknown_conversation"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    IDENTIFIER_CONFLICT = "identifier_conflict"
    NOT_LATEST_MERGE = "not_latest_merge"
    TOO_LARGE_TO_MERGE = "too_large_to_merge"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"


HTTP_STATUS: dict[Reason, int] = {
    Reason.MALFORMED_JSON: 400,
    Reason.INVALID_FIELD: 400,
    Reason.MISSING_FIELD: 400,
    Reason.MISSING_IDENTIFIER: 400,
    Reason.INVALID_EMAIL: 400,
    Reason.INVALID_PHONE_NUMBER: 400,
    Reason.BLOCKED_IDENTIFIER: 400,
    Reason.INVALID_METADATA: 400,
    Reason.UNSUPPORTED_CHANNEL: 400,
    Reason.UNAUTHORIZED: 401,
    Reason.FORBIDDEN: 403,
    Reason.UNKNOWN_CHANNEL: 404,
    Reason.UNKNOWN_CONTACT: 404,
    Reason.UNKNOWN_CONVERSATION: 404,
    Reason.NOT_FOUND: 404,
    Reason.METHOD_NOT_ALLOWED: 405,
    Reason.IDENTIFIER_CONFLICT: 409,
    Reason.NOT_LATEST_MERGE: 409,
    Reason.TOO_LARGE_TO_MERGE: 409,
    Reason.BODY_TOO_LARGE: 413,
    Reason.UNSUPPORTED_MEDIA_TYPE: 415,
    Reason.RATE_LIMITED: 429,
    Reason.UNAVAILABLE: 503,
    Reason.TIMEOUT: 504,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A request that is answered with an error and changes nothing. `field` names what the caller has to mend."""

    reason: Reason
    message: str
    field: str | None = None


class WarningCode(StrEnum):
    """The codes of warnings in answers."""

    IDENTIFIER_CONFLICT = "identifier_conflict"
    CONVERSATION_NOT_ATTACHED = "conversation_not_attached"


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something the caller should know although the request was applied. It never reveals another contact."""

    code: WarningCode
    message: str
    field: str


def unknown_contact(field: str | None) -> Rejected:
    """Return the refusal of an id or identifier that leads to no contact, or to a forgotten one."""
    return Rejected(reason=Reason.UNKNOWN_CONTACT, message="there is no such contact", field=field)


def unknown_conversation() -> Rejected:
    """Return the refusal of a conversation that is not on this channel of this tenant."""
    message = "there is no such conversation on this channel"
    return Rejected(reason=Reason.UNKNOWN_CONVERSATION, message=message, field="conversation_id")
