"""What Airy's rows say of a contact, read fact by fact, and the index of what they claim.

- Each fact is the last value of one of Airy's keys, so the order in which rows of different keys come does not matter.
- A contact lives as long as it has `created_at`. A lone name, or what else is left of a deleted one, is no contact.
- It claims its `via.external_id`, `via.email` and `via.phone`. Contacts that Airy merged into it claim for it: their
  external ids all, an e-mail and a phone number where it has none of its own.
- It claims its conversations, and the contacts that Airy merged into it.
- Rows that this service wrote keep a contact alive and claim nothing: they say nothing new.
- There are limits (`CONVERSATIONS_MAX`, `CLAIMS_MAX`); up to them, order does not matter.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from airy_identify.core.contacts import IdentityReader, all_ids
from airy_identify.core.values import (
    EMAIL,
    EXTERNAL_ID,
    PHONE_NUMBER,
    AiryClaimKey,
    AiryClaims,
    AiryContact,
    AiryContactKey,
    AiryFact,
    AirySource,
    Contact,
    ContactId,
    ConversationId,
    Email,
    Identifier,
    PhoneNumber,
    TenantId,
)

CREATED_AT = "created_at"
DISPLAY_NAME = "displayName"
AVATAR_URL = "avatarUrl"
MERGE_HISTORY = "mergeHistory"
VIA_EXTERNAL_ID = "via.external_id"
VIA_EMAIL = "via.email"
VIA_PHONE = "via.phone"
CONVERSATIONS = "conversations."
"""Airy's keys (airyhq/airy, `Contact.MetadataKeys`); the id of a conversation follows the last."""

CONVERSATION = "conversation"
MERGED = "merged"
"""The kinds of claims besides identifiers."""

CHAT_PLUGIN = "chatplugin"
CONVERSATIONS_MAX = 1_000
"""Of more conversations, a contact keeps those with the smallest ids."""
CLAIMS_MAX = 64
"""Of more contacts that claim the same, those with the smallest ids count."""

_SHORT_ID_START = 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What a contact of Airy can be found by. `external_ids`: its own first."""

    external_ids: tuple[str, ...]
    email: Email | None
    phone_number: PhoneNumber | None

    def identifiers(self) -> tuple[Identifier, ...]:
        """Return them as they match."""
        found = [Identifier(kind=EXTERNAL_ID, value=value) for value in self.external_ids]
        if self.email is not None:
            found.append(Identifier(kind=EMAIL, value=self.email.value))
        if self.phone_number is not None:
            found.append(Identifier(kind=PHONE_NUMBER, value=self.phone_number.key))
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class AiryNames:
    """What Airy calls a contact; null where it does not say."""

    display_name: str | None = None
    avatar_url: str | None = None


NO_NAMES = AiryNames()


def read_facts(table: IdentityReader, tenant: TenantId, contact_id: ContactId) -> AiryContact | None:
    """Return what Airy's rows say of a contact, null when they say nothing."""
    row = table.airy(AiryContactKey(tenant=tenant, contact_id=contact_id))
    return row if isinstance(row, AiryContact) else None


def created_at(contact: AiryContact | None) -> int | None:
    """Return when a contact was created in Airy, milliseconds since the epoch; null for one that does not live."""
    if contact is None:
        return None
    return next((fact.at_ms for fact in contact.facts if fact.key == CREATED_AT), None)


def age(contact: AiryContact) -> tuple[int, str]:
    """Return what the older of two living contacts has less of."""
    return created_at(contact) or 0, contact.id


def with_fact(contact: AiryContact | None, contact_id: ContactId, fact: AiryFact) -> AiryContact:
    """Return the contact with a fact in place of the one of the same key."""
    facts = {each.key: each for each in contact.facts} if contact is not None else {}
    facts[fact.key] = fact
    conversations = sorted(key for key in facts if key.startswith(CONVERSATIONS))
    for key in conversations[CONVERSATIONS_MAX:]:
        del facts[key]
    return AiryContact(id=contact_id, facts=tuple(facts[key] for key in sorted(facts)))


def without_fact(contact: AiryContact, key: str) -> AiryContact | None:
    """Return the contact without the fact of a key; null when nothing is left."""
    facts = tuple(fact for fact in contact.facts if fact.key != key)
    return AiryContact(id=contact.id, facts=facts) if facts else None


