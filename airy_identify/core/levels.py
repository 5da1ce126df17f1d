"""How much is known of a contact, and what follows from it.

- An external id makes a contact hard.
- Without one it is known if it has or ever had a verified e-mail, a verified phone or an external id, or came back by
  an unmerge.
- Everybody else is anonymous. Known and anonymous contacts are soft.
"""

from airy_identify.core.values import Contact, Level


def level_of(contact: Contact) -> Level:
    """Return the level of a contact, from its external id and its level mark."""
    if contact.external_id is not None:
        return Level.HARD
    return Level.KNOWN if contact.known else Level.ANONYMOUS
