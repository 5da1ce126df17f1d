"""Random commands against the naive model: rows, index, answers, duplicates, dry runs and replay."""

import dataclasses
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from airy_identify.core.commands import Identify, ResumeSlip
from airy_identify.core.identify import Decision, identify
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import AliasKey, Contact, ContactKey, ConversationOwnerKey, IdentifierKey, Owner
from tests.builders import (
    CHANNEL_ID,
    OTHER_CHANNEL_ID,
    make_custom,
    make_email,
    make_identify_command,
    make_phone_number,
)
from tests.property.naive_identity import Expected, NaiveIdentity, Person, Refused, airy_id
from tests.tables import InMemoryIdentityTable

TENANTS = ("north", "south")
PHONES = (("+5215512345678", "+525512345678"), ("+525512345678", "+525512345678"), ("+491", "+491"), ("+492", "+492"))


def sometimes(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


values = st.sampled_from("abcdefg")
emails = st.builds(make_email, st.sampled_from([f"{name}@b.cd" for name in "abcdef"]), verified=st.booleans())
phones = st.builds(
    lambda phone, verified: make_phone_number(phone[0], key=phone[1], verified=verified),
    st.sampled_from(PHONES),
    st.booleans(),
)
customs = st.dictionaries(
    st.sampled_from(["cookie", "device"]), st.lists(values, min_size=1, max_size=5), max_size=2
).map(make_custom)
leaves = st.none() | st.booleans() | st.integers(0, 1) | st.sampled_from([1.0, "x"])
patches = st.dictionaries(
    st.sampled_from("pq"),
    st.recursive(leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(values, inner, max_size=2)),
    max_size=2,
)
commands = st.fixed_dictionaries(
    {
        "tenant": st.sampled_from((*TENANTS[:1] * 4, TENANTS[1])),
        "channel_id": st.sampled_from([CHANNEL_ID, CHANNEL_ID, OTHER_CHANNEL_ID]),
        "external_id": sometimes(st.sampled_from(["u1", "u2", "u3"])),
        "email": sometimes(emails),
        "phone_number": sometimes(phones),
        "identifiers": customs,
        "metadata": sometimes(patches),
        "on_conflict": st.sampled_from(["warn", "warn", "warn", "reject"]),
        "dry_run": st.sampled_from([False, False, False, True]),
    }
)


def row_of(person: Person) -> Contact:
    """Say a person of the model as the row that the core must have written."""
    kinds: dict[str, list[str]] = {}
    for kind, value in person.custom:
        kinds.setdefault(kind, []).append(value)
    contact_id: Any = person.id
    return Contact(
        id=contact_id,
        created_at_ms=person.created,
        updated_at_ms=person.updated,
        known=person.ever_known,
        external_id=person.external_id,
        email=make_email(person.email[0], verified=person.email[1]) if person.email else None,
        phone_number=make_phone_number(person.phone[0], key=person.phone[1], verified=person.phone[2])
        if person.phone
        else None,
        identifiers=make_custom(kinds),
        metadata=person.metadata,
    )


class IdentifyRules(RuleBasedStateMachine):
    """The core and the naive model, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.table = InMemoryIdentityTable()
        self.models = {tenant: NaiveIdentity() for tenant in TENANTS}
        self.log: list[Identify] = []

    @rule(over=commands, later_ms=st.integers(-2, 5))
    def ask(self, over: dict[str, Any], later_ms: int) -> None:
        number = len(self.log)
        self.compare(
            make_identify_command(**over, accepted_at_ms=1000 + 10 * number + 10 * later_ms, new_id=f"new-{number}")
        )

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def deliver_an_old_command_again(self, data: st.DataObject) -> None:
        self.compare(data.draw(st.sampled_from(self.log)))

    @precondition(lambda self: self.log)
    @rule()
    def deliver_the_last_command_again(self) -> None:
        command = self.log[-1]
        again = identify(command, self.table)
        if isinstance(again, Decision):
            assert again.writes == ()
            assert command.dry_run or not (again.slip.created_contact or again.slip.created_conversation)

    def compare(self, command: Identify) -> None:
        dry = identify(dataclasses.replace(command, dry_run=True), self.table)
        expected = self.models[command.tenant].identify(command)
        rows = dict(self.table.rows)
        decision = self.table.apply(command)
        self.log.append(command)
        if isinstance(expected, Refused):
            assert isinstance(decision, Rejected)
            assert (decision.reason, decision.field) == (expected.code, expected.field)
            assert dry == decision
            return
        assert isinstance(decision, Decision)
        assert isinstance(dry, Decision)
        assert all(rows.get(key) != row or repr(rows.get(key)) != repr(row) for key, row in decision.writes)
        self.check_answer(decision.slip, expected, dry_run=command.dry_run)
        self.check_dry_run(dry, decision.slip)

    def check_answer(self, slip: ResumeSlip, expected: Expected, *, dry_run: bool) -> None:
        row = row_of(expected.person)
        nobody = dry_run and expected.created_person
        assert slip.contact.id == (None if nobody else row.id)
        assert slip.contact.updated_at_ms == (None if nobody else row.updated_at_ms)
        assert slip.contact.external_id == row.external_id
        assert slip.contact.email == (row.email.value if row.email else None)
        assert slip.contact.phone_number == (row.phone_number.value if row.phone_number else None)
        assert slip.contact.identifiers == row.identifiers
        assert repr(slip.contact.metadata) == repr(row.metadata)
        assert (slip.created_contact, slip.created_conversation) == (expected.created_person, expected.created_chat)
        assert [warning.field for warning in slip.warnings] == expected.warnings
        assert [conversation.id for conversation in slip.pending] == expected.chats

    def check_dry_run(self, dry: Decision, slip: ResumeSlip) -> None:
        assert dry.writes == ()
        told = (dry.slip.created_contact, dry.slip.created_conversation, dry.slip.warnings)
        assert told == (slip.created_contact, slip.created_conversation, slip.warnings)
        assert dry.slip.pending == (() if slip.created_conversation else slip.pending)
        if not slip.created_contact:
            assert dry.slip.contact == slip.contact

    @invariant()
    def rows_are_those_of_the_model(self) -> None:
        wanted: dict[Any, Any] = {}
        for tenant, model in self.models.items():
            for person in model.people:
                wanted |= self.wanted_rows(tenant, person)
        held = {
            key: (repr(dataclasses.replace(row, conversations=(), aliases=())), row.conversations, row.aliases)
            if isinstance(row, Contact)
            else row
            for key, row in self.table.rows.items()
        }
        assert held.keys() == wanted.keys()
        assert {key: (row, wanted[key]) for key, row in held.items() if not self.equal(row, wanted[key])} == {}

    @staticmethod
    def equal(row: Any, wanted: Any) -> bool:
        if isinstance(row, Owner):
            return bool(row == wanted)
        chats = [(chat.id, chat.channel_id, chat.created_at_ms) for chat in row[1]]
        return bool((row[0], chats, list(row[2])) == wanted)

    @staticmethod
    def wanted_rows(tenant: Any, person: Person) -> dict[Any, Any]:
        """Return all rows that there must be for a person: itself, one owner per identifier, chat and alias."""
        contact = row_of(person)
        owner = Owner(contact_id=contact.id)
        aliases: list[Any] = [airy_id(chat[0]) for chat in person.chats if airy_id(chat[0]) != person.id]
        rows: dict[Any, Any] = {
            ContactKey(tenant=tenant, contact_id=contact.id): (repr(contact), person.chats, aliases)
        }
        held = list(person.custom)
        held += [("external_id", person.external_id)] if person.external_id else []
        held += [("email", person.email[0])] if person.email and person.email[1] else []
        held += [("phone_number", person.phone[1])] if person.phone and person.phone[2] else []
        rows |= {IdentifierKey(tenant=tenant, kind=kind, value=value): owner for kind, value in held}
        chats: list[Any] = [chat[0] for chat in person.chats]
        rows |= {ConversationOwnerKey(tenant=tenant, conversation_id=chat): owner for chat in chats}
        rows |= {AliasKey(tenant=tenant, contact_id=alias): owner for alias in aliases}
        return rows

    @invariant()
    def a_contact_has_one_conversation_a_channel(self) -> None:
        for contact in self.table.contacts:
            channels = [conversation.channel_id for conversation in contact.conversations]
            assert len(channels) == len(set(channels)) > 0

    def teardown(self) -> None:
        """Replay the log into an empty table: the same rows, to the letter."""
        replayed = InMemoryIdentityTable()
        for command in self.log:
            replayed.apply(command)
        assert {repr(key): repr(row) for key, row in replayed.rows.items()} == {
            repr(key): repr(row) for key, row in self.table.rows.items()
        }


TestIdentifyRules = IdentifyRules.TestCase
TestIdentifyRules.settings = settings(stateful_step_count=30)
