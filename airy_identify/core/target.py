"""Which contact a request is about.

- With an external id: the contact that has it.
- Else, still with an external id: the highest-ranked match that is soft and does not contradict. It is promoted: it
  becomes hard and keeps its id.
- Without an external id: the highest-ranked match that does not contradict, hard or soft. If it is soft, and there is
  exactly one hard contact among the other matches, which does not contradict, is not separated from it, and does not
  hold another e-mail, then the two become one, and that is the hard contact, unless it would grow too large.
- Else a new contact.
- Matches are ranked by the highest kind that matched them; of several that one kind brings, the older comes first: the
  earlier `created_at`, then the smaller id.

A contact contradicts when it has another verified e-mail than the request's verified one. So a soft contact cannot
change its e-mail through its phone number: that is a new person.
"""

from dataclasses import dataclass

from airy_identify.core.answers import TargetChoice
from airy_identify.core.commands import Identify
from airy_identify.core.keys import GivenKey
from airy_identify.core.levels import level_of
from airy_identify.core.merging import is_separated, merge_contacts, verified_email
from airy_identify.core.values import EMAIL, EXTERNAL_ID, Contact, ContactId, Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A contact that the request's keys identify: `key` is the highest-ranked of those that do."""

    contact: Contact
    key: GivenKey

    @property
    def by_email(self) -> bool:
        """Whether its e-mail is the request's."""
        return self.key.identifier.kind == EMAIL


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The contact that a request is about; `match` is null when a new one is made for it.

    `ends` is a soft contact that is to become one with it.
    """

    choice: TargetChoice
    match: Match | None = None
    ends: Match | None = None


def matches_of(keys: tuple[GivenKey, ...]) -> tuple[Match, ...]:
    """Return who is matched, each once, in rank order; `keys` are in rank order too."""
    highest: dict[ContactId, Match] = {}
    for key in keys:
        if key.matches and key.owner is not None:
            highest.setdefault(key.owner.id, Match(contact=key.owner, key=key))
    kinds = list(dict.fromkeys(key.identifier.kind for key in keys))

    def rank(match: Match) -> tuple[int, int, str]:
        return kinds.index(match.key.identifier.kind), match.contact.created_at_ms, match.contact.id

    return tuple(highest.values()) if len(highest) < 2 else tuple(sorted(highest.values(), key=rank))  # noqa: PLR2004


def choose_target(command: Identify, matches: tuple[Match, ...]) -> Target:
    """Return the contact that the request is about; `matches` are in rank order."""
    if command.external_id is None:
        return _choose_among(command, matches)
    for match in matches[:1]:
        if match.key.identifier.kind == EXTERNAL_ID:
            return Target(choice=TargetChoice.FOUND, match=match)
    for match in matches:
        if level_of(match.contact) is not Level.HARD and not contradicts(match.contact, command):
            return Target(choice=TargetChoice.PROMOTED, match=match)
    return Target(choice=TargetChoice.CREATED)


def contradicts(owner: Contact, command: Identify) -> bool:
    """Tell whether the verified e-mail of a contact and that of the request differ.

    A contact that was matched by e-mail never contradicts, since its e-mail is the request's.
    """
    if owner.email is None or command.email is None:
        return False
    return owner.email.verified and command.email.verified and owner.email.value != command.email.value


def _choose_among(command: Identify, matches: tuple[Match, ...]) -> Target:
    found = next((match for match in matches if not contradicts(match.contact, command)), None)
    if found is None:
        return Target(choice=TargetChoice.CREATED)
    if level_of(found.contact) is not Level.HARD:
        hard = [match for match in matches if level_of(match.contact) is Level.HARD]
        if len(hard) == 1 and _becomes(found.contact, hard[0].contact, command):
            return Target(choice=TargetChoice.FOUND, match=hard[0], ends=found)
    return Target(choice=TargetChoice.FOUND, match=found)


def _becomes(soft: Contact, hard: Contact, command: Identify) -> bool:
    """Tell whether a soft contact may end in the one hard contact that the request matches too."""
    emails = {verified_email(soft), verified_email(hard)} - {None}
    return (
        not contradicts(hard, command)
        and not is_separated(soft, hard)
        and len(emails) < 2  # noqa: PLR2004 - at most one between the two
        and merge_contacts(hard, soft, at_ms=command.accepted_at_ms) is not None
    )
