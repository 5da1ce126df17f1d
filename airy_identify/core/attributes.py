"""How the identifiers of the target and of those who lose something change.

- A key that was added or taken over now belongs to the target.
- A changed e-mail or phone number replaces the old value, which is released. A verified value replaces an unverified
  one, in its own spelling. The same phone number spelled differently is no change.
- An unverified e-mail or phone number is kept only where the contact has none.
- A contact that gets an external id, a verified e-mail or a verified phone number is known from then on.
- Whoever loses a custom value to the target keeps everything else.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from airy_identify.core.claims import Added, Claim, TakenOver
from airy_identify.core.commands import Identify
from airy_identify.core.custom_kinds import add_values, remove_values
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import EMAIL, EXTERNAL_ID, PHONE_NUMBER, Contact, ContactId, Email, PhoneNumber

Reachable = TypeVar("Reachable", Email, PhoneNumber)


def take(target: Contact, command: Identify, claims: Iterable[Claim]) -> Contact | Rejected:
    """Return the target with the identifiers that it gains, the very same object if there are none.

    Times are left alone. Rejected as `invalid_field` when the target would have too many custom kinds.
    """
    gained: set[str] = set()
    added: dict[str, list[str]] = {}
    for claim in claims:
        if isinstance(claim, Added | TakenOver):
            identifier = claim.key.identifier
            if claim.key.is_custom:
                added.setdefault(identifier.kind, []).append(identifier.value)
            else:
                gained.add(identifier.kind)
    identifiers = add_values(target.identifiers, added=added, named=command.identifiers)
    if isinstance(identifiers, Rejected):
        return identifiers
    external_id = command.external_id if EXTERNAL_ID in gained else target.external_id
    email = _current(target.email, command.email, gained=EMAIL in gained)
    phone_number = _current(target.phone_number, command.phone_number, gained=PHONE_NUMBER in gained)
    if not gained and not added and email is target.email and phone_number is target.phone_number:
        return target
    return replace(
        target,
        known=target.known or bool(gained),
        external_id=external_id,
        email=email,
        phone_number=phone_number,
        identifiers=identifiers,
    )


def lose(claims: Iterable[Claim]) -> tuple[tuple[Contact, Contact], ...]:
    """Return those who lose custom values to the target, each as it was and as it is now, in rank order of the loss.

    Times are left alone.
    """
    owners: dict[ContactId, Contact] = {}
    lost: dict[ContactId, set[tuple[str, str]]] = {}
    for claim in claims:
        if isinstance(claim, TakenOver):
            owners[claim.owner.id] = claim.owner
            lost.setdefault(claim.owner.id, set()).add((claim.key.identifier.kind, claim.key.identifier.value))
    return tuple(
        (owner, replace(owner, identifiers=remove_values(owner.identifiers, lost=lost[owner.id])))
        for owner in owners.values()
    )


def _current(held: Reachable | None, given: Reachable | None, *, gained: bool) -> Reachable | None:
    if gained or (held is None and given is not None and not given.verified):
        return given
    return held
