"""Random commands for the core and the naive model, side by side: everything they say and keep must be the same."""

import dataclasses
from typing import Any, assert_never

import pytest
from hypothesis.stateful import invariant

from airy_identify.core import attach, custom_kinds, merging, metadata
from airy_identify.core.answers import (
    ContactChanged,
    ContactForgotten,
    ContactRestored,
    Decision,
    ResumeSlip,
    TokenSlip,
)
from airy_identify.core.commands import Command, Forget, GiveResumeToken, Identify, Info, Merge, Release, Unmerge
from airy_identify.core.decide import decide
from airy_identify.core.reasons import Rejected
from tests.model.commands import TENANTS, CommandMachine
from tests.model.naive_identify import Expected
from tests.model.people import Limits, People, Person, Refused
from tests.model.translation import ask_model, plain, same, view_of, wanted_rows


class IdentityRules(CommandMachine):
    """The core and the naive model, side by side."""

    limits = Limits()

    def __init__(self) -> None:
        super().__init__()
        self.models = {tenant: People(self.limits) for tenant in TENANTS}

    def apply(self, command: Command) -> None:
        rows = dict(self.table.rows)
        offset = self.table.offset
        dry = None
        if isinstance(command, Identify):
            dry = decide(dataclasses.replace(command, dry_run=True), self.table, offset=offset)
        expected = ask_model(self.models[command.tenant], command, offset)
        decision = self.table.apply(command)
        if isinstance(expected, Refused):
            assert isinstance(decision, Rejected)
            assert (decision.reason, decision.field) == (expected.code, expected.field)
            assert self.table.rows == rows
        else:
            assert isinstance(decision, Decision), decision
            for key, row in decision.writes:
                changed = key not in rows or row is None or plain(rows[key]) != plain(row)
                assert changed, ("a row is written that did not change", key)
            check(command, decision, expected)
        if dry is not None:
            check_dry_run(dry, decision)

    # What holds at any time

    @invariant()
    def rows_are_those_of_the_model(self) -> None:
        wanted: dict[Any, Any] = {}
        for tenant, model in self.models.items():
            wanted |= wanted_rows(tenant, model)
        held = {key: plain(row) for key, row in self.table.rows.items()}
        expected = {key: plain(row) for key, row in wanted.items()}
        assert held.keys() == expected.keys()
        differing = [key for key in held if held[key] != expected[key]]
        assert not differing, [(key, self.table.rows[key], wanted[key]) for key in differing]

    @invariant()
    def a_contact_that_was_never_merged_has_one_conversation_a_channel(self) -> None:
        """Besides those that a token brought."""
        brought = {
            command.attach.conversation_id for command in self.log if isinstance(command, Identify) and command.attach
        }
        for contact in self.table.contacts:
            if not contact.merge_count:
                minted = [conversation for conversation in contact.conversations if conversation.id not in brought]
                channels = [conversation.channel_id for conversation in minted]
                assert len(channels) == len(set(channels))


class IdentityRulesWithSmallLimits(IdentityRules):
    """The same where contacts soon grow too large to merge, so that the limits matter."""

    limits = Limits(chats=3, aliases=3, metadata_bytes=45, kinds=2)

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for module in (merging, attach):
            self.patch.setattr(module, "CONVERSATIONS_MAX", self.limits.chats)
            self.patch.setattr(module, "ALIASES_MAX", self.limits.aliases)
        for module in (merging, metadata):
            self.patch.setattr(module, "METADATA_BYTES_MAX", self.limits.metadata_bytes)
        for module in (merging, custom_kinds):
            self.patch.setattr(module, "KINDS_MAX", self.limits.kinds)

    def teardown(self) -> None:
        self.patch.undo()


