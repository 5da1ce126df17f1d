"""Fakes of the tables that the rules read."""

from airy_identify.core.answers import Decision
from airy_identify.core.commands import Command
from airy_identify.core.decide import decide
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import (
    AiryKey,
    AiryRow,
    AliasKey,
    Contact,
    ContactKey,
    ConversationOwnerKey,
    Forgotten,
    IdentifierKey,
    IdentityKey,
    IdentityRow,
    JournalKey,
    Merged,
    Owner,
    TenantId,
)
from tests.builders import TENANT


class InMemoryIdentityTable:
    """The table `contact-identity` as a dict. `offset` is the place in the log of the next command."""

    def __init__(self) -> None:
        self.rows: dict[IdentityKey, IdentityRow] = {}
        self.offset = 0

    def contact(self, key: ContactKey, /) -> Contact | Forgotten | None:
        row = self.rows.get(key)
        assert row is None or isinstance(row, Contact | Forgotten)
        return row

    def owner(self, key: IdentifierKey | AliasKey | ConversationOwnerKey, /) -> Owner | Forgotten | None:
        row = self.rows.get(key)
        assert row is None or isinstance(row, Owner | Forgotten)
        return row

    def journal(self, key: JournalKey, /) -> Merged | None:
        row = self.rows.get(key)
        assert row is None or isinstance(row, Merged)
        return row

    def is_stored(self, key: ContactKey, /) -> bool:
        return key in self.rows

    def airy(self, key: AiryKey, /) -> AiryRow | None:
        row = self.rows.get(key)
        assert row is None or isinstance(row, AiryRow)
        return row

    def apply(self, command: Command) -> Decision | Rejected:
        """Decide a command and write what it says."""
        decision = decide(command, self, offset=self.offset)
        self.offset += 1
        if isinstance(decision, Decision):
            assert len({key for key, _ in decision.writes}) == len(decision.writes), "a key is written twice"
            for key, row in decision.writes:
                if row is None:
                    del self.rows[key]
                else:
                    self.rows[key] = row
        return decision

    @property
    def contacts(self) -> list[Contact]:
        return [row for row in self.rows.values() if isinstance(row, Contact)]

    def holder(self, kind: str, value: str, tenant: TenantId = TENANT) -> str | None:
        """Return the id of the contact that an identifier belongs to."""
        for key, row in self.rows.items():
            if isinstance(key, IdentifierKey) and (key.tenant, key.kind, key.value) == (tenant, kind, value):
                assert isinstance(row, Owner)
                return row.contact_id
        return None


def make_table(*contacts: Contact, tenant: TenantId = TENANT) -> InMemoryIdentityTable:
    """Return a table that holds these contacts, indexed."""
    table = InMemoryIdentityTable()
    rows = table.rows
    for contact in contacts:
        owner = Owner(contact_id=contact.id)
        rows[ContactKey(tenant=tenant, contact_id=contact.id)] = contact
        held = [("external_id", contact.external_id)]
        held += [("external_id", value) for value in contact.former_external_ids]
        if contact.email and contact.email.verified:
            held.append(("email", contact.email.value))
        if contact.phone_number and contact.phone_number.verified:
            held.append(("phone_number", contact.phone_number.key))
        held += [(custom.kind, value) for custom in contact.identifiers for value in custom.values]
        for kind, value in held:
            if value is not None:
                key = IdentifierKey(tenant=tenant, kind=kind, value=value)
                assert key not in rows, "two contacts hold one identifier"
                rows[key] = owner
        for conversation in contact.conversations:
            rows[ConversationOwnerKey(tenant=tenant, conversation_id=conversation.id)] = owner
        for alias in contact.aliases:
            rows[AliasKey(tenant=tenant, contact_id=alias)] = owner
    return table
