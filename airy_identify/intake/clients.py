"""Named clients: who may ask besides the holder of the system token, and for what. Read from a TOML file.

Each table is a client. It says how the client shows who it is (`secrets`, hashed, and `jwt_keys`; up to two of each, so
that they can be changed while both are valid), and what it may use (`tenants`, `channels`, `commands`: lists, or `"*"`
for all). `requests_per_second` is a limit of its own.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from airy_identify.intake.accept import COMMANDS, IDENTIFY, RESUME_TOKEN
from airy_identify.intake.client_secrets import SecretHash, VerificationKey, read_hash, read_key
from airy_identify.intake.policy import IntakePolicy, is_tenant
from airy_identify.settings import SettingsError

SYSTEM = "system"
"""How the holder of the system token is called in logs and metrics; no client has this name."""
CREDENTIALS_MAX = 2
FILE_BYTES_MAX = 1024 * 1024

_NAME = re.compile("[a-z][a-z0-9_-]{0,63}")
_ALL = "*"
_FIELDS = ("secrets", "jwt_keys", "tenants", "channels", "commands", "requests_per_second")
_T = TypeVar("_T")


class ClientsFileError(SettingsError):
    """The file of clients cannot be used; `problems` has one line for each fault, and none quotes a secret.

    Operator action: mend what the lines name; `airy-identify clients check` says whether it is done.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A named client. Null means all for `tenants`, `channels` and `commands`, no limit for `requests_per_second`."""

    name: str
    secrets: tuple[SecretHash, ...]
    keys: tuple[VerificationKey, ...]
    tenants: frozenset[str] | None
    channels: frozenset[str] | None
    commands: frozenset[str] | None
    requests_per_second: int | None

    def bind(self, policy: IntakePolicy) -> IntakePolicy:
        """Return the policy for requests of this client."""
        return replace(
            policy,
            allowed_tenants=self.tenants,
            allowed_channels=self.channels,
            allowed_commands=self.commands,
        )


def load_clients(path: Path) -> dict[str, Client]:
    """Return the clients of a file, by name. Raises `ClientsFileError`."""
    return parse_clients(read_file(path))


def read_file(path: Path) -> bytes:
    """Return the bytes of the file. Raises `ClientsFileError`."""
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ClientsFileError([f"the file of clients cannot be read: {error.strerror} ({path})"]) from None


def parse_clients(data: bytes) -> dict[str, Client]:
    """Return the clients that the bytes of a file name. Raises `ClientsFileError` with everything that is wrong."""
    if len(data) > FILE_BYTES_MAX:
        raise ClientsFileError([f"the file of clients is larger than {FILE_BYTES_MAX} bytes"])
    try:
        tables = tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise ClientsFileError(["the file of clients is not UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ClientsFileError([f"the file of clients is no TOML: {_place(error)}"]) from None
    problems: list[str] = []
    clients = {name: _client(name, table, problems) for name, table in tables.items()}
    _check_hashes(clients.values(), problems)
    if problems:
        raise ClientsFileError(problems)
    return clients


def _place(error: tomllib.TOMLDecodeError) -> str:
    """Return where the fault is, without words of the file."""
    place = re.search(r"\(at (line \d+, column \d+|end of document)\)", str(error))
    return "see " + (place[1] if place else "the file")


def _client(name: str, table: object, problems: list[str]) -> Client:
    told: dict[str, Any] = table if isinstance(table, dict) else {}
    if not _NAME.fullmatch(name) or name == SYSTEM:
        name = name if name.isprintable() and len(name) < 100 else "…"  # noqa: PLR2004 - a line to read
        problems.append(f"{name}: a client's name is 1 to 64 of a-z, 0-9, _ and -, a letter first, and not {SYSTEM}")
    if not isinstance(table, dict):
        problems.append(f"{name}: must be a table")
        return _reader(name, told, problems)
    problems += [
        f"{name}: {field} is unknown; there are {', '.join(_FIELDS)}" for field in told if field not in _FIELDS
    ]
    return _reader(name, told, problems)


def _reader(name: str, told: Mapping[str, Any], problems: list[str]) -> Client:
    def problem(field: str, what: str) -> None:
        problems.append(f"{name}.{field}: {what}")

    client = Client(
        name=name,
        secrets=_credentials(told, "secrets", read_hash, problem),
        keys=_credentials(told, "jwt_keys", read_key, problem),
        tenants=_scope(told, "tenants", problem, is_tenant),
        channels=_scope(told, "channels", problem, bool),
        commands=_scope(told, "commands", problem, lambda command: command in COMMANDS),
        requests_per_second=told.get("requests_per_second"),
    )
    limit: Any = told.get("requests_per_second", 1)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        problem("requests_per_second", "must be a whole number, 1 or more")
    if not told.get("secrets") and not told.get("jwt_keys"):
        problem("secrets", "without secrets and jwt_keys nobody can be this client")
    commands = frozenset(COMMANDS) if client.commands is None else client.commands
    of_contacts = sorted(commands - {IDENTIFY, RESUME_TOKEN})
    if client.channels and of_contacts:
        problem(
            "commands", f'{", ".join(of_contacts)}: only with channels = "*", as contacts have chats on all of them'
        )
    return client


def _credentials(
    told: Mapping[str, Any], field: str, read: Callable[[str], _T], problem: Callable[[str, str], None]
) -> tuple[_T, ...]:
    given = told.get(field, [])
    if not isinstance(given, list) or len(given) > CREDENTIALS_MAX or not all(isinstance(each, str) for each in given):
        problem(field, f"must be a list of up to {CREDENTIALS_MAX} texts")
        return ()
    found = []
    for number, text in enumerate(given, start=1):
        try:
            found.append(read(text))
        except ValueError as error:
            problem(field, f"number {number} is {error}")
    return tuple(found)


def _scope(
    told: Mapping[str, Any], field: str, problem: Callable[[str, str], None], allows: Callable[[str], bool]
) -> frozenset[str] | None:
    given = told.get(field)
    if given == _ALL:
        return None
    if isinstance(given, list) and given and all(isinstance(each, str) and allows(each) for each in given):
        return frozenset(given)
    of = f" of {', '.join(COMMANDS)}" if field == "commands" else f" of {field}"
    problem(field, f'must be there: a list{of}, or "*" for all')
    return frozenset()


def _check_hashes(clients: Iterable[Client], problems: list[str]) -> None:
    """Two clients with one secret would be one client with two names."""
    seen: dict[str, str] = {}
    for client in clients:
        for secret in client.secrets:
            other = seen.setdefault(secret.text, client.name)
            if other != client.name:
                problems.append(f"{client.name}.secrets: the same as one of {other}")
