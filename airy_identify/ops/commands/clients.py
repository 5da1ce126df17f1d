"""`clients`: secrets for clients besides the holder of the system token, and the file that says what each may use."""

import os
import secrets
import sys
from pathlib import Path

import click

from airy_identify.core.values import JsonValue
from airy_identify.intake.client_secrets import (
    SECRET_CHARACTERS_MAX,
    SECRET_CHARACTERS_MIN,
    hash_secret,
    is_secret,
)
from airy_identify.intake.clients import Client, load_clients
from airy_identify.ops.commands.base import (
    Commands,
    example,
    json_option,
    print_json,
    print_table,
    settings_of_environment,
)
from airy_identify.ops.errors import OpsError
from airy_identify.settings import SettingsError, variable

_SECRET_BYTES = 32
_SALT_BYTES = 16
_file = click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))


@click.group(cls=Commands, epilog=example("airy-identify clients check clients.toml"))
def clients() -> None:
    """Clients of the bridge, each with tenants, channels and commands of its own."""


@clients.command(name="hash", epilog=example("airy-identify clients hash"))
@click.option("--stdin", "from_stdin", is_flag=True, help="Hash the secret on standard input, and make no new one.")
@json_option
def hash_(*, from_stdin: bool, as_json: bool) -> None:
    """Make a secret of 256 bits, and print it once, with the hash that belongs in the file.

    The client sends NAME.SECRET as its token. Nobody can find the secret out from its hash: keep it where the client is.
    """
    secret = sys.stdin.readline().strip() if from_stdin else secrets.token_urlsafe(_SECRET_BYTES)
    if not is_secret(secret):
        allowed = f"{SECRET_CHARACTERS_MIN} to {SECRET_CHARACTERS_MAX} of a-z, A-Z, 0-9, _ and -"
        raise OpsError(f"a secret has {allowed}")
    hashed = hash_secret(secret, os.urandom(_SALT_BYTES)).text
    if as_json:
        print_json({"hash": hashed} if from_stdin else {"secret": secret, "hash": hashed})
        return
    if not from_stdin:
        click.echo(f"secret  {secret}")
    click.echo(f"hash    {hashed}")


@clients.command(name="list", epilog=example("airy-identify clients list"))
@_file
@json_option
def list_(*, file: Path | None, as_json: bool) -> None:
    """Show who may use what. Neither secrets nor their hashes are shown."""
    rows = [_row(client) for client in load_clients(_path(file)).values()]
    if as_json:
        print_json(rows)
        return
    columns = ("client", "secrets", "keys", "tenants", "channels", "commands", "per second")
    print_table("clients", columns, [[_cell(value) for value in row.values()] for row in rows])


@clients.command(epilog=example("airy-identify clients check clients.toml"))
@_file
def check(*, file: Path | None) -> None:
    """Say everything that is wrong with the file (exit code 2), before a bridge reads it."""
    count = len(load_clients(_path(file)))
    click.echo(f"the file can be used: {count} client{'' if count == 1 else 's'}")


def _path(file: Path | None) -> Path:
    """Return the file that is given, else that of the settings."""
    found = file or settings_of_environment().clients_file
    if found is None:
        raise SettingsError([f"give a file, or set {variable('clients_file')}"])
    return found


def _row(client: Client) -> dict[str, JsonValue]:
    return {
        "client": client.name,
        "secrets": len(client.secrets),
        "keys": [key.algorithm for key in client.keys],
        "tenants": _scope(client.tenants),
        "channels": _scope(client.channels),
        "commands": _scope(client.commands),
        "requests_per_second": client.requests_per_second,
    }


def _scope(allowed: frozenset[str] | None) -> JsonValue:
    return "*" if allowed is None else [*sorted(allowed)]


def _cell(value: JsonValue) -> object:
    return (", ".join(str(item) for item in value) or None) if isinstance(value, list) else value
