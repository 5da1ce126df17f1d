"""A contact as an answer shows it.

- E-mail and phone number are shown although unverified; `unverified` lists which, in rank order.
- Display name and avatar are Airy's where it has them (`airy_facts`), else, like the other names, the string metadata
  keys of that name, else null.
- A person whom a dry run would create has neither id nor times.
"""

from airy_identify.core.airy_facts import NO_NAMES, AiryNames
from airy_identify.core.answers import ContactView
from airy_identify.core.values import EMAIL, PHONE_NUMBER, Contact


def view_contact(contact: Contact, *, names: AiryNames = NO_NAMES, exists: bool = True) -> ContactView:
    """Return what an answer says of a contact; without `exists` it is a person yet to be made."""
    reachable = ((EMAIL, contact.email), (PHONE_NUMBER, contact.phone_number))
    return ContactView(
        id=contact.id if exists else None,
        external_id=contact.external_id,
        email=contact.email.value if contact.email else None,
        phone_number=contact.phone_number.value if contact.phone_number else None,
        identifiers=contact.identifiers,
        display_name=names.display_name or _text(contact, "display_name"),
        first_name=_text(contact, "first_name"),
        last_name=_text(contact, "last_name"),
        avatar_url=names.avatar_url or _text(contact, "avatar_url"),
        metadata=contact.metadata,
        unverified=tuple(kind for kind, value in reachable if value and not value.verified),
        created_at_ms=contact.created_at_ms if exists else None,
        updated_at_ms=contact.updated_at_ms if exists else None,
    )


def _text(contact: Contact, name: str) -> str | None:
    value = contact.metadata.get(name)
    return value if isinstance(value, str) else None
