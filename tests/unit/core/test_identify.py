import dataclasses
from typing import Any

import pytest

from airy_identify.core.answers import Decision, ResumeSlip
from airy_identify.core.decide import decide
from airy_identify.core.errors import UnsupportedRulesError
from airy_identify.core.identify import identify
from airy_identify.core.ids import from_name
from airy_identify.core.reasons import Reason, Rejected, WarningCode
from airy_identify.core.values import (
    AliasKey,
    Contact,
    ContactId,
    ContactKey,
    ConversationOwnerKey,
    IdentifierKey,
    IdentityWrite,
    Owner,
)
from tests.builders import (
    ACCEPTED_AT_MS,
    CHANNEL_ID,
    NEW_ID,
    OTHER_CHANNEL_ID,
    TENANT,
    make_contact,
    make_contact_conversation,
    make_custom,
    make_email,
    make_identify_command,
    make_phone_number,
)
from tests.tables import InMemoryIdentityTable, make_table

LATER_MS = ACCEPTED_AT_MS + 1000
NEW_CONTACT_ID = ContactId(from_name(NEW_ID))
OLD_CONVERSATION = make_contact_conversation(id="11111111-1111-4111-8111-111111111111", created_at_ms=1)


@dataclasses.dataclass
class Applied:
    writes: tuple[IdentityWrite, ...]
    slip: ResumeSlip


def apply(table: InMemoryIdentityTable, **over: Any) -> Applied:
    decision = table.apply(make_identify_command(**{"accepted_at_ms": LATER_MS} | over))
    assert isinstance(decision, Decision)
    assert isinstance(decision.slip, ResumeSlip)
    return Applied(decision.writes, decision.slip)


def refuse(table: InMemoryIdentityTable, **over: Any) -> Rejected:
    rows = dict(table.rows)
    rejected = table.apply(make_identify_command(**over))
    assert isinstance(rejected, Rejected)
    assert table.rows == rows
    return rejected


def contact_with_chat(**over: Any) -> Contact:
    return make_contact(**{"conversations": (OLD_CONVERSATION,), "known": True} | over)


# Finding and creating


def test_somebody_new_is_created_with_a_conversation() -> None:
    table = make_table()
    slip = apply(table, external_id="u1", email="a@b.cd").slip
    minted = make_contact_conversation(created_at_ms=LATER_MS)
    contact = make_contact(
        id=NEW_CONTACT_ID,
        external_id="u1",
        email="a@b.cd",
        known=True,
        created_at_ms=LATER_MS,
        updated_at_ms=LATER_MS,
        conversations=(minted,),
    )
    owner = Owner(contact_id=NEW_CONTACT_ID)
    assert table.rows == {
        ContactKey(tenant=TENANT, contact_id=NEW_CONTACT_ID): contact,
        IdentifierKey(tenant=TENANT, kind="external_id", value="u1"): owner,
        IdentifierKey(tenant=TENANT, kind="email", value="a@b.cd"): owner,
        ConversationOwnerKey(tenant=TENANT, conversation_id=NEW_ID): owner,
    }
    assert (slip.created_contact, slip.created_conversation, slip.minted) == (True, True, NEW_ID)
    assert (slip.contact.id, slip.contact.created_at_ms, slip.contact.updated_at_ms) == (
        NEW_CONTACT_ID,
        LATER_MS,
        LATER_MS,
    )
    assert slip.pending == (minted,)
    assert (slip.summaries, slip.warnings, slip.merged, slip.truncated) == ((), (), (), False)


def test_identified_again_nothing_is_written() -> None:
    table = make_table(contact_with_chat(external_id="u1"))
    decision = apply(table, external_id="u1", metadata={"gone": None})
    assert decision.writes == ()
    assert (decision.slip.created_contact, decision.slip.created_conversation, decision.slip.minted) == (
        False,
        False,
        None,
    )
    assert decision.slip.pending == (OLD_CONVERSATION,)
    assert decision.slip.contact.updated_at_ms == ACCEPTED_AT_MS


def test_the_slip_carries_what_the_answer_needs() -> None:
    command = make_identify_command(external_id="u1")
    decision = identify(command, make_table(), offset=0)
    assert isinstance(decision, Decision)
    slip = decision.slip
    assert isinstance(slip, ResumeSlip)
    assert (slip.request_id, slip.tenant, slip.accepted_at_ms, slip.reply_to, slip.dry_run) == (
        command.request_id,
        command.tenant,
        command.accepted_at_ms,
        command.reply_to,
        False,
    )


