"""Options that more than one command has."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import click

from airy_identify.core.values import BUILT_IN_KINDS, EMAIL, EXTERNAL_ID, PHONE_NUMBER

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


def selector_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each kind of identifier; `identifiers_given` reads them."""
    options = (
        click.option("--external-id", EXTERNAL_ID, metavar="ID", help="The person's id in your system."),
        click.option("--email", EMAIL, metavar="ADDRESS", help="The person's e-mail address."),
        click.option("--phone-number", PHONE_NUMBER, metavar="NUMBER", help="The person's phone number."),
        identifier_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def identifiers_given(selectors: Mapping[str, Any]) -> list[KindAndValue]:
    """Return the identifiers that were given by the options of `selector_options`, in rank order."""
    pairs = [(kind, selectors[kind]) for kind in BUILT_IN_KINDS if selectors[kind] is not None]
    return [*pairs, *selectors["identifiers"]]


def one_selector(selectors: Mapping[str, Any], contact_id: str | None) -> KindAndValue | None:
    """Return the one identifier that was given, null if it is a contact id instead. Raises `click.UsageError`."""
    pairs = identifiers_given(selectors)
    if len(pairs) + (contact_id is not None) != 1:
        raise click.UsageError("Give CONTACT_ID or exactly one identifier.")
    return pairs[0] if pairs else None
