"""Laws of the table `contact-identity`, after any commands: each is a test of its own, and knows no other rule."""

from collections import Counter

import hypothesis.strategies as st
from hypothesis.stateful import invariant, precondition, rule

from airy_identify.core.answers import Decision, ResumeSlip
from airy_identify.core.commands import Command, Identify
from airy_identify.core.values import (
    AliasKey,
    Contact,
    ContactKey,
    ConversationId,
    ConversationOwnerKey,
    Forgotten,
    IdentifierKey,
    Owner,
)
from tests import builders as make
from tests.model.commands import TENANTS, CommandMachine, as_test
from tests.model.translation import to_bytes
from tests.tables import InMemoryIdentityTable


class OneLiveOwnerPerIdentifier(CommandMachine):
    """No two contacts have an identifier in common, and the index says of each who has it; it says nothing else."""

    @invariant()
    def one_live_owner(self) -> None:
        for tenant in TENANTS:
            held = Counter(
                key for contact in self.contacts_of(tenant) for key in dict.fromkeys(identifiers_of(contact))
            )
            assert all(count == 1 for count in held.values())
            indexed = {
                (key.kind, key.value): row
                for key, row in self.table.rows.items()
                if isinstance(key, IdentifierKey) and key.tenant == tenant
            }
            assert indexed == {
                key: Owner(contact_id=contact.id)
                for contact in self.contacts_of(tenant)
                for key in identifiers_of(contact)
            }


class EveryAliasEndsAtALiveContactInOneHop(CommandMachine):
    """An alias leads to a live contact that has it, or to nothing but a marker; it is never a contact itself."""

    @invariant()
    def one_hop(self) -> None:
        aliases = {key: row for key, row in self.table.rows.items() if isinstance(key, AliasKey)}
        for key, row in aliases.items():
            own = self.table.rows.get(ContactKey(tenant=key.tenant, contact_id=key.contact_id))
            assert own is None
            if isinstance(row, Owner):
                contact = self.table.rows[ContactKey(tenant=key.tenant, contact_id=row.contact_id)]
                assert isinstance(contact, Contact)
                assert key.contact_id in contact.aliases
            else:
                assert row == Forgotten()
        for tenant in TENANTS:
            for contact in self.contacts_of(tenant):
                assert len(set(contact.aliases)) == len(contact.aliases)
                for alias in contact.aliases:
                    assert aliases[AliasKey(tenant=tenant, contact_id=alias)] == Owner(contact_id=contact.id)

    def apply(self, command: Command) -> None:
        """Nobody who was there ceases to be found, by whichever id."""
        before = self.reachable()
        super().apply(command)
        assert before <= self.reachable()

    def reachable(self) -> set[tuple[str, str]]:
        return {(key.tenant, key.contact_id) for key in self.table.rows if isinstance(key, ContactKey | AliasKey)}


class EveryConversationHasOneOwner(CommandMachine):
    """A conversation belongs to one contact for as long as that is not forgotten, and then to nobody for ever."""

    @invariant()
    def one_owner(self) -> None:
        for tenant in TENANTS:
            chats = Counter(chat.id for contact in self.contacts_of(tenant) for chat in contact.conversations)
            assert all(count == 1 for count in chats.values())
            owners = {
                key.conversation_id: row
                for key, row in self.table.rows.items()
                if isinstance(key, ConversationOwnerKey) and key.tenant == tenant
            }
            assert {chat: row for chat, row in owners.items() if row != Forgotten()} == {
                chat.id: Owner(contact_id=contact.id)
                for contact in self.contacts_of(tenant)
                for chat in contact.conversations
            }

    def apply(self, command: Command) -> None:
        """No conversation is ever lost."""
        before = self.owned()
        super().apply(command)
        assert before <= self.owned()

    def owned(self) -> set[tuple[str, str]]:
        return {(key.tenant, key.conversation_id) for key in self.table.rows if isinstance(key, ConversationOwnerKey)}


class ReplayGivesTheSameBytes(CommandMachine):
    """The same log gives the same rows, and the same decisions, byte for byte."""

    def teardown(self) -> None:
        replayed = InMemoryIdentityTable()
        for command in self.log:
            replayed.apply(command)
        assert to_bytes(replayed) == to_bytes(self.table)


