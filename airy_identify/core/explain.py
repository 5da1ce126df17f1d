"""Why an answer is about this contact, in words: kinds and rules only, never another contact's id or data."""

from collections.abc import Iterator
from typing import assert_never

from airy_identify.core.answers import ExplainedKey, Explanation, Outcome, TargetChoice
from airy_identify.core.claims import Added, Claim, Conflict, Held, Merger, TakenOver
from airy_identify.core.commands import Identify
from airy_identify.core.levels import level_of
from airy_identify.core.merge import BY_COMMAND
from airy_identify.core.target import Target
from airy_identify.core.values import BUILT_IN_KINDS, EMAIL, PHONE_NUMBER, ContactId

MATCHED = "The contact has this value."
ADDED = "Nobody had this value; the contact has it now."
ADDED_AGAIN = "It came with a contact that was merged into this one, and the request names it."
MERGED = "A contact that may merge automatically had this value; it ended in this one."
TAKEN_OVER = "A custom value says where, not who: it goes to the contact that uses it last."
CONFLICT = "Another contact has this value, and the rules do not let the two become one; it stays there."
MERGED_BY_COMMAND = "The command merge said that the two are one person."
UNVERIFIED = "The request says that it is not verified: it finds nobody, and is kept only where there is none yet."


def explain(command: Identify, target: Target, claims: tuple[Claim, ...], mergers: tuple[Merger, ...]) -> Explanation:
    """Return the explanation of an answer. Unverified values are in their place by rank."""
    merged_ids = frozenset(merger.merged.id for merger in mergers)
    keys = [_explained(claim, merged_ids) for claim in claims]
    keys += _unverified(command)
    keys.sort(key=lambda key: _rank(key.field))
    return Explanation(
        target=target.choice,
        by=None if target.choice is TargetChoice.CREATED or target.match is None else target.match.key.field,
        keys=tuple(keys),
    )


def why_merged(why: str) -> str:
    """Return the words for the `why` of a journal row: the command, or the field whose value brought the two together."""
    return MERGED_BY_COMMAND if why == BY_COMMAND else f"{why}: {MERGED}"


def why_held(kind: str, *, verified: bool = True) -> str:
    """Return the rule for an identifier that a contact has."""
    if not verified:
        return UNVERIFIED
    return MATCHED if kind in BUILT_IN_KINDS else TAKEN_OVER


def _explained(claim: Claim, merged_ids: frozenset[ContactId]) -> ExplainedKey:
    owner = claim.key.owner
    outcome, why = _outcome(claim, merged_ids)
    return ExplainedKey(
        field=claim.key.field, level=None if owner is None else level_of(owner), outcome=outcome, why=why
    )


def _outcome(claim: Claim, merged_ids: frozenset[ContactId]) -> tuple[Outcome, str]:
    owner = claim.key.owner
    merged = owner is not None and owner.id in merged_ids
    match claim:
        case Held():
            return (Outcome.MERGED, MERGED) if merged else (Outcome.MATCHED, MATCHED)
        case Added():
            return (Outcome.MERGED, ADDED_AGAIN) if merged else (Outcome.ADDED, ADDED)
        case TakenOver():
            return Outcome.TAKEN_OVER, TAKEN_OVER
        case Conflict():
            return Outcome.CONFLICT, CONFLICT
        case _:
            assert_never(claim)


def _unverified(command: Identify) -> Iterator[ExplainedKey]:
    for field, value in ((EMAIL, command.email), (PHONE_NUMBER, command.phone_number)):
        if value is not None and not value.verified:
            yield ExplainedKey(field=field, level=None, outcome=Outcome.UNVERIFIED, why=UNVERIFIED)


def _rank(field: str) -> int:
    return BUILT_IN_KINDS.index(field) if field in BUILT_IN_KINDS else len(BUILT_IN_KINDS)
