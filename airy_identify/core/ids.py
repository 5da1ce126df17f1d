"""Airy's name-based ids."""

import hashlib
import uuid

_VERSION_5 = 5


def from_name(name: str, *, namespace: str = "") -> str:
    """Return Airy's `UUIDv5.fromName`: SHA-1 over namespace and name as UTF-8 text, with no namespace UUID.

    Source: airyhq/airy `lib/java/uuid/UUIDv5.java` at efa19b2b; `uuid.uuid5` gives other values.
    """
    digest = hashlib.sha1((namespace + name).encode(), usedforsecurity=False).digest()
    return str(uuid.UUID(bytes=digest[:16], version=_VERSION_5))
