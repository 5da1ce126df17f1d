"""The token that comes along with a request: who may get its conversation, and what the others are told."""

import dataclasses
from typing import Any

import pytest

from airy_identify.core import attach as rules
from airy_identify.core.answers import ContactRestored, Decision, ResumeSlip
from airy_identify.core.ids import from_name
from airy_identify.core.reasons import Rejected, WarningCode
from airy_identify.core.values import Contact, ContactId, ContactKey, ConversationOwnerKey, Forgotten, Owner
from tests import builders as make
from tests.tables import InMemoryIdentityTable, make_table

CHAT = "11111111-1111-4111-8111-111111111111"
DERIVED = ContactId(from_name(CHAT))
LATER_MS = make.ACCEPTED_AT_MS + 1000


def chat(**over: Any) -> Any:
    return make.make_contact_conversation(**{"id": CHAT, "created_at_ms": 1} | over)


def visitor(**over: Any) -> Contact:
    """Return the anonymous contact in whose conversation the visitor is."""
    return make.make_contact(
        **{"id": DERIVED, "identifiers": make.make_custom({"device": "d-1"}), "conversations": (chat(),)} | over
    )


def person(**over: Any) -> Contact:
    own = make.make_contact_conversation(id="22222222-2222-4222-8222-222222222222")
    return make.make_contact(**{"id": "person", "external_id": "u-1", "known": True, "conversations": (own,)} | over)


def log_in(table: InMemoryIdentityTable, token: str | None = CHAT, **over: Any) -> ResumeSlip:
    fields = {"external_id": "u-1", "accepted_at_ms": LATER_MS, "attach": make.make_attach(token)} | over
    decision = table.apply(make.make_identify_command(**fields))
    assert isinstance(decision, Decision)
    assert isinstance(decision.slip, ResumeSlip)
    return decision.slip


def warned(slip: ResumeSlip) -> bool:
    assert [warning.code for warning in slip.warnings] in ([], [WarningCode.CONVERSATION_NOT_ATTACHED])
    return bool(slip.warnings)


def owner_of(table: InMemoryIdentityTable, conversation_id: str = CHAT) -> str | None:
    row = table.rows.get(ConversationOwnerKey(tenant=make.TENANT, conversation_id=conversation_id))  # type: ignore[arg-type]
    return row.contact_id if isinstance(row, Owner) else None


def contact(table: InMemoryIdentityTable, contact_id: str) -> Contact:
    row = table.rows[ContactKey(tenant=make.TENANT, contact_id=ContactId(contact_id))]
    assert isinstance(row, Contact)
    return row


def test_a_conversation_that_nobody_has_becomes_the_persons() -> None:
    table = make_table(person())
    slip = log_in(table)
    assert not warned(slip)
    assert slip.minted is None
    assert CHAT in [conversation.id for conversation in slip.pending]
    after = contact(table, "person")
    attached = after.conversations[-1]
    assert (attached.channel_id, attached.source, attached.created_at_ms) == (make.CHANNEL_ID, "chatplugin", LATER_MS)
    assert after.aliases == (DERIVED,)
    assert after.updated_at_ms == person().updated_at_ms


def test_whoever_is_created_with_it_gets_no_other_conversation_and_the_id_of_airys_contact() -> None:
    table = InMemoryIdentityTable()
    slip = log_in(table)
    assert (slip.contact.id, slip.created_contact, slip.created_conversation) == (DERIVED, True, False)
    assert [conversation.id for conversation in slip.pending] == [CHAT]
    assert contact(table, DERIVED).aliases == ()


def test_an_anonymous_contact_loses_the_conversation_and_nothing_else() -> None:
    other = make.make_contact_conversation(id="33333333-3333-4333-8333-333333333333")
    before = visitor(conversations=(chat(), other), metadata={"page": "/"})
    table = make_table(person(), before)
    assert not warned(log_in(table))
    assert owner_of(table) == "person"
    assert contact(table, DERIVED) == dataclasses.replace(before, conversations=(other,))
    assert contact(table, "person").conversations[-1] == chat()
    assert contact(table, "person").aliases == ()


