"""A contact as rows of Airy's contacts topic: what is written there when a contact of ours changes.

Airy keeps a contact as many small records, one for each attribute (airyhq/airy, `model/contact/Contact.java` at
efa19b2b). It gets from us:

- `displayName`: the metadata of that name, else first and last name, else one as Airy itself gives it.
- `created_at`, as value and as timestamp, since Airy's API shows the timestamp.
- `avatarUrl`, if there is one.
- `via.external_id`, `via.email`, `via.phone`: verified values only. Nobody vouched for the others, and a value that
  Airy shows is taken for one that somebody did.
- `conversations.<id>` of all its conversations.

Nothing else, because Airy's delete and merge leave rows under keys that they do not know. No contact and no conversation
whose id is not a UUID as Java writes it: a row `conversations.<no UUID>` stops Airy's contacts component for good. No
empty value: it would delete the row.

What people said in Airy stays: a name or picture that Airy has from somebody else is not written over, and a contact
that Airy made itself gets no invented name and no other time.

A contact that ends in another, or is forgotten, loses all rows that Airy has of it, whoever wrote them. What only Airy
said of it goes on to the contact that took it in, and is not marked as ours, since it is not.
"""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from airy_identify.core.airy_facts import (
    AVATAR_URL,
    CONVERSATIONS,
    CREATED_AT,
    DISPLAY_NAME,
    VIA_EMAIL,
    VIA_EXTERNAL_ID,
    VIA_PHONE,
)
from airy_identify.core.erasing import airy_record_key
from airy_identify.core.values import (
    AiryContact,
    AiryFact,
    Contact,
    ContactConversation,
    ContactId,
    Email,
    PhoneNumber,
)

ATTRIBUTES = (DISPLAY_NAME, CREATED_AT, AVATAR_URL, VIA_EXTERNAL_ID, VIA_EMAIL, VIA_PHONE)
"""The keys of everything that is written of a contact, but its conversations."""

