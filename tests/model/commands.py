"""Random commands from small pools of values, applied to a table; what is checked of them is up to the subclasses."""

import os
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from airy_identify.core.commands import Command
from airy_identify.core.values import (
    Contact,
    ContactConversation,
    ContactKey,
    Identifier,
    IdentifierKey,
    JournalKey,
    Merged,
    Owner,
    TenantId,
)
from tests import builders as make
from tests.tables import InMemoryIdentityTable

LAW_SEQUENCES = int(os.environ.get("LAW_SEQUENCES", "40"))
"""How many sequences of commands each law is tried with."""
TENANTS = (TenantId("north"), TenantId("south"))
CHANNELS = (make.CHANNEL_ID, make.OTHER_CHANNEL_ID)
KINDS = ("app", "cookie", "device")
TEXTS: dict[str, list[str]] = {
    "external_id": [f"mark-external-{n}~" for n in "123"],
    "email": [f"mark-email-{n}~" for n in "1234"],
    "phone_number": [f"mark-phone-{n}~" for n in "123"],
    **{kind: [f"mark-{kind}-{n}~" for n in "1234567"] for kind in KINDS},
}
"""Every text that may be somebody's begins and ends in a way that is found in any bytes."""
PHONES = (
    (f"spelled {TEXTS['phone_number'][0]}", TEXTS["phone_number"][0]),
    *((key, key) for key in TEXTS["phone_number"]),
)