def check(command: Command, decision: Decision, expected: Any) -> None:
    """Compare what a command was answered."""
    match command:
        case Identify():
            check_identified(command, decision, expected)
        case Merge() | Release():
            assert isinstance(decision.answer, ContactChanged)
            assert decision.answer.request_id == command.request_id
            assert same(decision.answer.contact, view_of(expected))
        case Unmerge():
            assert isinstance(decision.answer, ContactRestored)
            survivor, restored = expected
            assert decision.answer.request_id == command.request_id
            assert same(decision.answer.contact, view_of(survivor))
            assert same(decision.answer.restored, view_of(restored))
        case Forget():
            assert decision.answer == ContactForgotten(request_id=command.request_id)
        case Info():
            check_info(command, decision, expected)
        case GiveResumeToken():
            assert isinstance(decision.slip, TokenSlip)
            asked = (command.conversation_id, command.channel_id)
            assert (decision.slip.conversation_id, decision.slip.channel_id) == asked
            assert decision.slip.owned is expected
        case _:
            assert_never(command)
    assert list(decision.forgotten) == (expected if isinstance(command, Forget) else [])


def check_identified(command: Identify, decision: Decision, expected: Expected) -> None:
    slip = decision.slip
    assert isinstance(slip, ResumeSlip)
    view = view_of(expected.person)
    if command.dry_run and expected.created_person:
        view = dataclasses.replace(view, id=None, created_at_ms=None, updated_at_ms=None)
    assert same(slip.contact, view), (slip.contact, view)
    assert (slip.request_id, slip.tenant, slip.dry_run) == (command.request_id, command.tenant, command.dry_run)
    assert (slip.created_contact, slip.created_conversation) == (expected.created_person, expected.created_chat)
    assert (slip.minted is not None) == (expected.created_chat and not command.dry_run)
    assert slip.minted is None or [slip.minted] == expected.chats
    assert [warning.field for warning in slip.warnings] == expected.warnings
    assert [conversation.id for conversation in slip.pending] == expected.chats
    assert list(slip.merged) == expected.merged
    explanation = slip.explanation
    assert explanation is not None
    assert (explanation.target, explanation.by) == (expected.target, expected.by)
    assert [(key.field, key.level, key.outcome) for key in explanation.keys] == expected.keys


def check_info(command: Info, decision: Decision, person: Person) -> None:
    assert decision.writes == ()
    slip = decision.slip
    assert isinstance(slip, ResumeSlip)
    assert (slip.request_id, slip.tenant) == (command.request_id, command.tenant)
    assert same(slip.contact, view_of(person))
    wanted = sorted((-chat[2], chat[0]) for chat in person.chats)
    assert [conversation.id for conversation in slip.pending] == [chat_id for _, chat_id in wanted]
    assert slip.details is not None
    assert list(slip.details.aliases) == person.aliases
    records = person.journal[::-1]
    for entry, record in zip(slip.details.journal, records, strict=True):
        assert (entry.merged_id, entry.into_id, entry.why) == (record.merged.id, record.survivor.id, record.why)
        assert (entry.offset, entry.merged_at_ms, entry.request_id) == (record.offset, record.at, record.request_id)
        assert entry.survivor_before == view_of(record.survivor)
        assert entry.merged_before == view_of(record.merged)


def check_dry_run(dry: Decision | Rejected, decision: Decision | Rejected) -> None:
    """Check that a dry run of the same command says the same, and writes nothing."""
    if isinstance(decision, Rejected) or isinstance(dry, Rejected):
        assert dry == decision
        return
    told, slip = dry.slip, decision.slip
    assert isinstance(told, ResumeSlip)
    assert isinstance(slip, ResumeSlip)
    assert (dry.writes, dry.forgotten, told.minted) == ((), (), None)
    for name in ("created_contact", "created_conversation", "merged", "warnings", "explanation"):
        assert getattr(told, name) == getattr(slip, name)
    assert told.pending == (() if slip.created_conversation else slip.pending)
    if not slip.created_contact:
        assert same(told.contact, slip.contact)
