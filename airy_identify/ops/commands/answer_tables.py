"""Answers as people read them: contacts, conversations, journals, explanations and refusals."""

from collections.abc import Iterable, Mapping
from typing import Any

import click

from airy_identify.core.explain import why_held, why_merged
from airy_identify.core.values import BUILT_IN_KINDS
from airy_identify.ops.commands.base import EXIT_FAILED, print_json, print_table, printable

Contact = Mapping[str, Any]
Answer = Mapping[str, Any]


def finish(answer: Answer, *, refused: bool, as_json: bool) -> bool:
    """Print the answer as JSON if that is wanted, and a refusal otherwise; return whether it is still to be printed.

    A refusal ends the command with 1.
    """
    if as_json:
        print_json(answer)
    elif refused:
        field = f" ({answer['field']})" if answer.get("field") else ""
        click.echo(printable(f"refused: {answer.get('code')}{field}: {answer.get('message')}"), err=True)
    if refused:
        click.get_current_context().exit(EXIT_FAILED)
    return not as_json


def print_answer(answer: Answer) -> None:
    """Print the answer to a request to identify."""
    created = "created" if answer["created"]["contact"] else "found"
    print_contact(f"contact ({created}), request {answer['request_id']}", answer["contact"])
    print_conversations(answer["conversations"])
    if "explanation" in answer:
        _print_explanation(answer["explanation"])
    for merged_id in answer["merged"]:
        click.echo(printable(f"merged into it: {merged_id}"))
    for warning in answer["warnings"]:
        click.echo(printable(f"warning: {warning['field']}: {warning['message']}"))
    _print_truncated(answer)


def print_info(answer: Answer, log: str) -> None:
    """Print what is known of a contact, and why. `log`: topic and partition of the tenant's log."""
    print_contact("contact", answer["contact"])
    print_table("found by", ("kind", "value", "why"), _held(answer["contact"]))
    print_conversations(answer["conversations"])
    if answer["aliases"]:
        print_table("also known by these ids", ("id",), ([alias] for alias in answer["aliases"]))
    if not answer["journal"]:
        click.echo("journal: nobody was merged into this contact")
    for entry in answer["journal"]:
        _print_merge(entry, log)
    _print_truncated(answer)


def print_contact(title: str, contact: Contact) -> None:
    """Print a contact, without the attributes that it has not."""
    print_table(title, ("attribute", "value"), _attributes(contact).items())


def print_conversations(conversations: Iterable[Mapping[str, Any]]) -> None:
    """Print conversations in the order of the answer."""
    rows = [
        (
            conversation["id"],
            conversation["channel"]["id"],
            conversation["created_at"],
            (conversation["last_message"] or {}).get("sent_at"),
            conversation["resume_token"],
        )
        for conversation in conversations
    ]
    print_table("conversations", ("id", "channel", "created", "last message", "resume token"), rows)


def summary(contact: Contact) -> str:
    """Return a contact in a line: its id, and how it is found."""
    held = ", ".join(f"{kind} {value}" for kind, value, _ in _held(contact)) or "no identifiers"
    return printable(f"{contact['id']} ({held})")


def _held(contact: Contact) -> list[tuple[str, str, str]]:
    """Return the identifiers of a contact in rank order, each with the rule that holds for it."""
    rows = [
        (kind, contact[kind], why_held(kind, verified=kind not in contact["unverified"]))
        for kind in BUILT_IN_KINDS
        if contact[kind] is not None
    ]
    for kind, values in sorted(contact["identifiers"].items()):
        rows += [(kind, value, why_held(kind)) for value in values]
    return rows


def _attributes(contact: Contact) -> dict[str, str]:
    return {name: _cell(value) for name, value in contact.items() if value not in (None, [], {})}


def _print_explanation(explanation: Mapping[str, Any]) -> None:
    by = f" by {explanation['by']}" if explanation["by"] else ""
    rows = [(key["field"], key["level"], key["outcome"], key["why"]) for key in explanation["keys"]]
    print_table(f"why: {explanation['target']}{by}", ("field", "whose it was", "outcome", "why"), rows)


def _print_merge(entry: Mapping[str, Any], log: str) -> None:
    click.echo(printable(f"merged: {entry['merged_id']} into {entry['into_id']}, {entry['merged_at']}"))
    click.echo(printable(f"  why: {why_merged(entry['why'])}"))
    click.echo(printable(f"  from {log}:{entry['offset']}, request {entry['request_id']}"))
    survivor, merged = entry["survivor_before"], entry["merged_before"]
    if survivor is None or merged is None:
        click.echo("  how the two were is left out: the answer would be too large")
        return
    left, right = _attributes(survivor), _attributes(merged)
    names = dict.fromkeys((*left, *right))
    print_table(
        "both as they were", ("attribute", "survivor", "merged"), ((n, left.get(n), right.get(n)) for n in names)
    )


def _print_truncated(answer: Answer) -> None:
    if answer["truncated"]:
        click.echo("there is more than is shown here")


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_cell(item)}" for name, item in value.items())
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
