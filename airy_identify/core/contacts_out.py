"""A contact as rows of Airy's contacts topic: what has to be written there when a contact of ours changes.

Airy keeps a contact as many small records, one for each attribute (airyhq/airy, `model/contact/Contact.java` at
efa19b2b). Here is which attributes it gets from us:

- `displayName`: the name that answers show, else first and last name, else the name that Airy itself would give.
- `created_at`, as value and as timestamp, since Airy's API shows the timestamp.
- `avatarUrl`, if there is one.
- `via.external_id`, `via.email`, `via.phone`: verified values only. Nobody vouched for the others, and a value that
  Airy shows would be taken for one that somebody did.
- `conversations.<id>` of its chat-plugin conversations.

Nothing else, because Airy's delete and merge leave rows under keys that they do not know. No contact and no conversation
whose id is not a UUID as Java writes it: a row `conversations.<no UUID>` stops Airy's contacts component for good. No
empty value: it would delete the row.
"""

import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from airy_identify.core.ids import from_name
from airy_identify.core.values import Contact, ContactConversation, ContactId, Email, PhoneNumber
from airy_identify.core.view import view_contact

DISPLAY_NAME = "displayName"
CREATED_AT = "created_at"
AVATAR_URL = "avatarUrl"
VIA_EXTERNAL_ID = "via.external_id"
VIA_EMAIL = "via.email"
VIA_PHONE = "via.phone"
CONVERSATIONS = "conversations."

CHAT_PLUGIN = "chatplugin"

_SHOWN_FROM = 31
"""Airy's default names end in what is left of a conversation id from here on."""

_DEFAULT_NAME = re.compile(r"Chatplugin [0-9a-f]{5}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AiryRow:
    """One attribute of a contact on Airy's topic. `value` is null for a tombstone, whose timestamp Airy never sees."""

    contact_id: ContactId
    key: str
    value: str | None
    timestamp_ms: int

    @property
    def subject(self) -> str:
        """What Airy calls the contact."""
        return f"contact:{self.contact_id}"

    @property
    def record_key(self) -> str:
        """The key of the record: Airy's UUIDv5 of subject and key, without a namespace."""
        return from_name(self.key, namespace=self.subject)


def is_java_uuid(text: str) -> bool:
    """Tell whether this is a UUID in the one spelling that Java reads and writes back the same."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def is_default_name(name: str) -> bool:
    """Tell whether this is a name that Airy gives to a visitor of whom it knows nothing."""
    return _DEFAULT_NAME.fullmatch(name) is not None


def changed_rows(
    changes: Iterable[tuple[Contact | None, Contact | None]], *, at_ms: int, is_known: Callable[[AiryRow], bool]
) -> tuple[AiryRow, ...]:
    """Return the rows by which Airy learns of changed contacts: what goes first, then what comes.

    `changes` are contacts before and after, `None` where there is none, each contact once. `at_ms` is the time of the
    command. `is_known` tells whether Airy's topic is known to hold a row of this key: what is missing there is written
    although it did not change, so that a contact from before the setting was switched on comes to Airy whole.
    """
    gone: list[AiryRow] = []
    come: list[AiryRow] = []
    for before, after in changes:
        had, has = contact_rows(before, at_ms=at_ms), contact_rows(after, at_ms=at_ms)
        gone += [tombstone(row) for key, row in had.items() if key not in has]
        come += [row for key, row in has.items() if not _says_the_same(had.get(key), row) or not is_known(row)]
    return (*gone, *come)


def restated_row(contact: Contact, *, at_ms: int) -> AiryRow | None:
    """Return a row that makes Airy take the conversations of a contact for its own again, null where it has none.

    Airy maps a conversation to the contact of which it applied a row last, so it has to come after all rows of the
    contact that had the conversation before. One row will do for all conversations. Its timestamp differs from that of
    the row before: Airy's Kafka Streams (2.7.0) passes over a row with the bytes that it has already.
    """
    for conversation in _chat_plugin(contact):
        return AiryRow(
            contact_id=contact.id,
            key=f"{CONVERSATIONS}{conversation.id}",
            value=conversation.source,
            timestamp_ms=at_ms,
        )
    return None


def display_name(contact: Contact) -> str:
    """Return the name under which Airy shows a contact."""
    view = view_contact(contact)
    named = (view.display_name, " ".join(filter(None, (view.first_name, view.last_name))))
    for name in named:
        if name is not None and name.strip():
            return name.strip()
    for conversation in _chat_plugin(contact):
        return f"Chatplugin {conversation.id[_SHOWN_FROM:]}"
    return f"Contact {contact.id[_SHOWN_FROM:]}"


def contact_rows(contact: Contact | None, *, at_ms: int) -> dict[tuple[ContactId, str], AiryRow]:
    """Return what Airy's topic has to hold of a contact, by contact id and key. `at_ms` is the time of the rows."""
    if contact is None or not is_java_uuid(contact.id):
        return {}
    view = view_contact(contact)
    values: dict[str, str | None] = {
        DISPLAY_NAME: display_name(contact),
        CREATED_AT: str(contact.created_at_ms),
        AVATAR_URL: view.avatar_url,
        VIA_EXTERNAL_ID: contact.external_id,
        VIA_EMAIL: _verified(contact.email),
        VIA_PHONE: _verified(contact.phone_number),
    }
    values |= {f"{CONVERSATIONS}{each.id}": each.source for each in _chat_plugin(contact)}
    return {
        (contact.id, key): AiryRow(
            contact_id=contact.id,
            key=key,
            value=value.strip(),
            timestamp_ms=contact.created_at_ms if key == CREATED_AT else at_ms,
        )
        for key, value in values.items()
        if value is not None and value.strip()
    }


def tombstone(row: AiryRow) -> AiryRow:
    """Return the row that deletes a row."""
    return replace(row, value=None)


def _says_the_same(before: AiryRow | None, after: AiryRow) -> bool:
    return before is not None and before.value == after.value


def _verified(value: Email | PhoneNumber | None) -> str | None:
    return value.value if value is not None and value.verified else None


def _chat_plugin(contact: Contact) -> list[ContactConversation]:
    return [each for each in contact.conversations if each.source == CHAT_PLUGIN and is_java_uuid(each.id)]
