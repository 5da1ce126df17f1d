"""Fakes of the tables that the rules read."""

from airy_identify.core.commands import Identify
from airy_identify.core.identify import Decision, identify
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import (
    AliasKey,
    Contact,
    ContactKey,
    ConversationOwnerKey,
    IdentifierKey,
    IdentityKey,
    IdentityRow,
    Owner,
    TenantId,
)
from tests.builders import TENANT


class InMemoryIdentityTable:
    """The table `contact-identity` as a dict."""

    def __init__(self) -> None:
        self.rows: dict[IdentityKey, IdentityRow] = {}

    def contact(self, key: ContactKey, /) -> Contact | None:
        row = self.rows.get(key)
        assert row is None or isinstance(row, Contact)
        return row

    def owner(self, key: IdentifierKey | AliasKey | ConversationOwnerKey, /) -> Owner | None:
        row = self.rows.get(key)
        assert row is None or isinstance(row, Owner)
        return row

    def apply(self, command: Identify) -> Decision | Rejected:
        """Decide a command and write what it says."""
        decision = identify(command, self)
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