def claimed(contact: AiryContact) -> Claimed:
    """Return what a contact can be found by, as far as nobody else is."""
    given = [fact.identifiers for fact in contact.facts if fact.identifiers is not None and not fact.own]
    given += [source.identifiers for source in merged_into(contact)]
    external_ids = [each.external_id for each in given if each.external_id is not None]
    return Claimed(
        external_ids=tuple(dict.fromkeys(external_ids)),
        email=next((each.email for each in given if each.email is not None), None),
        phone_number=next((each.phone_number for each in given if each.phone_number is not None), None),
    )


def merged_into(contact: AiryContact) -> tuple[AirySource, ...]:
    """Return the contacts that Airy merged into one, in Airy's order."""
    return next(
        (
            tuple(source for source in fact.merged if source.id != contact.id)
            for fact in contact.facts
            if fact.key == MERGE_HISTORY and not fact.own
        ),
        (),
    )


def conversations_of(contact: AiryContact) -> Iterator[tuple[ConversationId, str]]:
    """Yield the conversations of a contact with their sources, by id."""
    for fact in contact.facts:
        if fact.key.startswith(CONVERSATIONS) and fact.text is not None and not fact.own:
            yield ConversationId(fact.key.removeprefix(CONVERSATIONS)), fact.text


def claims_of(contact: AiryContact | None) -> frozenset[tuple[str, str]]:
    """Return everything that a contact is indexed under, as kind and value."""
    if contact is None:
        return frozenset()
    found = {(each.kind, each.value) for each in claimed(contact).identifiers()}
    found |= {(CONVERSATION, conversation_id) for conversation_id, _ in conversations_of(contact)}
    found |= {(MERGED, source.id) for source in merged_into(contact)}
    return frozenset(found)


def claim_writes(
    table: IdentityReader,
    tenant: TenantId,
    contact_id: ContactId,
    before: AiryContact | None,
    after: AiryContact | None,
) -> list[tuple[AiryClaimKey, AiryClaims | None]]:
    """Return the rows of the index that change with a contact."""
    old, new = claims_of(before), claims_of(after)
    writes: list[tuple[AiryClaimKey, AiryClaims | None]] = []
    for kind, value in sorted(old ^ new):
        ids = set(claimants(table, tenant, kind, value))
        ids = ids - {contact_id} if (kind, value) in old else ids | {contact_id}
        kept = tuple(sorted(ids)[:CLAIMS_MAX])
        if kept != claimants(table, tenant, kind, value):
            row = AiryClaims(contact_ids=kept) if kept else None
            writes.append((AiryClaimKey(tenant=tenant, kind=kind, value=value), row))
    return writes


def claimants(table: IdentityReader, tenant: TenantId, kind: str, value: str) -> tuple[ContactId, ...]:
    """Return the contacts of Airy that claim something, living or not, by id."""
    row = table.airy(AiryClaimKey(tenant=tenant, kind=kind, value=value))
    return row.contact_ids if isinstance(row, AiryClaims) else ()


def names_of(table: IdentityReader, tenant: TenantId, contact: Contact) -> AiryNames:
    """Return what Airy calls a contact: of its id first, then of its aliases in order."""
    display_name: str | None = None
    avatar_url: str | None = None
    for contact_id in all_ids(contact):
        airys = read_facts(table, tenant, contact_id)
        if airys is not None and created_at(airys) is not None:
            display_name = display_name or _text(airys, DISPLAY_NAME)
            avatar_url = avatar_url or _text(airys, AVATAR_URL)
    return AiryNames(display_name=display_name, avatar_url=avatar_url)


def _text(contact: AiryContact, key: str) -> str | None:
    """Return a name, or the address of a picture. What Airy writes for want of a name is none."""
    text = next((fact.text for fact in contact.facts if fact.key == key and not fact.own), None)
    return None if key == DISPLAY_NAME and text in _placeholders(contact) else text


def _placeholders(contact: AiryContact) -> set[str]:
    """Return the names that Airy gives for want of a better one: the source, then the end of the conversation's id."""
    return {
        f"{source[:1].upper()}{source[1:]} {conversation_id[_SHORT_ID_START:]}"
        for conversation_id, source in ((each, whole.rpartition(".")[2]) for each, whole in conversations_of(contact))
    }
