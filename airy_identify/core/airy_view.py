"""The table with Airy's contacts in it: as the rules see it, who lives in Airy only is a contact like any other.

- A contact of Airy is shown as long as it is not ours: it lives, its id is neither that of a contact here nor an alias
  nor forgotten, and Airy has not merged it into a living one.
- It has the identifiers that nobody here holds, as far as it is the oldest shown contact that claims them: the earlier
  `created_at`, then the smaller id. They count as verified. Its aliases are the contacts that Airy merged into it.
- The first command that changes it, or an identify that finds it, makes it ours, under Airy's id. From then on our log
  speaks: what Airy's rows say of its identifiers later changes nothing.
- Conversations follow as long as they are nobody's here: a contact, ours or not, has the chat-plugin conversations of
  its ids in Airy whose channel is known. Of several that claim one, the oldest has it, but rather one that Airy did not
  make for this very conversation.

Nothing here is written before a decision touches it, so the order of Airy's rows cannot matter.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from airy_identify.core.airy_facts import (
    CHAT_PLUGIN,
    CONVERSATION,
    MERGED,
    age,
    claimants,
    claimed,
    conversations_of,
    created_at,
    merged_into,
    read_facts,
)
from airy_identify.core.contacts import IdentityReader, all_ids
from airy_identify.core.ids import from_name
from airy_identify.core.index import write_contacts
from airy_identify.core.merging import CONVERSATIONS_MAX
from airy_identify.core.values import (
    EMAIL,
    EXTERNAL_ID,
    PHONE_NUMBER,
    AiryContact,
    AiryContactKey,
    AiryKey,
    AiryRow,
    AliasKey,
    Contact,
    ContactConversation,
    ContactId,
    ContactKey,
    ConversationId,
    ConversationOwnerKey,
    Forgotten,
    IdentifierKey,
    IdentityKey,
    IdentityRow,
    IdentityWrite,
    JournalKey,
    Merged,
    Owner,
    SeenConversation,
    SeenConversationKey,
    TenantId,
)


class AiryView:
    """Reads a table for one command of one tenant, and tells which rows make the contacts shown ours."""

    def __init__(self, table: IdentityReader, tenant: TenantId) -> None:
        self._table = table
        self._tenant = tenant
        self._airys: dict[AiryKey, AiryRow | None] = {}
        self._shown: dict[ContactId, tuple[Contact | None, Contact]] = {}
        """Contacts that are shown otherwise than they are stored: how they are stored, and how shown."""

    def contact(self, key: ContactKey, /) -> Contact | Forgotten | None:
        """Return a contact by its id, one of Airy too."""
        if key.contact_id in self._shown:
            return self._shown[key.contact_id][1]
        stored = self._table.contact(key)
        if isinstance(stored, Forgotten):
            return stored
        shown = self._of_airy(key.contact_id) if stored is None else self._with_conversations(stored)
        if shown is not None and shown is not stored:
            self._shown[key.contact_id] = (stored, shown)
        return shown

    def is_stored(self, key: ContactKey, /) -> bool:
        """Tell whether a contact has a row here, and does not live in Airy only."""
        return self._table.is_stored(key)

    def owner(self, key: IdentifierKey | AliasKey | ConversationOwnerKey, /) -> Owner | Forgotten | None:
        """Return who holds an identifier, an alias or a conversation, or who claims it in Airy."""
        held = self._table.owner(key)
        if held is not None:
            return held
        if isinstance(key, AliasKey):
            return self._alias_owner(key.contact_id)
        claimant = self._claimant(key.kind, key.value) if isinstance(key, IdentifierKey) else None
        return None if claimant is None else Owner(contact_id=claimant.id)

    def journal(self, key: JournalKey, /) -> Merged | None:
        """Return a merge."""
        return self._table.journal(key)

    def airy(self, key: AiryKey, /) -> AiryRow | None:
        """Return what is known from Airy; what was read of a contact once is not read again."""
        if not isinstance(key, AiryContactKey):
            return self._table.airy(key)
        if key not in self._airys:
            self._airys[key] = self._table.airy(key)
        return self._airys[key]

    def complete(
        self, writes: Iterable[IdentityWrite], *, made_ours: frozenset[ContactId]
    ) -> tuple[IdentityWrite, ...]:
        """Return the writes of a decision with what makes those shown contacts ours that it changes, or names."""
        decided: dict[IdentityKey, IdentityRow | None] = dict(writes)
        first: dict[IdentityKey, IdentityRow | None] = {}
        for contact_id, (stored, shown) in self._shown.items():
            own_key = ContactKey(tenant=self._tenant, contact_id=contact_id)
            if own_key not in decided and contact_id not in made_ours:
                continue
            for key, row in write_contacts(self._tenant, ((stored, shown),)):
                if key not in decided:
                    first[key] = row
                elif decided[key] is None and (stored is None or key != own_key):
                    del decided[key]  # it was never there
            first |= dict.fromkeys(self._no_longer_seen(stored, shown))
        return (*first.items(), *decided.items())

    def absorber(self, contact_id: ContactId) -> AiryContact | None:
        """Return the living contact of Airy into which Airy merged this one, the oldest of several."""
        own = read_facts(self, self._tenant, contact_id)
        named = set() if own is None else {source.id for source in merged_into(own)}
        return self._oldest(MERGED, contact_id, lambda other: other.id != contact_id and other.id not in named)

    def _of_airy(self, contact_id: ContactId) -> Contact | None:
        airys = read_facts(self, self._tenant, contact_id)
        if airys is None or not self._is_shown(airys):
            return None
        wanted = claimed(airys)
        mine = {(each.kind, each.value) for each in wanted.identifiers() if self._is_mine(airys, each.kind, each.value)}
        external_ids = tuple(value for value in wanted.external_ids if (EXTERNAL_ID, value) in mine)
        email, phone_number = wanted.email, wanted.phone_number
        at_ms = created_at(airys) or 0
        contact = Contact(
            id=contact_id,
            created_at_ms=at_ms,
            updated_at_ms=at_ms,
            known=bool(mine),
            external_id=external_ids[0] if external_ids else None,
            former_external_ids=external_ids[1:],
            email=email if email is not None and (EMAIL, email.value) in mine else None,
            phone_number=phone_number if phone_number and (PHONE_NUMBER, phone_number.key) in mine else None,
            aliases=self._aliases(airys),
        )
        return self._with_conversations(contact)

    def _is_shown(self, airys: AiryContact) -> bool:
        return created_at(airys) is not None and not self._is_known(airys.id) and self.absorber(airys.id) is None

    def _is_known(self, contact_id: ContactId) -> bool:
        """Tell whether an id is that of a contact here, or an alias, or was forgotten."""
        return (
            self._table.contact(ContactKey(tenant=self._tenant, contact_id=contact_id)) is not None
            or self._table.owner(AliasKey(tenant=self._tenant, contact_id=contact_id)) is not None
        )

    def _is_mine(self, airys: AiryContact, kind: str, value: str) -> bool:
        if self._table.owner(IdentifierKey(tenant=self._tenant, kind=kind, value=value)) is not None:
            return False
        return self._claimant(kind, value) == airys

    def _claimant(self, kind: str, value: str) -> AiryContact | None:
        def may(airys: AiryContact) -> bool:
            found = {(each.kind, each.value) for each in claimed(airys).identifiers()}
            return (kind, value) in found and self._is_shown(airys)

        return self._oldest(kind, value, may)

    def _oldest(self, kind: str, value: str, may: Callable[[AiryContact], bool]) -> AiryContact | None:
        oldest: AiryContact | None = None
        for contact_id in claimants(self._table, self._tenant, kind, value):
            airys = read_facts(self, self._tenant, contact_id)
            if airys is None or created_at(airys) is None or not may(airys):
                continue
            if oldest is None or age(airys) < age(oldest):
                oldest = airys
        return oldest

    def _aliases(self, airys: AiryContact) -> tuple[ContactId, ...]:
        source_ids = dict.fromkeys(source.id for source in merged_into(airys))
        return tuple(each for each in source_ids if not self._is_known(each) and self.absorber(each) == airys)

    def _alias_owner(self, contact_id: ContactId) -> Owner | None:
        into = self.absorber(contact_id)
        if into is None:
            return None
        contact = self.contact(ContactKey(tenant=self._tenant, contact_id=into.id))
        is_alias = isinstance(contact, Contact) and contact_id in contact.aliases
        return Owner(contact_id=into.id) if is_alias else None

    def _with_conversations(self, contact: Contact) -> Contact:
        """Return the contact with those of its ids' conversations in Airy that are nobody's, the same if there are none."""
        held = {conversation.id for conversation in contact.conversations}
        ids = all_ids(contact)
        found: dict[ConversationId, ContactConversation] = {}
        for contact_id in ids:
            airys = read_facts(self, self._tenant, contact_id)
            if airys is None or created_at(airys) is None:
                continue
            for conversation_id, source in conversations_of(airys):
                if source == CHAT_PLUGIN and conversation_id not in held and conversation_id not in found:
                    conversation = self._free_conversation(conversation_id, ids)
                    if conversation is not None:
                        found[conversation_id] = conversation
        if not found:
            return contact
        new = sorted(found.values(), key=lambda each: (each.created_at_ms, each.id))
        return replace(contact, conversations=(*contact.conversations, *new)[: max(CONVERSATIONS_MAX, len(held))])

    def _free_conversation(
        self, conversation_id: ConversationId, ids: tuple[ContactId, ...]
    ) -> ContactConversation | None:
        owner_key = ConversationOwnerKey(tenant=self._tenant, conversation_id=conversation_id)
        if self._table.owner(owner_key) is not None:
            return None
        seen = self._table.airy(SeenConversationKey(tenant=self._tenant, conversation_id=conversation_id))
        if not isinstance(seen, SeenConversation):
            return None
        made_for_it = from_name(conversation_id)
        claimant = self._oldest(CONVERSATION, conversation_id, lambda airys: airys.id != made_for_it)
        claimant = claimant or self._oldest(CONVERSATION, conversation_id, lambda _: True)
        if claimant is None or claimant.id not in ids:
            return None
        return ContactConversation(
            id=conversation_id, channel_id=seen.channel_id, source=seen.source, created_at_ms=seen.created_at_ms
        )

    def _no_longer_seen(self, stored: Contact | None, shown: Contact) -> list[SeenConversationKey]:
        """Return the rows that are of no use any more, since an owner's row says more."""
        had = () if stored is None else stored.conversations
        return [
            SeenConversationKey(tenant=self._tenant, conversation_id=conversation.id)
            for conversation in shown.conversations[len(had) :]
        ]
