"""Laws of merges, checked by a ledger that is kept beside the table and knows no other rule."""

from dataclasses import dataclass

import hypothesis.strategies as st
from hypothesis.stateful import precondition, rule

from airy_identify.core.answers import ContactRestored, Decision
from airy_identify.core.commands import Command, Forget, Identify, Unmerge
from airy_identify.core.values import Contact, ContactKey, JournalKey, Merged, TenantId
from tests import builders as make
from tests.model.commands import TENANTS, CommandMachine, as_test, naming


@dataclass(frozen=True)
class MergeByRequest:
    """Who ended, as they were before the request, and all ids that the survivor had by then."""

    tenant: TenantId
    merged: Contact
    survivor_ids: frozenset[str]


class MergesOfRequests(CommandMachine):
    """`check_merge` sees each merge by a request."""

    def apply(self, command: Command) -> None:
        before = dict(self.table.rows)
        decision = self.table.apply(command)
        if not isinstance(decision, Decision):
            return
        self.note(command, decision)
        if not isinstance(command, Identify):
            return
        for key, row in decision.writes:
            if isinstance(key, JournalKey) and isinstance(row, Merged):
                merged = before[ContactKey(tenant=command.tenant, contact_id=row.merged.id)]
                survivor = before[ContactKey(tenant=command.tenant, contact_id=row.survivor.id)]
                assert isinstance(merged, Contact)
                assert isinstance(survivor, Contact)
                taken_in = row.survivor.aliases[len(survivor.aliases) :]
                survivor_ids = frozenset({survivor.id, *survivor.aliases, *taken_in})
                self.check_merge(MergeByRequest(command.tenant, merged, survivor_ids))

    def note(self, command: Command, decision: Decision) -> None:
        """Keep the ledger."""

    def check_merge(self, merge: MergeByRequest) -> None:
        """Check one merge of a request."""


class HardContactsAreMergedByCommandOnly(MergesOfRequests):
    """Whoever has an external id ends in nobody because of a request."""

    def check_merge(self, merge: MergeByRequest) -> None:
        assert merge.merged.external_id is None
        assert merge.merged.former_external_ids == ()


class SeparatedContactsAreMergedByCommandOnly(MergesOfRequests):
    """Two that an unmerge parted, and those that took them in since, never become one because of a request."""

    def __init__(self) -> None:
        super().__init__()
        self.parted: set[tuple[TenantId, str, str]] = set()

    @precondition(lambda self: any(len(self.contacts_of(tenant)) > 1 for tenant in TENANTS))
    @rule(data=st.data())
    def part_two_people(self, data: st.DataObject) -> None:
        tenant = data.draw(st.sampled_from([tenant for tenant in TENANTS if len(self.contacts_of(tenant)) > 1]))
        one, other = data.draw(st.permutations(self.contacts_of(tenant)))[:2]
        self.take(make.make_merge(one.id, other.id, tenant=tenant, **self.stamped(0)))
        self.take(make.make_unmerge(one.id, tenant=tenant, **self.stamped(0)))

    @precondition(lambda self: self.parted)
    @rule(data=st.data())
    def identify_with_values_of_two_who_were_parted(self, data: st.DataObject) -> None:
        """Chance alone seldom does."""
        tenant, *parted = data.draw(st.sampled_from(sorted(self.parted)))
        found = [
            contact
            for contact in self.contacts_of(tenant)
            if {contact.id, *contact.aliases} & set(parted) and self.held_by(contact, tenant)
        ]
        named = [data.draw(st.sampled_from(self.held_by(contact, tenant))) for contact in found]
        if named:
            number = len(self.log)
            fields = naming(named) | self.stamped(0) | {"tenant": tenant, "new_id": f"mark-chat-{number}~"}
            self.take(make.make_identify_command(**fields))

    def note(self, command: Command, decision: Decision) -> None:
        if isinstance(command, Unmerge) and isinstance(decision.answer, ContactRestored):
            one, other = str(decision.answer.contact.id), str(decision.answer.restored.id)
            self.parted |= {(command.tenant, one, other), (command.tenant, other, one)}
        if isinstance(command, Forget):
            gone = {key.contact_id for key, _ in decision.writes if isinstance(key, ContactKey)}
            self.parted = {pair for pair in self.parted if not gone & set(pair[1:])}

    def check_merge(self, merge: MergeByRequest) -> None:
        for one in (merge.merged.id, *merge.merged.aliases):
            for other in merge.survivor_ids:
                assert (merge.tenant, one, other) not in self.parted


TestHardContactsAreMergedByCommandOnly = as_test(HardContactsAreMergedByCommandOnly)
TestSeparatedContactsAreMergedByCommandOnly = as_test(SeparatedContactsAreMergedByCommandOnly, 80)
