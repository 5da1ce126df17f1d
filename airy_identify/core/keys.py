"""The verified keys of a request and who holds them now.

- Rank: external id, e-mail, phone number, then custom kinds alphabetically. A value given twice counts once.
- An unverified e-mail or phone is no key.
- A built-in key matches the contact that holds it.
- A custom key says where, not who: it matches its owner only if that contact is anonymous and its e-mail does not
  differ from the request's. Here, and only here, unverified e-mails count, on both sides.
"""

from dataclasses import dataclass

from airy_identify.core.commands import Identify
from airy_identify.core.contacts import IdentityReader, owned_contact
from airy_identify.core.levels import level_of
from airy_identify.core.values import (
    BUILT_IN_KINDS,
    EMAIL,
    EXTERNAL_ID,
    PHONE_NUMBER,
    Contact,
    ContactId,
    Identifier,
    IdentifierKey,
    Level,
    Owner,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenKey:
    """A verified key of the request: `owner` holds it now, and `matches` says whether that identifies the owner."""

    identifier: Identifier
    owner: Contact | None
    matches: bool

    @property
    def is_custom(self) -> bool:
        """Whether this key is of a custom kind."""
        return self.identifier.kind not in BUILT_IN_KINDS

    @property
    def field(self) -> str:
        """The request field that gave this key, as errors and warnings name it."""
        return f"identifiers.{self.identifier.kind}" if self.is_custom else self.identifier.kind


def look_up(command: Identify, table: IdentityReader) -> tuple[GivenKey, ...]:
    """Return the verified keys of a request in rank order, each with its owner; none if it has no verified key.

    Raises:
        InconsistentTableError: an owner is no contact.
    """
    contacts: dict[ContactId, Contact] = {}
    keys = []
    for identifier in given_identifiers(command):
        key = IdentifierKey(tenant=command.tenant, kind=identifier.kind, value=identifier.value)
        held_by = table.owner(key)
        if not isinstance(held_by, Owner):
            keys.append(GivenKey(identifier=identifier, owner=None, matches=False))
            continue
        owner = contacts.get(held_by.contact_id)
        if owner is None:
            owner = contacts[held_by.contact_id] = owned_contact(table, command.tenant, held_by)
        matches = identifier.kind in BUILT_IN_KINDS or _is_found_by_custom(owner, command)
        keys.append(GivenKey(identifier=identifier, owner=owner, matches=matches))
    return tuple(keys)


def given_identifiers(command: Identify) -> list[Identifier]:
    """Return what a request is looked up by: its verified identifiers in rank order, each once."""
    given = []
    if command.external_id is not None:
        given.append(Identifier(kind=EXTERNAL_ID, value=command.external_id))
    if command.email is not None and command.email.verified:
        given.append(Identifier(kind=EMAIL, value=command.email.value))
    if command.phone_number is not None and command.phone_number.verified:
        given.append(Identifier(kind=PHONE_NUMBER, value=command.phone_number.key))
    for custom in command.identifiers:
        given += [Identifier(kind=custom.kind, value=value) for value in dict.fromkeys(custom.values)]
    return given


def held_identifiers(contact: Contact) -> list[Identifier]:
    """Return what a contact is indexed under: its verified identifiers in rank order."""
    held = []
    if contact.external_id is not None:
        held.append(Identifier(kind=EXTERNAL_ID, value=contact.external_id))
    held += [Identifier(kind=EXTERNAL_ID, value=value) for value in contact.former_external_ids]
    if contact.email is not None and contact.email.verified:
        held.append(Identifier(kind=EMAIL, value=contact.email.value))
    if contact.phone_number is not None and contact.phone_number.verified:
        held.append(Identifier(kind=PHONE_NUMBER, value=contact.phone_number.key))
    for custom in contact.identifiers:
        held += [Identifier(kind=custom.kind, value=value) for value in custom.values]
    return held


def _is_found_by_custom(owner: Contact, command: Identify) -> bool:
    if level_of(owner) is not Level.ANONYMOUS:
        return False
    return owner.email is None or command.email is None or owner.email.value == command.email.value
