"""Files of clients, and what their clients send."""

import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from airy_identify.intake.client_secrets import AUDIENCE, hash_secret
from tests.builders import ACCEPTED_AT_MS

SECRET, NEW_SECRET, WRONG_SECRET = "s" * 43, "n" * 43, "w" * 43
SALT = b"0123456789abcdef"
HASH, NEW_HASH = hash_secret(SECRET, SALT).text, hash_secret(NEW_SECRET, SALT).text
NOW_S = ACCEPTED_AT_MS // 1000

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
KEYS: dict[str, PrivateKey] = {
    "RS256": generate_rsa(public_exponent=65537, key_size=2048),
    "ES256": generate_private_key(SECP256R1()),
    "EdDSA": Ed25519PrivateKey.generate(),
}
OTHER_KEY = Ed25519PrivateKey.generate()


def public_pem(key: PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def make_file(**clients: dict[str, Any]) -> bytes:
    """Return a file with these clients. Each has one secret, and may use everything, unless it is said otherwise."""
    lines = []
    for name, fields in clients.items():
        told = {"secrets": [HASH], "tenants": "*", "channels": "*", "commands": "*"} | fields
        lines += [
            f"[{name}]",
            *(f"{field} = {json.dumps(value)}" for field, value in told.items() if value is not None),
        ]
    return "\n".join(lines).encode()


def sign(key: Any, algorithm: str, **over: Any) -> str:
    """Return a JWT of the client `shop`; claims given as null are left out."""
    claims = {"iss": "shop", "aud": AUDIENCE, "iat": NOW_S, "exp": NOW_S + 300} | over
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key, algorithm=algorithm)
