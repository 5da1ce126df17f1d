"""Airy's resume token: a JWT by which its chat widget takes up a conversation again (airyhq/airy, `Jwt.java`)."""

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from airy_identify.core.values import ChannelId, ConversationId

TOKEN_TTL_S = 7 * 24 * 60 * 60
SECRET_BYTES_MIN = 32
"""HS256 wants a key of at least 256 bits (RFC 7518, section 3.2)."""

_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
_PADDING = 127
"""What Java's decoder has for `=`; it counts with it where no padding belongs."""
_VALUES = {character: value for value, character in enumerate(_ALPHABET)} | {"=": _PADDING}
_GROUP = 4
_PADDING_MAX = 2

_TOKEN_CHARACTERS_MAX = 4096
_CLAIM_PREFIXES = ("resume_", "")
"""Resume tokens name conversation and channel with the prefix, chat tokens without."""
_SIGNATURE_ONLY: Any = {
    "verify_signature": True,
    # Times are compared with the time of the request and not with a clock; Airy minds none of the others.
    **dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss"), False),
    **dict.fromkeys(("verify_sub", "verify_jti"), False),
}


def decode_secret(text: str) -> bytes:
    """Return the key that Airy makes of its JWT secret: Java's `DatatypeConverter.parseBase64Binary`, which is lenient.

    ASCII characters outside base64 are skipped and an incomplete last group of four is dropped. Most texts give some
    key, perhaps an empty one; `ResumeTokenSigner` checks its length. Raises ValueError where Java's decoder runs out
    of its own buffer, so that Airy would not start either.
    """
    if not text.isascii():
        raise ValueError("Java's decoder takes ASCII only")
    values = [_VALUES[character] for character in text if character in _VALUES]
    key = bytearray()
    for start in range(0, len(values) - _GROUP + 1, _GROUP):
        first, second, third, fourth = values[start : start + _GROUP]
        key.append((first << 2 | second >> 4) & 0xFF)
        if third != _PADDING:
            key.append((second << 4 | third >> 2) & 0xFF)
        if fourth != _PADDING:
            key.append((third << 6 | fourth) & 0xFF)
    if len(key) > _buffer_bytes(text):
        raise ValueError("Java's decoder fails on padding behind an incomplete group")
    return bytes(key)


def _buffer_bytes(text: str) -> int:
    """Return how many bytes Java makes room for: up to two characters of padding at the very end are taken off."""
    padding = len(text) - len(text.rstrip("="))
    before = text[: len(text) - padding][-1:]
    whole = len(text) // _GROUP * (_GROUP - 1)
    return whole - padding if padding <= _PADDING_MAX and (not before or before in _VALUES) else whole


class ResumeTokenSigner:
    """Mints resume tokens with one secret."""

    def __init__(self, secret: bytes) -> None:
        """Take the decoded secret. Raises ValueError when it has fewer than 256 bits, which Airy refuses too."""
        if len(secret) < SECRET_BYTES_MIN:
            raise ValueError("the JWT secret has fewer than 256 bits after decoding")
        self._secret = secret

    def sign(self, conversation_id: ConversationId, channel_id: ChannelId, issued_at_s: int) -> str:
        """Return the token, valid for seven days from `issued_at_s` (seconds since the epoch)."""
        claims = {
            "sub": conversation_id,
            "iat": issued_at_s,
            "resume_conversation_id": conversation_id,
            "resume_channel_id": channel_id,
            "exp": issued_at_s + TOKEN_TTL_S,
        }
        return jwt.encode(claims, self._secret, algorithm="HS256", headers={"typ": None})


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedToken:
    """What a token says that was found genuine: the conversation, the channel, and the second at which it expires."""

    conversation_id: ConversationId
    channel_id: ChannelId
    expires_at_s: int


class ResumeTokenVerifier:
    """Checks tokens that somebody shows: resume tokens, Airy's or ours, and the chat tokens that Airy gives visitors.

    Stricter than Airy where that costs no genuine token: HS256 only, an expiry is required, and the claims of exactly
    one of the two kinds.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """Take the decoded secrets that are accepted: today's, and while secrets change the one before it.

        Raises ValueError when there is none, or one has fewer than 256 bits.
        """
        if not secrets or any(len(secret) < SECRET_BYTES_MIN for secret in secrets):
            raise ValueError("no JWT secret, or one with fewer than 256 bits after decoding")
        self._secrets = tuple(secrets)

    def verify(self, token: str, *, now_s: int) -> VerifiedToken | None:
        """Return what a genuine token says that has not expired at `now_s` (seconds since the epoch), else null.

        As in Airy there is no leeway. Whatever text is given, nothing is raised.
        """
        if len(token) > _TOKEN_CHARACTERS_MAX or not token.isascii():
            return None
        for secret in self._secrets:
            try:
                claims = jwt.decode(token, secret, algorithms=["HS256"], options=_SIGNATURE_ONLY)
            except jwt.InvalidSignatureError:
                continue
            except jwt.PyJWTError:
                return None
            return _read_claims(claims, now_s)
        return None


def _read_claims(claims: Mapping[str, Any], now_s: int) -> VerifiedToken | None:
    expires_at_s: Any = claims.get("exp")
    not_before_s: Any = claims.get("nbf", now_s)
    if not _is_second(expires_at_s) or not _is_second(not_before_s) or not not_before_s <= now_s < expires_at_s:
        return None
    found = [
        (conversation_id, channel_id)
        for prefix in _CLAIM_PREFIXES
        if (conversation_id := claims.get(f"{prefix}conversation_id")) is not None
        if (channel_id := claims.get(f"{prefix}channel_id")) is not None
    ]
    if len(found) != 1 or not all(isinstance(value, str) and value for value in found[0]):
        return None
    conversation_id, channel_id = found[0]
    return VerifiedToken(
        conversation_id=ConversationId(conversation_id), channel_id=ChannelId(channel_id), expires_at_s=expires_at_s
    )


def _is_second(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