class ADuplicateChangesNothing(CommandMachine):
    """A command that the log holds twice in a row changes no row the second time."""

    def apply(self, command: Command) -> None:
        super().apply(command)
        before = to_bytes(self.table)
        again = self.table.apply(command)
        assert to_bytes(self.table) == before
        assert not isinstance(again, Decision) or again.writes == ()


class ARepeatedRequestFindsTheSame(CommandMachine):
    """A request with another request id, later, finds the same contact and conversations, whatever its warnings."""

    def apply(self, command: Command) -> None:
        first = self.table.apply(command)
        if not isinstance(command, Identify) or command.dry_run or not isinstance(first, Decision):
            return
        fresh = {"request_id": f"{command.request_id}-again", "new_id": ConversationId(f"{command.new_id}-again")}
        accepted_at_ms = command.accepted_at_ms + 5
        again = self.table.apply(make.make_again(command, accepted_at_ms=accepted_at_ms, **fresh))
        assert isinstance(again, Decision)
        assert isinstance(first.slip, ResumeSlip)
        assert isinstance(again.slip, ResumeSlip)
        assert again.slip.contact == first.slip.contact
        assert again.slip.pending == first.slip.pending
        assert (again.slip.created_contact, again.slip.created_conversation, again.slip.merged) == (False, False, ())


class MergeThenUnmergeOfUntouchedContactsIsByteIdentical(CommandMachine):
    """All rows are as before, byte for byte, separations and level marks aside. Whoever comes back is known.

    A third contact may come and go between: that touches neither of the two.
    """

    @precondition(lambda self: any(len(self.contacts_of(tenant)) > 1 for tenant in TENANTS))
    @rule(data=st.data())
    def merge_and_unmerge(self, data: st.DataObject) -> None:
        tenant = data.draw(st.sampled_from([tenant for tenant in TENANTS if len(self.contacts_of(tenant)) > 1]))
        people = data.draw(st.permutations(self.contacts_of(tenant)))
        table = InMemoryIdentityTable()
        table.rows = dict(self.table.rows)
        before = bytes_apart_from_marks(table)
        stamped = {"tenant": tenant, "accepted_at_ms": 5000}
        table.apply(make.make_merge(people[0].id, people[1].id, **stamped))
        if len(people) > 2 and data.draw(st.booleans()):
            table.apply(make.make_merge(people[2].id, people[1].id, **stamped))
            table.apply(make.make_unmerge(people[2].id, **stamped))
        undone = table.apply(make.make_unmerge(people[0].id, **stamped))
        assert isinstance(undone, Decision), undone
        assert bytes_apart_from_marks(table) == before
        restored = table.rows[ContactKey(tenant=tenant, contact_id=people[0].id)]
        assert isinstance(restored, Contact)
        assert restored.known


def identifiers_of(contact: Contact) -> list[tuple[str, str]]:
    """Return what must be indexed of a contact."""
    held = [("external_id", value) for value in (contact.external_id, *contact.former_external_ids) if value]
    if contact.email and contact.email.verified:
        held.append(("email", contact.email.value))
    if contact.phone_number and contact.phone_number.verified:
        held.append(("phone_number", contact.phone_number.key))
    return held + [(custom.kind, value) for custom in contact.identifiers for value in custom.values]


def bytes_apart_from_marks(table: InMemoryIdentityTable) -> dict[bytes, bytes]:
    plain = InMemoryIdentityTable()
    for key, row in table.rows.items():
        plain.rows[key] = make.make_again(row, known=True, separations=()) if isinstance(row, Contact) else row
    return to_bytes(plain)


TestOneLiveOwnerPerIdentifier = as_test(OneLiveOwnerPerIdentifier)
TestEveryAliasEndsAtALiveContactInOneHop = as_test(EveryAliasEndsAtALiveContactInOneHop)
TestEveryConversationHasOneOwner = as_test(EveryConversationHasOneOwner)
TestReplayGivesTheSameBytes = as_test(ReplayGivesTheSameBytes)
TestADuplicateChangesNothing = as_test(ADuplicateChangesNothing)
TestARepeatedRequestFindsTheSame = as_test(ARepeatedRequestFindsTheSame)
TestMergeThenUnmergeOfUntouchedContactsIsByteIdentical = as_test(MergeThenUnmergeOfUntouchedContactsIsByteIdentical)
