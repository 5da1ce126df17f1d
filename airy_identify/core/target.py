"""Which contact a request is about.

- With an external id: the contact that has it.
- Else, still with an external id: the highest-ranked match that is soft and does not contradict. It is promoted: it
  becomes hard and keeps its id.
- Without an external id: the highest-ranked match that does not contradict, hard or soft.
- Else a new contact.

A contact contradicts when it has another verified e-mail than the request's verified one. So a soft contact cannot
change its e-mail through its phone number: that is a new person.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from airy_identify.core.commands import Identify
from airy_identify.core.keys import GivenKey
from airy_identify.core.levels import level_of
from airy_identify.core.values import Contact, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The contact is known by one of the keys."""

    contact: Contact


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """A soft contact gets the request's external id, which is new."""

    contact: Contact


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """Nobody matches: a new contact is made."""


Target = Found | Promoted | Created


def choose_target(command: Identify, keys: tuple[GivenKey, ...]) -> Target:
    """Return the contact that the request is about; `keys` are in rank order."""
    if command.external_id is None:
        return next((Found(contact=owner) for owner in _matches(keys) if not contradicts(owner, command)), Created())
    for owner in _matches(keys[:1]):
        return Found(contact=owner)
    for owner in _matches(keys):
        if level_of(owner) is not Level.HARD and not contradicts(owner, command):
            return Promoted(contact=owner)
    return Created()


def contradicts(owner: Contact, command: Identify) -> bool:
    """Tell whether the verified e-mail of a contact and that of the request differ.

    A contact that was matched by e-mail never contradicts, since its e-mail is the request's.
    """
    if owner.email is None or command.email is None:
        return False
    return owner.email.verified and command.email.verified and owner.email.value != command.email.value


def _matches(keys: tuple[GivenKey, ...]) -> Iterator[Contact]:
    for key in keys:
        if key.matches and key.owner is not None:
            yield key.owner