def sometimes(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


tenants = st.sampled_from((*TENANTS[:1] * 4, TENANTS[1]))
letters = st.sampled_from("abc")
verified = st.sampled_from([True, True, False])
emails = st.builds(lambda value, sure: make.make_email(value, verified=sure), st.sampled_from(TEXTS["email"]), verified)
phones = st.builds(
    lambda phone, sure: make.make_phone_number(phone[0], key=phone[1], verified=sure), st.sampled_from(PHONES), verified
)
customs = (
    st.lists(st.sampled_from(KINDS), max_size=2, unique=True)
    .flatmap(
        lambda kinds: st.fixed_dictionaries(
            {kind: st.lists(st.sampled_from(TEXTS[kind]), min_size=1, max_size=5) for kind in kinds}
        )
    )
    .map(make.make_custom)
)
leaves = st.none() | st.booleans() | st.integers(0, 1) | st.sampled_from([1.0, "x"])
patches = st.dictionaries(
    st.sampled_from("pqr"),
    st.recursive(leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(letters, inner, max_size=2)),
    max_size=2,
)
asked = st.fixed_dictionaries(
    {
        "tenant": tenants,
        "channel_id": st.sampled_from([CHANNELS[0], CHANNELS[0], CHANNELS[1]]),
        "external_id": sometimes(st.sampled_from(TEXTS["external_id"])),
        "email": sometimes(emails),
        "phone_number": sometimes(phones),
        "identifiers": customs,
        "metadata": sometimes(patches),
        "token": st.sampled_from(["none", "none", "none", "none", "refused", "new", "old", "old"]),
        "on_conflict": st.sampled_from(["warn", "warn", "warn", "reject"]),
        "dry_run": st.sampled_from([False, False, False, True]),
        "explain": st.just(value=True),
    }
)
identifiers = st.sampled_from([(kind, value) for kind, values in TEXTS.items() for value in values])


def naming(identifiers: list[Identifier]) -> dict[str, Any]:
    """Return the fields of a request that names these; of several of one built-in kind the last."""
    fields: dict[str, Any] = {}
    custom: dict[str, list[str]] = {}
    for identifier in identifiers:
        if identifier.kind == "external_id":
            fields["external_id"] = identifier.value
        elif identifier.kind == "email":
            fields["email"] = make.make_email(identifier.value)
        elif identifier.kind == "phone_number":
            fields["phone_number"] = make.make_phone_number(identifier.value)
        else:
            custom.setdefault(identifier.kind, []).append(identifier.value)
            fields["identifiers"] = make.make_custom(custom)
    return fields


def as_test(machine: type[RuleBasedStateMachine], max_examples: int = LAW_SEQUENCES, steps: int = 25) -> Any:
    """Return the test case of a machine, which tries so many sequences of so many commands."""
    test = machine.TestCase
    test.settings = settings(
        max_examples=max_examples,
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    return test


class CommandMachine(RuleBasedStateMachine):
    """Draws commands; `apply` decides them. `log` has all of them, `ids` and `chats` everything that ever was one."""

    def __init__(self) -> None:
        super().__init__()
        self.table = InMemoryIdentityTable()
        self.log: list[Command] = []
        self.ids: list[str] = ["nobody"]
        self.chats: list[str] = ["mark-own-0~"]

    def apply(self, command: Command) -> None:
        """Decide a command and write what it says; subclasses check it here."""
        self.table.apply(command)

    def take(self, command: Command) -> None:
        self.apply(command)
        self.log.append(command)
        for contact in self.table.contacts:
            self.ids += [each for each in (contact.id, *contact.aliases) if each not in self.ids]
            self.chats += [chat.id for chat in contact.conversations if chat.id not in self.chats]

    # What there is

    def contacts_of(self, tenant: TenantId) -> list[Contact]:
        return [row for key, row in self.table.rows.items() if isinstance(row, Contact) and key.tenant == tenant]

    def held_by(self, contact: Contact, tenant: TenantId) -> list[Identifier]:
        return [
            make.make_identifier(key.kind, key.value)
            for key, row in self.table.rows.items()
            if isinstance(key, IdentifierKey) and key.tenant == tenant and row == Owner(contact_id=contact.id)
        ]

    def anonymous_chats(self) -> list[tuple[TenantId, ContactConversation]]:
        return [
            (tenant, chat)
            for tenant in TENANTS
            for contact in self.contacts_of(tenant)
            if not contact.known and not contact.external_id
            for chat in contact.conversations
        ]

    def latest_merges(self) -> list[tuple[TenantId, str]]:
        found: list[tuple[TenantId, str]] = []
        for key, row in self.table.rows.items():
            if isinstance(key, ContactKey) and isinstance(row, Contact) and row.merge_count:
                number = row.merge_count - 1
                merge = self.table.rows[JournalKey(tenant=key.tenant, contact_id=row.id, number=number)]
                assert isinstance(merge, Merged)
                found.append((key.tenant, merge.merged.id))
        return found

    def stamped(self, later_ms: int) -> dict[str, Any]:
        number = len(self.log)
        return {"accepted_at_ms": 1000 + 10 * number + 10 * later_ms, "request_id": f"request-{number}"}

    def asked_now(self, over: dict[str, Any], later_ms: int) -> Command:
        """Return the command of an identify request; its metadata has a text that no other has.

        An old token is for one of the conversations that there are, by turns: chance alone seldom finds one.
        """
        number = len(self.log)
        over = {"token": "none"} | over
        chats = {"new": f"mark-airy-{number}~", "old": self.chats[-1 - number % min(len(self.chats), 7)]}
        token = over.pop("token")
        over |= {"attach": None if token == "none" else make.make_attach(chats.get(token))} | over
        if over["metadata"]:
            over = over | {"metadata": over["metadata"] | {"display_name": f"mark-name-{number}~"}}
        return make.make_identify_command(**over, **self.stamped(later_ms), new_id=f"mark-chat-{number}~")

    def draw_id(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(self.ids[-20:]))

    # Commands

    @initialize(
        people=st.lists(st.sets(st.sampled_from(["external_id", "email", "phone_number", "device"])), max_size=3)
    )
    def begin_with_some_people(self, people: list[set[str]]) -> None:
        """Let there be people of all levels at once: whoever has nothing of their own to begin with has it all."""
        for number, kinds in enumerate(people):
            named = [
                make.make_identifier(kind, TEXTS[kind][number]) for kind in sorted(kinds or {*TEXTS} - {*KINDS[:2]})
            ]
            over = naming(named) | {"tenant": TENANTS[0], "metadata": {"p": number}, "explain": True}
            self.take(self.asked_now(over, 0))

    @rule(over=asked, later_ms=st.integers(-2, 5))
    def identify(self, over: dict[str, Any], later_ms: int) -> None:
        self.take(self.asked_now(over, later_ms))

    @precondition(lambda self: self.table.contacts)
    @rule(data=st.data(), over=asked, later_ms=st.integers(-2, 5))
    def identify_with_values_that_people_have(self, data: st.DataObject, over: dict[str, Any], later_ms: int) -> None:
        """Chance alone seldom brings together what several people have."""
        held = [self.held_by(contact, over["tenant"]) for contact in self.contacts_of(over["tenant"])]
        people = [identifiers for identifiers in held if identifiers]
        if not people:
            return
        drawn = data.draw(st.lists(st.sampled_from(people), min_size=1, max_size=3))
        over |= naming([data.draw(st.sampled_from(identifiers)) for identifiers in drawn])
        if data.draw(st.booleans()):  # nothing but these
            over |= {"metadata": None, "dry_run": False}
        self.take(self.asked_now(over, later_ms))

    @precondition(lambda self: self.anonymous_chats())
    @rule(data=st.data(), over=asked, later_ms=st.integers(-2, 5))
    def log_in_with_the_token_of_an_anonymous_contact(
        self, data: st.DataObject, over: dict[str, Any], later_ms: int
    ) -> None:
        """Chance alone seldom finds its channel too."""
        tenant, chat = data.draw(st.sampled_from(self.anonymous_chats()))
        over |= {"tenant": tenant, "channel_id": chat.channel_id, "attach": make.make_attach(chat.id)}
        self.take(self.asked_now(over, later_ms))

    @precondition(lambda self: any(len(self.contacts_of(tenant)) > 1 for tenant in TENANTS))
    @rule(data=st.data(), later_ms=st.integers(-2, 5))
    def merge_two_people(self, data: st.DataObject, later_ms: int) -> None:
        tenant = data.draw(st.sampled_from([tenant for tenant in TENANTS if len(self.contacts_of(tenant)) > 1]))
        one, other = data.draw(st.permutations(self.contacts_of(tenant)))[:2]
        self.take(make.make_merge(one.id, other.id, tenant=tenant, **self.stamped(later_ms)))

    @rule(data=st.data(), tenant=tenants, later_ms=st.integers(-2, 5))
    def merge(self, data: st.DataObject, tenant: TenantId, later_ms: int) -> None:
        source_id, destination_id = self.draw_id(data), self.draw_id(data)
        self.take(make.make_merge(source_id, destination_id, tenant=tenant, **self.stamped(later_ms)))

    @precondition(lambda self: len(self.log) % 5 == 2)
    @rule(data=st.data(), tenant=tenants, later_ms=st.integers(-2, 5))
    def unmerge(self, data: st.DataObject, tenant: TenantId, later_ms: int) -> None:
        self.take(make.make_unmerge(self.draw_id(data), tenant=tenant, **self.stamped(later_ms)))

    @precondition(lambda self: self.latest_merges())
    @rule(data=st.data(), later_ms=st.integers(-2, 5))
    def unmerge_a_latest_merge(self, data: st.DataObject, later_ms: int) -> None:
        tenant, contact_id = data.draw(st.sampled_from(self.latest_merges()))
        self.take(make.make_unmerge(contact_id, tenant=tenant, **self.stamped(later_ms)))

    @precondition(lambda self: len(self.log) % 5 == 1)
    @rule(data=st.data(), tenant=tenants, identifier=identifiers, later_ms=st.integers(-2, 5))
    def release(self, data: st.DataObject, tenant: TenantId, identifier: tuple[str, str], later_ms: int) -> None:
        self.take(make.make_release(self.draw_id(data), *identifier, tenant=tenant, **self.stamped(later_ms)))

    @precondition(lambda self: self.table.contacts)
    @rule(data=st.data(), later_ms=st.integers(-2, 5))
    def release_a_value_that_somebody_has(self, data: st.DataObject, later_ms: int) -> None:
        held = [(key, row) for key, row in self.table.rows.items() if isinstance(key, IdentifierKey)]
        if not held:
            return
        key, row = data.draw(st.sampled_from(held))
        assert isinstance(row, Owner)
        stamped = self.stamped(later_ms)
        self.take(make.make_release(row.contact_id, key.kind, key.value, tenant=key.tenant, **stamped))

    @precondition(lambda self: len(self.log) % 7 == 6)
    @rule(data=st.data(), tenant=tenants)
    def forget(self, data: st.DataObject, tenant: TenantId) -> None:
        self.take(make.make_forget(self.draw_id(data), tenant=tenant, **self.stamped(0)))

    @precondition(lambda self: len(self.log) % 5 == 4)
    @rule(data=st.data(), tenant=tenants, identifier=sometimes(identifiers))
    def info(self, data: st.DataObject, tenant: TenantId, identifier: tuple[str, str] | None) -> None:
        contact_id = self.draw_id(data) if identifier is None else None
        self.take(make.make_info(contact_id, identifier, tenant=tenant, **self.stamped(0)))

    @precondition(lambda self: len(self.log) % 5 == 3)
    @rule(data=st.data(), tenant=tenants, channel_id=st.sampled_from(CHANNELS))
    def give_token(self, data: st.DataObject, tenant: TenantId, channel_id: str) -> None:
        chat = data.draw(st.sampled_from(self.chats))
        self.take(make.make_give_token(tenant=tenant, channel_id=channel_id, conversation_id=chat, **self.stamped(0)))

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def deliver_an_old_command_again(self, data: st.DataObject) -> None:
        self.take(data.draw(st.sampled_from(self.log)))
