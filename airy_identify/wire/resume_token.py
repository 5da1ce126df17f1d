"""Airy's resume token: a JWT by which its chat widget takes up a conversation again (airyhq/airy, `Jwt.java`)."""

import string

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


def decode_secret(text: str) -> bytes:
    """Return the key that Airy makes of its JWT secret: Java's `DatatypeConverter.parseBase64Binary`, which is lenient.

    Characters outside base64 are skipped and an incomplete last group of four is dropped. Any text gives some key,
    perhaps an empty one; `ResumeTokenSigner` checks its length.
    """
    values = [_VALUES[character] for character in text if character in _VALUES]
    key = bytearray()
    for start in range(0, len(values) - _GROUP + 1, _GROUP):
        first, second, third, fourth = values[start : start + _GROUP]
        key.append((first << 2 | second >> 4) & 0xFF)
        if third != _PADDING:
            key.append((second << 4 | third >> 2) & 0xFF)
        if fourth != _PADDING:
            key.append((third << 6 | fourth) & 0xFF)
    return bytes(key)


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