def test_whoever_is_created_beside_the_visitor_gets_another_id() -> None:
    table = make_table(visitor())
    slip = log_in(table)
    assert slip.contact.id == from_name(make.NEW_ID)
    assert (owner_of(table), slip.minted) == (slip.contact.id, None)
    assert owner_of(table, make.NEW_ID) is None


def test_an_id_without_its_conversation_is_not_given_twice() -> None:
    """The log holds a command twice, and what the first one made has lost its key since."""
    table = make_table(visitor())
    first = log_in(table)
    assert first.contact.id is not None
    table.apply(make.make_release(first.contact.id, "external_id", "u-1"))
    second = log_in(table)
    assert warned(second)
    assert second.contact.id not in {None, first.contact.id}
    assert owner_of(table) == first.contact.id


@pytest.mark.parametrize("level", [{"external_id": "u-2", "known": True}, {"known": True}], ids=["hard", "known"])
def test_a_known_persons_conversation_is_not_taken_over(level: dict[str, Any]) -> None:
    owner = visitor(**level)
    table = make_table(person(), owner)
    slip = log_in(table)
    assert warned(slip)
    assert slip.warnings[0].field == "attach"
    assert contact(table, DERIVED) == owner
    assert contact(table, "person") == person()
    assert CHAT not in [conversation.id for conversation in slip.pending]


def test_an_anonymous_conversation_is_attached_once() -> None:
    table = InMemoryIdentityTable()
    assert not warned(log_in(table, external_id="u-1"))
    assert warned(log_in(table, external_id="u-2"))
    assert not warned(log_in(table, external_id="u-1"))


def test_its_own_conversation_is_no_change() -> None:
    table = make_table(person(conversations=(chat(),)))
    decision = table.apply(make.make_identify_command(external_id="u-1", attach=make.make_attach(CHAT)))
    assert isinstance(decision, Decision)
    assert decision.writes == ()


def test_a_conversation_that_a_merge_brings_is_no_change() -> None:
    table = make_table(person(), visitor())
    slip = log_in(table, identifiers={"device": "d-1"})
    assert not warned(slip)
    assert slip.merged == (DERIVED,)
    assert owner_of(table) == "person"


def test_a_visitor_may_be_known_by_a_device_only_and_log_in_later() -> None:
    table = InMemoryIdentityTable()
    assert not warned(log_in(table, external_id=None, identifiers={"device": "d-1"}))
    assert not warned(log_in(table, external_id="u-1"))
    assert owner_of(table) != DERIVED


def test_a_forgotten_conversation_stays_forgotten() -> None:
    table = make_table(person(), visitor())
    table.apply(make.make_forget(DERIVED))
    assert warned(log_in(table))
    row = table.rows[ConversationOwnerKey(tenant=make.TENANT, conversation_id=chat().id)]
    assert row == Forgotten()


@pytest.mark.parametrize("verified", [True, False])
def test_two_e_mails_are_two_people(*, verified: bool) -> None:
    table = make_table(person(), visitor(email=make.make_email("bob@example.org", verified=False)))
    slip = log_in(table, email=make.make_email("ada@example.org", verified=verified))
    assert warned(slip)
    assert owner_of(table) == DERIVED


@pytest.mark.parametrize("email", [None, "bob@example.org"])
def test_the_same_e_mail_or_none_is_no_hindrance(email: str | None) -> None:
    table = make_table(person(), visitor(email=make.make_email("bob@example.org", verified=False)))
    assert not warned(log_in(table, email=email))


def test_separated_contacts_share_nothing() -> None:
    table = make_table(
        person(separations=(make.make_separation("person", DERIVED),)),
        visitor(separations=(make.make_separation(DERIVED, "person"),)),
    )
    assert warned(log_in(table))
    assert owner_of(table) == DERIVED


def test_a_conversation_of_another_channel_stays() -> None:
    table = make_table(person(), visitor(conversations=(chat(channel_id=make.OTHER_CHANNEL_ID),)))
    assert warned(log_in(table))


