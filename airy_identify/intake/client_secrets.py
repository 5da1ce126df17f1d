"""How clients show who they are: secrets, of which the file of clients has slow hashes, and keys that verify their JWTs.

A hash is text: `scrypt$ln$r$p$salt$hash` (RFC 7914; N = 2^ln; salt and hash in base64url without padding).
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

SECRET_CHARACTERS_MIN, SECRET_CHARACTERS_MAX = 32, 128
AUDIENCE = "airy-identify"
JWT_LIFETIME_S_MAX = 3600
CLOCKS_DIFFER_S_MAX = 60
"""How far the clock of a client may be ahead of ours."""

_SECRET = re.compile(rf"[A-Za-z0-9_-]{{{SECRET_CHARACTERS_MIN},{SECRET_CHARACTERS_MAX}}}")
_HASH = re.compile(r"scrypt\$(\d{2})\$(\d{1,2})\$(\d)\$([A-Za-z0-9_-]{22,64})\$([A-Za-z0-9_-]{43})")
_LN, _BLOCKS, _LANES = 15, 8, 1
_LN_ALLOWED, _LANES_ALLOWED = range(14, 18), range(1, 5)
_HASH_BYTES = 32
_RSA_BITS_MIN = 2048
_Key = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
_TIMES: Any = {
    "require": ["exp", "iat", "iss", "aud"],
    # Times are compared with the time of the request, below.
    **dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat"), False),
}


def is_secret(text: str) -> bool:
    """Return whether this can be the secret of a client: 32 to 128 characters of a-z, A-Z, 0-9, _ and -."""
    return bool(_SECRET.fullmatch(text))


@dataclass(frozen=True, slots=True)
class SecretHash:
    """The hash of one secret. `text` names its parameters; neither is worth hiding, but neither is printed."""

    text: str

    def __repr__(self) -> str:
        return "SecretHash(…)"

    def matches(self, secret: str) -> bool:
        """Return whether it is the hash of this secret. This is slow on purpose: tens of milliseconds, 32 MiB."""
        ln, _, lanes, salt, wanted = _parts(self.text)
        return hmac.compare_digest(_scrypt(secret, salt, ln=ln, lanes=lanes), wanted)


def hash_secret(secret: str, salt: bytes) -> SecretHash:
    """Return the hash of a secret with this salt, 16 random bytes."""
    return _hash(salt, _scrypt(secret, salt, ln=_LN, lanes=_LANES))


def hash_of_nobody(noise: bytes) -> SecretHash:
    """Return a hash that is of no secret that anybody knows, and takes as long as others. `noise`: 32 random bytes."""
    return _hash(noise[:16], noise)


def _hash(salt: bytes, digest: bytes) -> SecretHash:
    return SecretHash(f"scrypt${_LN}${_BLOCKS}${_LANES}${_encoded(salt)}${_encoded(digest)}")


def read_hash(text: str) -> SecretHash:
    """Return the hash that a text is. Raises ValueError, which does not quote it."""
    match = _HASH.fullmatch(text)
    if (
        match is None
        or int(match[1]) not in _LN_ALLOWED
        or int(match[2]) != _BLOCKS
        or int(match[3]) not in _LANES_ALLOWED
    ):
        raise ValueError("no hash that `airy-identify clients hash` prints")
    _parts(text)
    return SecretHash(text)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key of a client and the one algorithm that goes with it, so that no token chooses another."""

    algorithm: str
    key: _Key

    def verify(self, token: str, *, issuer: str, now_s: int) -> bool:
        """Return whether the token is signed with this key, for us, by this client, and valid at `now_s`.

        It has to say `exp`, at most an hour after its `iat`. Whatever text is given, nothing is raised.
        """
        try:
            claims = jwt.decode(
                token, self.key, algorithms=[self.algorithm], audience=AUDIENCE, issuer=issuer, options=_TIMES
            )
        except (jwt.PyJWTError, ValueError):
            return False
        return _is_valid(claims, now_s)


def read_key(pem: str) -> VerificationKey:
    """Return the key of a PEM text: RSA of 2,048 bits or more (RS256), P-256 (ES256) or Ed25519 (EdDSA).

    Raises ValueError, which does not quote it.
    """
    if "PRIVATE KEY" in pem:
        raise ValueError("a private key; it is the client's alone, give its public key")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("no public key in PEM") from None
    if isinstance(key, RSAPublicKey) and key.key_size >= _RSA_BITS_MIN:
        return VerificationKey("RS256", key)
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return VerificationKey("ES256", key)
    if isinstance(key, Ed25519PublicKey):
        return VerificationKey("EdDSA", key)
    raise ValueError("a key of another kind: RSA of 2048 bits or more, P-256 or Ed25519")


def claimed_issuer(token: str) -> tuple[str, str] | None:
    """Return the algorithm and the issuer that a JWT claims to have, not verified; null when it is no JWT."""
    try:
        algorithm = jwt.get_unverified_header(token).get("alg")
        issuer = jwt.decode(token, options={"verify_signature": False}).get("iss")
    except (jwt.PyJWTError, ValueError):
        return None
    return (algorithm, issuer) if isinstance(algorithm, str) and isinstance(issuer, str) else None


def _is_valid(claims: Mapping[str, Any], now_s: int) -> bool:
    issued_at_s, expires_at_s = claims["iat"], claims["exp"]
    not_before_s = claims.get("nbf", issued_at_s)
    if any(not isinstance(each, int) or isinstance(each, bool) for each in (issued_at_s, expires_at_s, not_before_s)):
        return False
    latest_start_s = now_s + CLOCKS_DIFFER_S_MAX
    return bool(
        issued_at_s <= latest_start_s
        and not_before_s <= latest_start_s
        and now_s < expires_at_s <= issued_at_s + JWT_LIFETIME_S_MAX
    )


def _scrypt(secret: str, salt: bytes, *, ln: int, lanes: int) -> bytes:
    memory_bytes = 128 * _BLOCKS * (2**ln + lanes + 2)
    return hashlib.scrypt(
        secret.encode(), salt=salt, n=2**ln, r=_BLOCKS, p=lanes, maxmem=memory_bytes * 2, dklen=_HASH_BYTES
    )


def _parts(text: str) -> tuple[int, int, int, bytes, bytes]:
    _, ln, blocks, lanes, salt, digest = text.split("$")
    try:
        return int(ln), int(blocks), int(lanes), _decoded(salt), _decoded(digest)
    except binascii.Error:
        raise ValueError("no base64url") from None


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
