"""What becomes of each key of a request, once its target is chosen.

- A key of the target's own stays: `Held`.
- A key that nobody has goes to the target: `Added`.
- A custom value on a contact that it does not match goes to the target without a word: `TakenOver`.
- Every other key of somebody else stays with them: `Conflict`. One warning a value, in rank order, which reveals
  nothing of the other contact. The rules would merge some of these owners into the target; until merging is here,
  both are left alone.
"""

from dataclasses import dataclass

from airy_identify.core.keys import GivenKey
from airy_identify.core.reasons import Reason, Warned
from airy_identify.core.values import Contact, ContactId


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The target has this key already."""

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


def settle(key: GivenKey, target_id: ContactId) -> Claim:
    """Decide about one key. `target_id` may be that of a contact yet to be made."""
    if key.owner is None:
        return Added(key=key)
    if key.owner.id == target_id:
        return Held(key=key)
    if not key.matches:
        return TakenOver(key=key, owner=key.owner)
    return Conflict(key=key)


def warn(claims: tuple[Claim, ...]) -> tuple[Warned, ...]:
    """Return the warnings of the answer, in the order of the claims."""
    return tuple(
        Warned(
            code=Reason.IDENTIFIER_CONFLICT,
            message=f"{claim.key.field} belongs to another contact and was not taken from it",
            field=claim.key.field,
        )
        for claim in claims
        if isinstance(claim, Conflict)
    )