@pytest.mark.parametrize("limit", ["CONVERSATIONS_MAX", "ALIASES_MAX"])
def test_one_too_many_is_not_attached(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    table = make_table(person(aliases=(ContactId("alias"),)))
    monkeypatch.setattr(rules, limit, 1)
    assert warned(log_in(table))
    monkeypatch.setattr(rules, limit, 2)
    assert not warned(log_in(table))


def test_a_token_that_did_not_count_is_told() -> None:
    table = make_table(person())
    slip = log_in(table, token=None)
    assert warned(slip)
    assert slip.warnings[0].message == rules.NO_TOKEN
    assert contact(table, "person") == person()


def test_all_that_concerns_others_is_told_alike() -> None:
    known = log_in(make_table(person(), visitor(known=True))).warnings
    elsewhere = log_in(make_table(person(), visitor(conversations=(chat(channel_id="another"),)))).warnings
    gone = make_table(person(), visitor())
    gone.apply(make.make_forget(DERIVED))
    assert known == elsewhere == log_in(gone).warnings


def test_it_is_no_conflict() -> None:
    table = make_table(person(), visitor(known=True))
    assert warned(log_in(table, on_conflict="reject"))


def test_it_comes_after_the_conflicts() -> None:
    table = make_table(person(), visitor(external_id="u-2", email=make.make_email("bob@example.org")))
    slip = log_in(table, email="bob@example.org")
    assert [warning.field for warning in slip.warnings] == ["email", "attach"]


def test_a_refused_request_attaches_nothing() -> None:
    table = make_table(
        person(), make.make_contact(id="bob", email=make.make_email("bob@example.org"), external_id="u-2")
    )
    asked = make.make_identify_command(
        external_id="u-1", email="bob@example.org", on_conflict="reject", attach=make.make_attach(CHAT)
    )
    assert isinstance(table.apply(asked), Rejected)
    assert owner_of(table) is None


def test_a_dry_run_shows_it_and_attaches_nothing() -> None:
    table = InMemoryIdentityTable()
    slip = log_in(table, dry_run=True)
    assert (slip.contact.id, slip.created_conversation) == (None, False)
    assert [conversation.id for conversation in slip.pending] == [CHAT]
    assert table.rows == {}


def test_whoever_loses_a_value_too_is_written_once() -> None:
    """The limits keep the two from merging, so that the device is taken over and the conversation attached."""
    metadata = {"much": "x" * 40_000}
    table = make_table(person(metadata={"more": "x" * 40_000}), visitor(metadata=metadata))
    assert not warned(log_in(table, identifiers={"device": "d-1"}))
    assert (contact(table, DERIVED).identifiers, contact(table, DERIVED).conversations) == ((), ())


def test_whoever_plants_a_chat_sees_nothing_else_of_the_person() -> None:
    """Mallory's chat was attached to the person, whose browser had its token from Mallory's link."""
    table = make_table(person())
    assert not warned(log_in(table))
    mallory = log_in(table, external_id="mallory")
    assert warned(mallory)
    others = {conversation.id for conversation in contact(table, "person").conversations}
    assert not others & {conversation.id for conversation in mallory.pending}
    assert mallory.contact.id != "person"


def test_an_unmerge_does_not_bring_back_what_was_attached_to_somebody_else_since() -> None:
    cookie = make.make_custom({"cookie": "c-1"})
    own = make.make_contact_conversation(id="44444444-4444-4444-8444-444444444444")
    table = make_table(person(), visitor(), make.make_contact(id="other", identifiers=cookie, conversations=(own,)))
    table.apply(make.make_merge(DERIVED, "other"))
    assert not warned(log_in(table))
    undone = table.apply(make.make_unmerge(DERIVED))
    assert isinstance(undone, Decision)
    assert isinstance(undone.answer, ContactRestored)
    assert owner_of(table) == "person"
    assert contact(table, DERIVED).conversations == ()
    assert contact(table, "other").conversations == (own,)


def test_tenants_are_worlds_of_their_own() -> None:
    table = make_table(visitor(known=True))
    assert not warned(log_in(table, tenant="acme"))
    assert owner_of(table) == DERIVED
