"""`identify`: one request through Kafka, as a platform team would send it."""

import uuid
from typing import Any

import click

from airy_identify.core.values import JsonValue
from airy_identify.ops.ask import ask
from airy_identify.ops.commands.answer_tables import finish, print_answer
from airy_identify.ops.commands.base import example, json_option, run, settings_of_environment
from airy_identify.ops.commands.options import KindAndValue, identifier_option, metadata_option


@click.command(epilog=example("airy-identify identify --channel-id ID --external-id u-1 --email ada@example.org"))
@click.option("--channel-id", required=True, metavar="ID", help="The chat-plugin channel.")
@click.option("--external-id", metavar="ID", help="The person's id in your system.")
@click.option("--email", metavar="ADDRESS", help="The person's e-mail address.")
@click.option("--phone-number", metavar="NUMBER", help="The person's phone number.")
@identifier_option
@metadata_option
@click.option(
    "--unverified",
    type=click.Choice(["email", "phone_number"]),
    multiple=True,
    help="Nobody has verified this: it is kept, but finds nobody.",
)
@click.option("--attach", metavar="TOKEN", help="The visitor's token: its conversation becomes the contact's.")
@click.option(
    "--on-conflict", type=click.Choice(["warn", "reject"]), help="What to do when a value is somebody else's."
)
@click.option("--dry-run", is_flag=True, help="Write nothing, mint nothing, only tell.")
@click.option("--explain", is_flag=True, help="Say which rule decided, and what became of each value.")
@click.option("--tenant", metavar="TENANT", help="Whose contact; `default` when left out.")
@click.option("--request-id", metavar="ID", help="The id of the request; a random one when left out.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds to wait."
)
@json_option
def identify(
    *,
    identifiers: tuple[KindAndValue, ...],
    unverified: tuple[str, ...],
    timeout_s: float,
    as_json: bool,
    **fields: Any,  # noqa: ANN401
) -> None:
    """Identify a person: send one request to `identify-requests` and wait for the answer."""
    settings = settings_of_environment()
    request = build_request(fields, identifiers, unverified)
    result = run(ask(settings, request, timeout_s=timeout_s))
    if finish(result.answer, refused=result.refused, as_json=as_json):
        print_answer(result.answer)


def build_request(
    fields: dict[str, Any], identifiers: tuple[KindAndValue, ...], unverified: tuple[str, ...]
) -> dict[str, JsonValue]:
    """Return the request: the options that were given, under the names that the fields have."""
    request: dict[str, JsonValue] = {name: value for name, value in fields.items() if value not in (None, False)}
    request["request_id"] = request.get("request_id") or str(uuid.uuid4())
    kinds: dict[str, JsonValue] = {}
    for kind, value in identifiers:
        kinds[kind] = [*_list(kinds.get(kind)), value]
    if kinds:
        request["identifiers"] = kinds
    if unverified:
        request["unverified"] = list(unverified)
    return request


def _list(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
