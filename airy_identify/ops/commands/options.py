"""Options that more than one command has."""

import json

import click

from airy_identify.core.values import BUILT_IN_KINDS

KindAndValue = tuple[str, str]


class _Identifier(click.ParamType):
    """`kind=value`, as (kind, value)."""

    name = "kind=value"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> KindAndValue:
        """Return kind and value, or fail with a usage error."""
        kind, separator, text = str(value).partition("=")
        if not (kind and separator and text):
            self.fail(f"{value!r} is not of the form kind=value.", param, ctx)
        if kind in BUILT_IN_KINDS:
            self.fail(f"{kind} has an option of its own: --{kind.replace('_', '-')}.", param, ctx)
        return kind, text


class _JsonObject(click.ParamType):
    """A JSON object."""

    name = "json"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, object]:
        """Return the object, or fail with a usage error."""
        try:
            parsed = json.loads(str(value))
        except ValueError as error:
            self.fail(f"not JSON: {error}", param, ctx)
        if not isinstance(parsed, dict):
            self.fail("not a JSON object.", param, ctx)
        return parsed


identifier_option = click.option(
    "--identifier",
    "identifiers",
    type=_Identifier(),
    multiple=True,
    metavar="KIND=VALUE",
    help="A custom identifier, like device_id=abc.",
)
metadata_option = click.option(
    "--metadata", type=_JsonObject(), metavar="JSON", help="A JSON object, merged into the contact's."
)