def test_a_soft_contact_is_promoted_and_keeps_its_id() -> None:
    soft = contact_with_chat(email="a@b.cd")
    table = make_table(soft)
    slip = apply(table, external_id="u1", email="a@b.cd").slip
    assert (slip.contact.id, slip.contact.external_id, slip.created_contact) == (soft.id, "u1", False)
    assert table.holder("external_id", "u1") == soft.id


def test_without_a_verified_key_there_is_nobody_to_find() -> None:
    unverified = make_email("a@b.cd", verified=False)
    assert refuse(make_table()).reason is Reason.MISSING_IDENTIFIER
    assert refuse(make_table(), email=unverified, metadata={"plan": "pro"}) == refuse(make_table())
    assert refuse(make_table()).field is None


def test_other_rules_are_refused_loudly() -> None:
    with pytest.raises(UnsupportedRulesError, match="rules_version 2"):
        decide(make_identify_command(external_id="u1", rules_version=2), make_table(), offset=0)


# What the contact gains and releases


def test_a_replaced_email_is_released() -> None:
    table = make_table(contact_with_chat(external_id="u1", email="a@b.cd"))
    apply(table, external_id="u1", email="e@f.gh")
    assert table.holder("email", "a@b.cd") is None
    assert table.holder("email", "e@f.gh") == make_contact().id


def test_a_replaced_phone_is_released_by_its_key() -> None:
    phone = make_phone_number("+5215512345678", key="+525512345678")
    table = make_table(contact_with_chat(external_id="u1", phone_number=phone))
    apply(table, external_id="u1", phone_number="+491")
    assert table.holder("phone_number", "+525512345678") is None
    assert table.holder("phone_number", "+491") == make_contact().id


def test_a_custom_value_that_drops_out_is_released() -> None:
    table = make_table(contact_with_chat(external_id="u1", identifiers={"device": list("abcde")}))
    apply(table, external_id="u1", identifiers={"device": ["a", "f"]})
    assert table.holder("device", "b") is None
    assert table.holder("device", "f") == make_contact().id


def test_an_unverified_email_is_not_indexed() -> None:
    table = make_table(contact_with_chat(external_id="u1"))
    slip = apply(table, external_id="u1", email=make_email("a@b.cd", verified=False)).slip
    assert (slip.contact.email, slip.contact.unverified) == ("a@b.cd", ("email",))
    assert table.holder("email", "a@b.cd") is None


def test_an_email_once_unverified_is_indexed_when_it_is_verified() -> None:
    table = make_table(contact_with_chat(external_id="u1", email=make_email("a@b.cd", verified=False)))
    slip = apply(table, external_id="u1", email="a@b.cd").slip
    assert slip.contact.unverified == ()
    assert table.holder("email", "a@b.cd") == make_contact().id


def test_updated_at_moves_when_something_changes() -> None:
    table = make_table(contact_with_chat(external_id="u1", metadata={"a": 1}))
    assert apply(table, external_id="u1", metadata={"b": 2}).slip.contact.updated_at_ms == LATER_MS
    (contact,) = table.contacts
    assert (contact.updated_at_ms, contact.created_at_ms, contact.metadata) == (
        LATER_MS,
        ACCEPTED_AT_MS,
        {"a": 1, "b": 2},
    )


def test_updated_at_never_goes_back() -> None:
    table = make_table(contact_with_chat(external_id="u1"))
    assert apply(table, external_id="u1", email="a@b.cd", accepted_at_ms=5).slip.contact.updated_at_ms == ACCEPTED_AT_MS


def test_metadata_is_never_searched() -> None:
    table = make_table(contact_with_chat(external_id="u1", metadata={"email": "a@b.cd"}))
    assert apply(table, email="a@b.cd").slip.created_contact


def test_metadata_that_grows_too_large_is_refused() -> None:
    table = make_table(contact_with_chat(external_id="u1", metadata={"a": "x" * 60_000}))
    rejected = refuse(table, external_id="u1", email="a@b.cd", metadata={"b": "x" * 6_000})
    assert (rejected.reason, rejected.field) == (Reason.INVALID_METADATA, "metadata")


