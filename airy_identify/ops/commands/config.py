"""`config`: which settings are in force, and where each of them comes from."""

import os
import re
from collections.abc import Mapping

import click
from pydantic import SecretStr

from airy_identify.core.values import JsonValue
from airy_identify.ops.commands.base import example, json_option, print_json, print_table, settings_of_environment
from airy_identify.settings import Settings, variable

HIDDEN = "(set, not shown)"
ALL = "*"
_CREDENTIALS = re.compile(r"//[^/\s]*@")
"""User and password in a URL."""


@click.command(epilog=example("airy-identify config --json"))
@json_option
def config(*, as_json: bool) -> None:
    """Show every setting that is in force, and whether the environment or the default says so.

    Secrets are not shown. What is not set and has no default is null in JSON, and a dash in the table.
    """
    rows = in_force(settings_of_environment(), os.environ)
    if as_json:
        print_json(rows)
    else:
        cells = [(row["name"], _cell(row["value"]), row["source"]) for row in rows]
        print_table("settings in force", ("variable", "value", "from"), cells)


def in_force(settings: Settings, environment: Mapping[str, str]) -> list[dict[str, JsonValue]]:
    """Return `name`, `value` and `source` (`environment` or `default`) of every setting, in the order of the docs.

    Two defaults depend on other settings; they are given as they come out: the app id and the reply topics.
    """
    derived: dict[str, object] = {
        "app_id": settings.topic_names.app_id,
        "reply_topics": settings.allowed_reply_topics,
    }
    return [
        {
            "name": variable(field),
            "value": _plain(derived.get(field, getattr(settings, field)), optional_list=_is_open(field)),
            "source": "environment" if environment.get(variable(field)) else "default",
        }
        for field in Settings.model_fields
    ]


def _is_open(field: str) -> bool:
    """Whether null means "all" for this setting, written as a star."""
    return field in {"requests_tenants", "requests_channels"}


def _plain(value: object, *, optional_list: bool) -> JsonValue:
    plain: JsonValue
    match value:
        case SecretStr():
            plain = HIDDEN
        case frozenset():
            plain = sorted(value)
        case Mapping():
            plain = dict(value)
        case None:
            plain = ALL if optional_list else None
        case int():
            plain = value
        case _:
            plain = _CREDENTIALS.sub("//…@", str(value))
    return plain


def _cell(value: JsonValue) -> object:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}: {item}" for name, item in value.items()) or None
    return value if value != "" else None
