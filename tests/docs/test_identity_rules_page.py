"""docs/identity-rules.md has every rule, every rule has examples, and these have everything that the code can say."""

import re

from airy_identify.core import explain
from airy_identify.core.answers import Outcome, TargetChoice
from airy_identify.core.attach import NO_TOKEN, NOT_ATTACHED
from airy_identify.core.reasons import Reason, WarningCode
from airy_identify.core.values import Level
from tests.kafka.doors import PATHS
from tests.kafka.rule_examples import PAGE, read_examples, texts_of

TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = read_examples(TEXT)

RULES = {
    "Identifiers and rank": ["Values are ranked", "Metadata is never searched", "Custom kinds have names of their own"],
    "levels": ["Contacts are hard, known or anonymous", "Known is for ever"],
    "how many values": ["One e-mail, one phone number, five values of a custom kind"],
    "custom kinds": ["A custom value says where, not who"],
    "unverified": [
        "Unverified values find nobody",
        "An unverified e-mail sent as verified takes a soft contact over",
    ],
    "normalisation": [
        "Blank is absent",
        "Values that are no identity are refused",
        "E-mails are lower-cased, and nothing is guessed",
        "Phone numbers match in canonical form",
    ],
    "identify 1": ["Somebody has to be named"],
    "identify 2": [
        "An external id is its owner",
        "A soft contact is promoted",
        "Nobody is promoted against their e-mail",
        "A soft contact cannot change its e-mail through its phone number",
        "A soft target ends in the only hard match",
    ],
    "identify 3": [
        "Other soft matches end in the target",
        "Of two soft contacts the higher-ranked survives, then the older",
        "Two e-mails are two people",
        "Two accounts never merge by themselves",
        "With `reject` a conflict refuses the whole request",
    ],
    "identify 4": ["A changed e-mail or phone number replaces the old one"],
    "identify 5": ["Metadata is merged member by member"],
    "identify 6, ids": ["One conversation for each channel"],
    "attach": [
        "A running chat is attached by its token",
        "A conversation is attached once",
        "A stale token locks nobody out",
    ],
    "identify 7": ["The same request again changes nothing", "A dry run writes nothing"],
    "identify 8": ["The answer says why"],
    "merge": ["The survivor's values win", "A contact merged with itself changes nothing", "There are limits"],
    "unmerge": [
        "An unmerge brings back what was",
        "Only the latest merge can be undone",
        "After changes an unmerge goes by value, not by history",
        "Separated contacts merge by command only",
    ],
    "release": ["Release takes one identifier off"],
    "forget": ["Forget leaves a bare marker", "What is forgotten is unknown"],
    "info, resume token": ["Info shows what is known", "A token is for a conversation on its channel"],
    "tenants": ["Each tenant is a world of its own"],
}
"""The rules, in the order in which they are laid down, with the headings that have their examples."""


def test_every_link_to_a_heading_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", TEXT, flags=re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}

    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors


def test_every_rule_has_its_examples() -> None:
    headings = re.findall(r"^### (.+)$", TEXT, flags=re.MULTILINE)
    shown = {example.rule for example in EXAMPLES}

    assert sorted(headings) == sorted(rule for rules in RULES.values() for rule in rules)
    assert shown == set(headings)


def test_every_block_is_run_and_every_request_answered() -> None:
    assert TEXT.count("```") == 2 * len(EXAMPLES)
    for example in EXAMPLES:
        kinds = ["→" if step.what == "→" else "request" for step in example.steps]
        assert kinds == ["request", "→"] * (len(kinds) // 2), example


def test_the_examples_have_every_outcome_reason_and_word() -> None:
    """What the code can say about identity is said in an example, so a rule cannot be left out unseen."""
    bodies = [step.body for example in EXAMPLES for step in example.steps if step.what == "→"]
    texts = {text for body in bodies for text in texts_of(body)}
    words = {getattr(explain, name) for name in ("MATCHED", "ADDED", "MERGED", "TAKEN_OVER", "CONFLICT", "UNVERIFIED")}
    reasons = {
        Reason.INVALID_FIELD, Reason.MISSING_IDENTIFIER, Reason.INVALID_EMAIL, Reason.INVALID_PHONE_NUMBER,
        Reason.BLOCKED_IDENTIFIER, Reason.INVALID_METADATA, Reason.UNKNOWN_CHANNEL, Reason.UNKNOWN_CONTACT,
        Reason.UNKNOWN_CONVERSATION, Reason.IDENTIFIER_CONFLICT, Reason.NOT_LATEST_MERGE, Reason.TOO_LARGE_TO_MERGE,
    }  # fmt: skip

    assert words <= texts
    assert {outcome.value for outcome in Outcome} <= texts
    assert {code.value for code in WarningCode} <= texts
    assert {NO_TOKEN, NOT_ATTACHED} <= texts
    assert {TargetChoice.FOUND.value, TargetChoice.CREATED.value} <= texts
    assert {reason.value for reason in reasons} <= texts
    assert {step.what for example in EXAMPLES for step in example.steps} == {"→", *PATHS}
    rows = " ".join(line for example in EXAMPLES for line in example.table)
    assert all(f": {level.value}" in rows for level in Level)
