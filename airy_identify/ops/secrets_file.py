"""The secrets of a local installation: made at random, and kept in its directory for the next start."""

import base64
import contextlib
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

_NAME = "secrets.json"
_JWT_SECRET_BYTES = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSecrets:
    """The system token, and the JWT secret in base64."""

    system_token: str
    jwt_secret: str


def keep_secrets(directory: Path, *, system_token: str | None, jwt_secret: str | None) -> LocalSecrets:
    """Return the secrets: as given, else as kept in the directory, else made now; and keep them there.

    The file is readable by its owner only.
    """
    path = directory / _NAME
    kept: dict[str, str] = {}
    with contextlib.suppress(FileNotFoundError):
        kept = json.loads(path.read_text(encoding="utf-8"))
    found = LocalSecrets(
        system_token=system_token or kept.get("system_token") or secrets.token_urlsafe(24),
        jwt_secret=jwt_secret
        or kept.get("jwt_secret")
        or base64.b64encode(secrets.token_bytes(_JWT_SECRET_BYTES)).decode(),
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(found), file)
    return found
