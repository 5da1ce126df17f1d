"""Tokens that a request shows, to have the conversation attached that a visitor is in: checked here, and nowhere kept."""

from dataclasses import dataclass, field

from airy_identify.core.commands import Attach
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import JsonValue
from airy_identify.intake import fields as read
from airy_identify.intake.contact_requests import is_id
from airy_identify.intake.policy import Request

FIELD = "attach"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as it was given, not checked yet. It never prints."""

    text: str = field(repr=False)


def token_of(value: JsonValue) -> Token | Rejected | None:
    """Return the token, null when absent, or `invalid_field`, which does not quote it."""
    text = read.text(value, FIELD)
    return Token(text=text) if isinstance(text, str) else text


def attach_of(token: Token, request: Request, channel_id: str) -> Attach:
    """Return the conversation to attach: the token is genuine, of this channel, and not expired by now; else none."""
    verifier = request.policy.tokens
    now_s = request.stamp.accepted_at_ms // 1000
    found = None if verifier is None else verifier.verify(token.text, now_s=now_s)
    if found is None or found.channel_id != channel_id or not is_id(found.conversation_id):
        return Attach(conversation_id=None)
    return Attach(conversation_id=found.conversation_id)