def test_too_many_custom_kinds_are_refused() -> None:
    table = make_table(contact_with_chat(external_id="u1", identifiers={f"k{n:02}": "v" for n in range(64)}))
    assert refuse(table, external_id="u1", identifiers={"new": "v"}).field == "identifiers.new"


# Other contacts


def test_the_email_of_another_hard_contact_stays_there_with_a_warning() -> None:
    other = contact_with_chat(id="other", external_id="u2", email="a@b.cd")
    hard = make_contact(external_id="u1", known=True)
    table = make_table(other, hard)
    slip = apply(table, external_id="u1", email="a@b.cd").slip
    assert (slip.contact.id, slip.contact.email) == (hard.id, None)
    assert [(warning.code, warning.field) for warning in slip.warnings] == [(WarningCode.IDENTIFIER_CONFLICT, "email")]
    assert table.holder("email", "a@b.cd") == other.id
    assert table.contact(ContactKey(tenant=TENANT, contact_id=other.id)) == other


def test_one_warning_a_value_in_rank_order() -> None:
    table = make_table(
        contact_with_chat(external_id="u1"),
        make_contact(id="2", external_id="u2", phone_number="+492", known=True),
        make_contact(id="3", external_id="u3", email="a@b.cd", known=True),
    )
    slip = apply(table, external_id="u1", email="a@b.cd", phone_number="+492").slip
    assert [warning.field for warning in slip.warnings] == ["email", "phone_number"]


def test_a_soft_contact_keeps_its_phone_from_a_new_person_with_another_email() -> None:
    soft = contact_with_chat(id="soft", email="a@b.cd", phone_number="+491")
    table = make_table(soft)
    slip = apply(table, email="e@f.gh", phone_number="+491").slip
    assert slip.created_contact
    assert (slip.contact.email, slip.contact.phone_number) == ("e@f.gh", None)
    assert [warning.field for warning in slip.warnings] == ["phone_number"]
    assert table.holder("phone_number", "+491") == soft.id


def test_reject_names_the_first_conflict_and_writes_nothing() -> None:
    table = make_table(
        contact_with_chat(external_id="u1"),
        make_contact(id="2", external_id="u2", phone_number="+492", known=True),
    )
    rejected = refuse(
        table, external_id="u1", phone_number="+492", identifiers={"device": "d"}, on_conflict="reject", email="a@b.cd"
    )
    assert (rejected.reason, rejected.field) == (Reason.IDENTIFIER_CONFLICT, "phone_number")


def test_reject_without_a_conflict_is_applied() -> None:
    table = make_table(contact_with_chat(id="known", identifiers={"device": "d"}))
    assert apply(table, external_id="u1", identifiers={"device": "d"}, on_conflict="reject").slip.created_contact


def test_a_device_of_a_known_contact_is_taken_over_without_a_word() -> None:
    known = contact_with_chat(id="known", identifiers={"cookie": "c", "device": "d"})
    table = make_table(known)
    slip = apply(table, identifiers={"device": "d"}).slip
    assert (slip.created_contact, slip.warnings) == (True, ())
    assert slip.contact.identifiers == make_custom({"device": "d"})
    assert table.holder("device", "d") == NEW_CONTACT_ID
    assert table.contact(ContactKey(tenant=TENANT, contact_id=known.id)) == contact_with_chat(
        id="known", identifiers={"cookie": "c"}, updated_at_ms=LATER_MS
    )


def test_tenants_do_not_see_each_other() -> None:
    table = make_table(contact_with_chat(external_id="u1"))
    assert apply(table, external_id="u1", tenant="elsewhere").slip.created_contact
    assert len(table.contacts) == 2


# Conversations


def test_another_channel_gets_a_conversation_of_its_own() -> None:
    contact = contact_with_chat(external_id="u1")
    table = make_table(contact)
    slip = apply(table, external_id="u1", channel_id=OTHER_CHANNEL_ID).slip
    minted = make_contact_conversation(channel_id=OTHER_CHANNEL_ID, created_at_ms=LATER_MS)
    assert (slip.created_contact, slip.created_conversation, slip.pending) == (False, True, (minted,))
    assert table.contacts == [
        contact_with_chat(external_id="u1", conversations=(OLD_CONVERSATION, minted), aliases=(NEW_CONTACT_ID,))
    ]
    owner = Owner(contact_id=contact.id)
    assert table.owner(ConversationOwnerKey(tenant=TENANT, conversation_id=NEW_ID)) == owner
    assert table.owner(AliasKey(tenant=TENANT, contact_id=NEW_CONTACT_ID)) == owner