_SHOWN_FROM = 31
"""Airy's own names end in what is left of a conversation id from here on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AiryWrite:
    """One attribute for Airy's topic. `value` is null for a tombstone, whose timestamp Airy never sees.

    `own`: it is marked as ours, so that it says nothing new when it comes back.
    """

    contact_id: ContactId
    key: str
    value: str | None
    timestamp_ms: int
    own: bool = True

    @property
    def subject(self) -> str:
        """What Airy calls the contact."""
        return f"contact:{self.contact_id}"

    @property
    def record_key(self) -> str:
        """The key of the record: Airy's UUIDv5 of subject and key, without a namespace."""
        return airy_record_key(self.contact_id, self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A contact before and after a command; both null for one that only Airy had.

    `into` is the contact that took it in, as it is after the command. `adopted` are the keys of attributes that nobody
    here had before, so that no row of them can be on its way to Airy: what Airy has of these already is not written.
    `rivals` are rows by which Airy has conversations that it gained with somebody else: contact id and key.
    """

    contact_id: ContactId
    before: Contact | None = None
    after: Contact | None = None
    into: Contact | None = None
    adopted: frozenset[str] = frozenset()
    rivals: tuple[tuple[ContactId, str], ...] = ()

    @property
    def moved_created_at(self) -> int | None:
        """When the contact was created, if it is older or younger now than it was."""
        if self.before is None or self.after is None or self.before.created_at_ms == self.after.created_at_ms:
            return None
        return self.after.created_at_ms


Facts = Mapping[str, AiryFact]
FactsOf = Callable[[ContactId], Facts]
"""Tells what Airy's topic is known to hold of a contact, by key."""


def facts_by_key(row: AiryContact | None) -> Facts:
    """Return the facts of a row by their keys."""
    return {} if row is None else {fact.key: fact for fact in row.facts}


def writes_of(changes: Iterable[Change], *, at_ms: int, facts_of: FactsOf) -> tuple[AiryWrite, ...]:
    """Return what tells Airy of changed contacts: what goes first, then what comes. `at_ms` is the command's time.

    What Airy is not known to hold is written although it did not change, so that a contact from before the setting was
    switched on comes to Airy whole.
    """
    gone: list[AiryWrite] = []
    come: list[AiryWrite] = []
    for change in changes:
        gone += [_tombstone(contact_id, key, at_ms) for contact_id, key in change.rivals if is_java_uuid(contact_id)]
        if not is_java_uuid(change.contact_id):
            continue
        facts = facts_of(change.contact_id)
        had, has = wanted(change.before, facts), wanted(change.after, facts)
        if (created_at := change.moved_created_at) is not None:
            had.pop(CREATED_AT, None)
            has[CREATED_AT] = str(created_at)
        leaving = dict.fromkeys(had)
        if change.after is None:
            # What Airy has, and what is on its way there: which of our keys that is depends on what Airy had.
            leaving |= dict.fromkeys((*facts, *(ATTRIBUTES if change.before is not None else ())))
        gone += [_tombstone(change.contact_id, key, at_ms) for key in leaving if key not in has]
        come += [
            write(change.after, key, value, at_ms)
            for key, value in has.items()
            if change.after is not None
            and (had.get(key) != value or key not in facts)
            and not (key in change.adopted and says(facts.get(key), key, value))
        ]
        if change.into is not None and is_java_uuid(change.into.id):
            come += _carried_on(change.into, facts, facts_of(change.into.id), at_ms)
    return tuple({row.record_key: row for row in (*gone, *come)}.values())


def wanted(contact: Contact | None, facts: Facts) -> dict[str, str]:
    """Return what Airy has to hold of a contact, by key, where we are the ones to say it."""
    if contact is None:
        return {}
    names = default_names(contact)
    values: dict[str, str | None] = {
        DISPLAY_NAME: own_name(contact),
        AVATAR_URL: _text(contact, "avatar_url"),
        VIA_EXTERNAL_ID: contact.external_id,
        VIA_EMAIL: _verified(contact.email),
        VIA_PHONE: _verified(contact.phone_number),
    }
    is_ours = all(fact.own for fact in facts.values())
    if is_ours or (DISPLAY_NAME in facts and facts[DISPLAY_NAME].own):
        values[DISPLAY_NAME] = values[DISPLAY_NAME] or (names or [f"Contact {contact.id[_SHOWN_FROM:]}"])[0]
    if CREATED_AT not in facts or facts[CREATED_AT].own:
        values[CREATED_AT] = str(contact.created_at_ms)
    for key in (DISPLAY_NAME, AVATAR_URL):
        fact = facts.get(key)
        if fact is not None and not fact.own and fact.text not in names:
            values[key] = None
    values |= {f"{CONVERSATIONS}{each.id}": each.source for each in _conversations(contact)}
    return {key: value.strip() for key, value in values.items() if value is not None and value.strip()}


def says(fact: AiryFact | None, key: str, value: str) -> bool:
    """Tell whether a fact of Airy's says this already."""
    if fact is None or fact.identifiers is None:
        return fact is not None and fact.text == value
    given = fact.identifiers
    if key == VIA_EXTERNAL_ID:
        return given.external_id == value
    if key == VIA_EMAIL:
        return given.email is not None and given.email.value == value
    return given.phone_number is not None and given.phone_number.value == value


def write(contact: Contact, key: str, value: str, at_ms: int) -> AiryWrite:
    """Return an attribute of a contact as it is written at this time."""
    timestamp_ms = contact.created_at_ms if key == CREATED_AT else at_ms
    return AiryWrite(contact_id=contact.id, key=key, value=value, timestamp_ms=timestamp_ms)


def restated(contact: Contact, *, at_ms: int) -> AiryWrite | None:
    """Return a row that makes Airy take the conversations of a contact for its own again, null where it has none.

    Airy maps a conversation to the contact of which it applied a row last, so this has to come after all rows of the
    contact that had the conversation before. One row will do for all conversations. Its timestamp differs from that of
    the row before: Airy's Kafka Streams (2.7.0) passes over a row with the bytes that it has already.
    """
    if not is_java_uuid(contact.id):
        return None
    for conversation in _conversations(contact):
        return write(contact, f"{CONVERSATIONS}{conversation.id}", conversation.source, at_ms)
    return None


def own_name(contact: Contact) -> str | None:
    """Return the name that somebody gave a contact here, null when nobody did."""
    full = " ".join(filter(None, (_text(contact, "first_name"), _text(contact, "last_name"))))
    for name in (_text(contact, "display_name"), full):
        if name is not None and name.strip():
            return name.strip()
    return None


def default_names(contact: Contact) -> list[str]:
    """Return the names that Airy gives to somebody of whom it knows nothing but a conversation of this contact."""
    return [_default_name(each.id, each.source) for each in _conversations(contact)]


def is_java_uuid(text: str) -> bool:
    """Tell whether this is a UUID in the one spelling that Java reads and writes back the same."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _default_name(conversation_id: str, source: str) -> str:
    name = source.rpartition(".")[2]
    return f"{name[:1].upper()}{name[1:]} {conversation_id[_SHOWN_FROM:]}"


def _tombstone(contact_id: ContactId, key: str, at_ms: int) -> AiryWrite:
    return AiryWrite(contact_id=contact_id, key=key, value=None, timestamp_ms=at_ms)


def _carried_on(into: Contact, facts: Facts, facts_there: Facts, at_ms: int) -> list[AiryWrite]:
    """Return what only Airy says of a contact that ended in another, as rows of the other, where it has none."""
    there = wanted(into, {})
    named = {_default_name(key.removeprefix(CONVERSATIONS), fact.text or "") for key, fact in facts.items()}
    named |= set(default_names(into))
    rows = []
    for key, fact in facts.items():
        is_conversation = key.startswith(CONVERSATIONS)
        carried = is_java_uuid(key.removeprefix(CONVERSATIONS)) if is_conversation else not fact.own
        if not carried or not fact.text or fact.text in named:
            continue
        held = facts_there.get(key)
        if key == DISPLAY_NAME:
            is_free = own_name(into) is None and (held is None or held.own or held.text in named)
        else:
            is_free = key not in there and held is None
        if is_free:
            rows.append(AiryWrite(contact_id=into.id, key=key, value=fact.text, timestamp_ms=at_ms, own=False))
    return rows


def _text(contact: Contact, name: str) -> str | None:
    value = contact.metadata.get(name)
    return value if isinstance(value, str) else None


def _verified(value: Email | PhoneNumber | None) -> str | None:
    return value.value if value is not None and value.verified else None


def _conversations(contact: Contact) -> list[ContactConversation]:
    return [each for each in contact.conversations if is_java_uuid(each.id)]
