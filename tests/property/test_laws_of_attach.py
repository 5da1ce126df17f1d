"""Laws of the token that comes along with a request: each is a test of its own, and knows no other rule."""

import dataclasses

from airy_identify.core.answers import Decision, ResumeSlip
from airy_identify.core.commands import Command, Identify
from airy_identify.core.decide import decide
from airy_identify.core.values import Contact, ContactKey, ConversationOwnerKey, Forgotten, IdentityKey, Owner
from tests.model.commands import CommandMachine, as_test


class AKnownPersonsConversationChangesHandsByMergesOnly(CommandMachine):
    """Whoever is known or hard loses a conversation to no request but one that they end in. So it is attached once."""

    def apply(self, command: Command) -> None:
        before = dict(self.table.rows)
        decision = self.table.apply(command)
        if not isinstance(command, Identify) or not isinstance(decision, Decision):
            return
        assert isinstance(decision.slip, ResumeSlip)
        for key, row in before.items():
            if not isinstance(key, ConversationOwnerKey) or not isinstance(row, Owner):
                continue
            owner = before[ContactKey(tenant=key.tenant, contact_id=row.contact_id)]
            assert isinstance(owner, Contact)
            if owner.known or owner.external_id:
                assert self.table.rows[key] == row or owner.id in decision.slip.merged


class AConversationIsAttachedOrAWarningSaysThatItIsNot(CommandMachine):
    """After a request with a token either its conversation is the answered contact's, or the answer has the warning."""

    def apply(self, command: Command) -> None:
        decision = self.table.apply(command)
        if not isinstance(command, Identify) or command.dry_run or not isinstance(decision, Decision):
            return
        assert isinstance(decision.slip, ResumeSlip)
        warned = [warning.field for warning in decision.slip.warnings].count("attach")
        if command.attach is None:
            assert warned == 0
            return
        owner = self.table.rows.get(self.chat(command)) if command.attach.conversation_id else None
        is_theirs = isinstance(owner, Owner) and owner.contact_id == decision.slip.contact.id
        assert (is_theirs, warned) in {(True, 0), (False, 1)}

    def chat(self, command: Identify) -> IdentityKey:
        assert command.attach
        assert command.attach.conversation_id
        return ConversationOwnerKey(tenant=command.tenant, conversation_id=command.attach.conversation_id)


class AForgottenConversationIsNeverAttached(CommandMachine):
    """A marker stays a marker."""

    def apply(self, command: Command) -> None:
        forgotten = {key for key, row in self.table.rows.items() if isinstance(row, Forgotten)}
        self.table.apply(command)
        assert all(self.table.rows[key] == Forgotten() for key in forgotten)


class ATokenChoosesNobody(CommandMachine):
    """A token says where, not who: without it the same contact is found, the same ones end, the same values conflict."""

    def apply(self, command: Command) -> None:
        without: object = None
        if isinstance(command, Identify) and command.attach:
            without = decide(dataclasses.replace(command, attach=None), self.table, offset=self.table.offset)
        decision = self.table.apply(command)
        if without is None:
            return
        if not isinstance(decision, Decision) or not isinstance(without, Decision):
            assert decision == without
            return
        told, plain = decision.slip, without.slip
        assert isinstance(told, ResumeSlip)
        assert isinstance(plain, ResumeSlip)
        for name in ("created_contact", "merged", "explanation"):
            assert getattr(told, name) == getattr(plain, name)
        assert [warning for warning in told.warnings if warning.field != "attach"] == list(plain.warnings)
        contact_id = None if told.created_contact else plain.contact.id  # a new one has that of its conversation
        assert dataclasses.replace(told.contact, id=contact_id) == dataclasses.replace(plain.contact, id=contact_id)


TestAKnownPersonsConversationChangesHandsByMergesOnly = as_test(AKnownPersonsConversationChangesHandsByMergesOnly)
TestAConversationIsAttachedOrAWarningSaysThatItIsNot = as_test(AConversationIsAttachedOrAWarningSaysThatItIsNot)
TestAForgottenConversationIsNeverAttached = as_test(AForgottenConversationIsNeverAttached)
TestATokenChoosesNobody = as_test(ATokenChoosesNobody)