def test_a_minted_conversation_does_not_move_updated_at() -> None:
    table = make_table(contact_with_chat(external_id="u1"))
    assert apply(table, external_id="u1", channel_id=OTHER_CHANNEL_ID).slip.contact.updated_at_ms == ACCEPTED_AT_MS
    assert table.contacts[0].updated_at_ms == ACCEPTED_AT_MS


def test_conversations_are_looked_up_newest_first() -> None:
    made = [("b", 5), ("a", 5), ("c", 9), ("d", 1)]
    conversations = tuple(make_contact_conversation(id=name, created_at_ms=at) for name, at in made)
    elsewhere = make_contact_conversation(id="e", channel_id=OTHER_CHANNEL_ID)
    table = make_table(contact_with_chat(external_id="u1", conversations=(elsewhere, *conversations)))
    assert [conversation.id for conversation in apply(table, external_id="u1").slip.pending] == ["c", "a", "b", "d"]


def test_the_source_of_a_minted_conversation_is_that_of_the_channel() -> None:
    (minted,) = apply(make_table(), external_id="u1", channel_source="chatplugin").slip.pending
    assert (minted.source, minted.channel_id) == ("chatplugin", CHANNEL_ID)


def test_a_mint_is_never_refused_for_the_limits_of_merging() -> None:
    many = tuple(make_contact_conversation(id=str(n), channel_id=str(n)) for n in range(1000))
    aliases = tuple(f"alias-{n}" for n in range(1000))
    table = make_table(contact_with_chat(external_id="u1", conversations=many, aliases=aliases))
    assert apply(table, external_id="u1").slip.created_conversation


def test_a_command_that_comes_again_takes_nothing_from_whom_it_made() -> None:
    table = make_table()
    apply(table, email="a@b.cd")
    apply(table, external_id="u1", email="a@b.cd", new_id="22222222-2222-4222-8222-222222222222")
    apply(table, external_id="u1", email="e@f.gh", new_id="33333333-3333-4333-8333-333333333333")
    again = apply(table, email="a@b.cd").slip
    assert again.created_contact
    assert again.minted not in (None, NEW_ID)
    assert again.contact.id != NEW_CONTACT_ID
    assert {contact.external_id for contact in table.contacts} == {"u1", None}


# Dry runs


def test_a_dry_run_makes_nobody() -> None:
    table = make_table()
    decision = apply(table, external_id="u1", dry_run=True, metadata={"first_name": "Ann"})
    slip = decision.slip
    assert decision.writes == ()
    assert (slip.contact.id, slip.contact.created_at_ms, slip.contact.updated_at_ms) == (None, None, None)
    assert (slip.contact.external_id, slip.contact.first_name) == ("u1", "Ann")
    assert (slip.created_contact, slip.created_conversation) == (True, True)
    assert (slip.minted, slip.pending, slip.dry_run) == (None, (), True)


def test_a_dry_run_shows_a_contact_as_it_would_be() -> None:
    contact = contact_with_chat(external_id="u1")
    decision = apply(make_table(contact), external_id="u1", email="a@b.cd", dry_run=True)
    assert decision.writes == ()
    assert (decision.slip.contact.id, decision.slip.contact.email) == (contact.id, "a@b.cd")
    assert (decision.slip.created_contact, decision.slip.created_conversation) == (False, False)
    assert decision.slip.pending == (OLD_CONVERSATION,)


def test_a_dry_run_mints_nothing_for_a_contact_without_a_conversation() -> None:
    decision = apply(make_table(make_contact(external_id="u1", known=True)), external_id="u1", dry_run=True)
    assert decision.writes == ()
    assert (decision.slip.created_contact, decision.slip.created_conversation) == (False, True)
    assert (decision.slip.minted, decision.slip.pending) == (None, ())


def test_a_dry_run_refuses_conflicts_too() -> None:
    table = make_table(
        contact_with_chat(external_id="u1"), make_contact(id="2", external_id="u2", email="a@b.cd", known=True)
    )
    rejected = refuse(table, external_id="u1", email="a@b.cd", dry_run=True, on_conflict="reject")
    assert rejected.reason is Reason.IDENTIFIER_CONFLICT
    assert apply(table, external_id="u1", email="a@b.cd", dry_run=True).slip.warnings
