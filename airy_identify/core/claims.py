"""What becomes of the other contacts that a request matches, and of each of its keys, once its target is chosen.

Of the other contacts, in rank order:
- One that may merge automatically (`merging`) ends in the target.
- Every other one stays.

Of the keys, in rank order:
- A key that the target has, or got by a merge, stays: `Held`.
- A key that nobody has goes to the target: `Added`. So does one that dropped out in a merge.
- A custom value on a contact that stays goes to the target without a word: `TakenOver`.
- Every other key of somebody else stays with them: `Conflict`. One warning a value, in rank order, which reveals
  nothing of the other contact, to which nothing is written.
"""

from dataclasses import dataclass

from airy_identify.core.commands import Identify
from airy_identify.core.keys import GivenKey, held_identifiers
from airy_identify.core.levels import level_of
from airy_identify.core.merging import is_separated, merge_contacts, verified_email
from airy_identify.core.reasons import Warned, WarningCode
from airy_identify.core.target import Match, Target, contradicts
from airy_identify.core.values import Contact, ContactId, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The target has this key."""

    key: GivenKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """Nobody has this key; the target gets it."""

    key: GivenKey


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """The target gets this custom value, and `owner` loses it."""

    key: GivenKey
    owner: Contact


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """The key stays with another contact, to which nothing is written."""

    key: GivenKey


Claim = Held | Added | TakenOver | Conflict


@dataclass(frozen=True, slots=True, kw_only=True)
class Merger:
    """One merge of a request: both contacts as they were before it, and the field that brought them together."""

    survivor: Contact
    merged: Contact
    why: str


def merge_matches(
    start: Contact, target: Target, matches: tuple[Match, ...], command: Identify
) -> tuple[Contact, tuple[Merger, ...]]:
    """Return the target after the contacts that end in it did, and these merges in order; `start` is it before them."""
    mergers: list[Merger] = []
    united = start
    for match in matches if target.ends is None else (target.ends, *matches):
        other = match.contact
        if other.id == start.id or any(merger.merged.id == other.id for merger in mergers):
            continue
        if match is not target.ends and not _may_end(match, united, command):
            continue
        merged = merge_contacts(united, other, at_ms=command.accepted_at_ms)
        if merged is not None:
            mergers.append(Merger(survivor=united, merged=other, why=match.key.field))
            united = merged
    return united, tuple(mergers)


def settle(key: GivenKey, target: Contact, merged_ids: frozenset[ContactId] = frozenset()) -> Claim:
    """Decide about one key. `target` is the contact after its merges, which may be yet to be made."""
    if key.owner is None:
        return Added(key=key)
    if key.owner.id == target.id:
        return Held(key=key)
    if key.owner.id in merged_ids:
        return Held(key=key) if key.identifier in held_identifiers(target) else Added(key=key)
    if key.is_custom:
        return TakenOver(key=key, owner=key.owner)
    return Conflict(key=key)


def warn(claims: tuple[Claim, ...]) -> tuple[Warned, ...]:
    """Return the warnings of the answer, in the order of the claims."""
    return tuple(
        Warned(
            code=WarningCode.IDENTIFIER_CONFLICT,
            message=f"{claim.key.field} belongs to another contact and was not taken from it",
            field=claim.key.field,
        )
        for claim in claims
        if isinstance(claim, Conflict)
    )


def _may_end(match: Match, target: Contact, command: Identify) -> bool:
    other = match.contact
    if level_of(other) is Level.HARD or contradicts(other, command) or is_separated(other, target):
        return False
    email = verified_email(other)
    # Who has an e-mail, does not contradict and was not matched by it, was asked for without an e-mail: so the target
    # will hold the one that it holds.
    return match.by_email or email is None or verified_email(target) in {None, email}
