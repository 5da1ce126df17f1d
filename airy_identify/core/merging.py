"""How two contacts become one, and when that is allowed without a command.

A merge, by a request or by command:
- The survivor's values win; its blanks are filled from the other. A verified value fills the place of an unverified
  one; the other's unverified values are dropped.
- A soft survivor becomes hard if the other was. Every other external id still resolves to the survivor.
- Metadata is united by top-level key. Custom values are united up to five, the survivor's first.
- The earlier `created_at` counts. Conversations are united. All ids of the other become aliases of the survivor.
- Values that lose are released, by the index.
- There are limits: conversations, aliases, metadata, custom kinds. Beyond them there is no merge.

An automatic merge of O into T needs all of these:
- O is soft, does not contradict the request, and is not separated from T.
- O was matched by e-mail, or has no e-mail, or T will hold no e-mail or the same.
- The limits allow it.

Only verified e-mails count here.
"""

from dataclasses import replace
from typing import TypeVar

from airy_identify.core.contacts import all_ids
from airy_identify.core.custom_kinds import KINDS_MAX, unite_values
from airy_identify.core.metadata import METADATA_BYTES_MAX, canonical_json
from airy_identify.core.values import Contact, Email, PhoneNumber, Separation

CONVERSATIONS_MAX = 1_000
ALIASES_MAX = 1_000

Reachable = TypeVar("Reachable", Email, PhoneNumber)


def merge_contacts(survivor: Contact, other: Contact, *, at_ms: int) -> Contact | None:
    """Return the survivor after it took the other in, or `None` when that is too large. `at_ms`: when this happens."""
    external_ids = _external_ids(survivor, other)
    merged = replace(
        survivor,
        created_at_ms=min(survivor.created_at_ms, other.created_at_ms),
        updated_at_ms=max(survivor.updated_at_ms, at_ms),
        known=survivor.known or other.known,
        external_id=external_ids[0] if external_ids else None,
        former_external_ids=external_ids[1:],
        email=_fill(survivor.email, other.email),
        phone_number=_fill(survivor.phone_number, other.phone_number),
        identifiers=unite_values(survivor.identifiers, other.identifiers),
        metadata={**other.metadata, **survivor.metadata},
        conversations=(*survivor.conversations, *other.conversations),
        aliases=(*survivor.aliases, *all_ids(other)),
        merge_count=survivor.merge_count + 1,
        separations=_unite_separations(survivor, other),
    )
    return merged if _is_within_limits(merged) else None


def is_separated(one: Contact, other: Contact) -> bool:
    """Tell whether an unmerge parted these two, or any contacts that they took in."""
    if not one.separations:
        return False
    ids = set(all_ids(other))
    return any(separation.other in ids for separation in one.separations)


def verified_email(contact: Contact) -> str | None:
    """Return the contact's e-mail if somebody vouched for it."""
    return contact.email.value if contact.email is not None and contact.email.verified else None


def _external_ids(survivor: Contact, other: Contact) -> tuple[str, ...]:
    held = (survivor.external_id, *survivor.former_external_ids, other.external_id, *other.former_external_ids)
    return tuple(value for value in held if value is not None)


def _fill(mine: Reachable | None, others: Reachable | None) -> Reachable | None:
    if others is None or not others.verified or (mine is not None and mine.verified):
        return mine
    return others


def _unite_separations(survivor: Contact, other: Contact) -> tuple[Separation, ...]:
    """Return the separations of both. One between the two stays: whoever comes back by an unmerge takes it along."""
    return tuple(dict.fromkeys((*survivor.separations, *other.separations)))


def _is_within_limits(contact: Contact) -> bool:
    return (
        len(contact.conversations) <= CONVERSATIONS_MAX
        and len(contact.aliases) <= ALIASES_MAX
        and len(contact.identifiers) <= KINDS_MAX
        and len(canonical_json(contact.metadata)) <= METADATA_BYTES_MAX
    )
