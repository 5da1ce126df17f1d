"""Merge, release, forget, info and give a token: the commands that name a contact or a conversation."""

from typing import Any

import pytest

from airy_identify.core.answers import (
    ContactChanged,
    ContactForgotten,
    Decision,
    ResumeSlip,
    TokenSlip,
)
from airy_identify.core.commands import Command
from airy_identify.core.errors import InconsistentTableError
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import (
    AliasKey,
    ContactId,
    ContactKey,
    ConversationId,
    ConversationOwnerKey,
    Forgotten,
    JournalKey,
    Owner,
)
from tests.builders import (
    ACCEPTED_AT_MS,
    OTHER_CHANNEL_ID,
    TENANT,
    make_contact,
    make_contact_conversation,
    make_custom,
    make_email,
    make_forget,
    make_give_token,
    make_identify_command,
    make_info,
    make_merge,
    make_phone_number,
    make_release,
    make_separation,
)
from tests.tables import InMemoryIdentityTable, make_table

LATER_MS = ACCEPTED_AT_MS + 1000
CHAT = make_contact_conversation(id="chat")


def contact_key(name: str) -> ContactKey:
    return ContactKey(tenant=TENANT, contact_id=ContactId(name))


def alias_key(name: str) -> AliasKey:
    return AliasKey(tenant=TENANT, contact_id=ContactId(name))


def journal_key(name: str, number: int = 0) -> JournalKey:
    return JournalKey(tenant=TENANT, contact_id=ContactId(name), number=number)


def apply(table: InMemoryIdentityTable, command: Command) -> Decision:
    decision = table.apply(command)
    assert isinstance(decision, Decision), decision
    return decision


def changed(table: InMemoryIdentityTable, command: Command) -> Any:
    answer = apply(table, command).answer
    assert isinstance(answer, ContactChanged)
    return answer.contact


def refused(table: InMemoryIdentityTable, command: Command) -> tuple[Reason, str | None]:
    before = dict(table.rows)
    rejected = table.apply(command)
    assert isinstance(rejected, Rejected), rejected
    assert table.rows == before
    return rejected.reason, rejected.field


# merge


def test_two_people_with_accounts_become_one_by_command() -> None:
    source = make_contact(id="source", external_id="u1", email="s@b.cd", known=True, conversations=(CHAT,))
    destination = make_contact(id="destination", external_id="u2", email="d@b.cd", known=True)
    table = make_table(source, destination)
    table.offset = 12
    view = changed(table, make_merge("source", "destination", accepted_at_ms=LATER_MS))
    assert (view.id, view.external_id, view.email, view.updated_at_ms) == ("destination", "u2", "d@b.cd", LATER_MS)
    assert table.holder("external_id", "u1") == table.holder("external_id", "u2") == "destination"
    assert table.holder("email", "s@b.cd") is None
    journal = table.journal(journal_key("destination"))
    assert journal is not None
    assert (journal.survivor, journal.merged, journal.why, journal.offset, journal.alone) == (
        destination,
        source,
        "command",
        12,
        True,
    )


def test_a_contact_is_merged_with_itself_without_a_change() -> None:
    table = make_table(make_contact(id="k", aliases=("old",)))
    before = dict(table.rows)
    for source, destination in (("k", "k"), ("old", "k"), ("k", "old")):
        assert changed(table, make_merge(source, destination)).id == "k"
    assert table.rows == before


def test_separations_do_not_bind_a_command() -> None:
    table = make_table(
        make_contact(id="a", separations=(make_separation("a", "b"),)),
        make_contact(id="b", separations=(make_separation("b", "a"),)),
    )
    assert changed(table, make_merge("a", "b")).id == "b"


def test_merging_is_refused_for_whom_nobody_knows() -> None:
    table = make_table(make_contact(id="k"))
    table.rows[contact_key("gone")] = Forgotten()
    for name in ("nobody", "gone"):
        assert refused(table, make_merge(name, "k")) == (Reason.UNKNOWN_CONTACT, "source_id")
        assert refused(table, make_merge("k", name)) == (Reason.UNKNOWN_CONTACT, "destination_id")


def test_what_is_too_large_is_not_merged() -> None:
    table = make_table(make_contact(id="a", aliases=tuple(f"a{n}" for n in range(1000))), make_contact(id="b"))
    assert refused(table, make_merge("a", "b")) == (Reason.TOO_LARGE_TO_MERGE, None)


def test_an_alias_that_leads_nowhere_is_a_broken_table() -> None:
    table = make_table(make_contact(id="k"))
    table.rows[alias_key("old")] = Owner(contact_id=ContactId("gone"))
    with pytest.raises(InconsistentTableError, match="gone"):
        table.apply(make_info("old"))


# release


@pytest.mark.parametrize(
    ("kind", "value", "left"),
    [
        ("email", "a@b.cd", {"email": None}),
        ("phone_number", "+525512345678", {"phone_number": None}),
        ("device", "d1", {"identifiers": make_custom({"device": "d2"})}),
        ("external_id", "u1", {"external_id": "u2", "former_external_ids": ("u3",)}),
        ("external_id", "u2", {"former_external_ids": ("u3",)}),
    ],
)
def test_one_identifier_is_taken_off(kind: str, value: str, left: dict[str, Any]) -> None:
    held: dict[str, Any] = {
        "id": "k",
        "known": True,
        "external_id": "u1",
        "former_external_ids": ("u2", "u3"),
        "email": "a@b.cd",
        "phone_number": make_phone_number("+5215512345678", key="+525512345678"),
        "identifiers": {"device": ["d1", "d2"]},
        "aliases": ("old",),
    }
    table = make_table(make_contact(**held))
    view = changed(table, make_release("old", kind, value, accepted_at_ms=LATER_MS))
    assert table.rows[contact_key("k")] == make_contact(**held | left | {"updated_at_ms": LATER_MS})
    assert table.holder(kind, value) is None
    assert view.updated_at_ms == LATER_MS


def test_the_last_external_id_makes_a_contact_soft_but_known() -> None:
    table = make_table(make_contact(id="k", external_id="u1", known=True))
    assert changed(table, make_release("k", "external_id", "u1")).external_id is None
    assert table.contacts[0].known


@pytest.mark.parametrize(
    ("kind", "value"),
    [("email", "x@b.cd"), ("phone_number", "+499"), ("device", "x"), ("external_id", "x"), ("cookie", "d1")],
)
def test_releasing_what_is_not_held_changes_nothing(kind: str, value: str) -> None:
    held = make_contact(id="k", external_id="u1", email="a@b.cd", phone_number="+491", identifiers={"device": "d1"})
    for contact in (held, make_contact(id="k")):
        table = make_table(contact)
        before = dict(table.rows)
        assert changed(table, make_release("k", kind, value, accepted_at_ms=LATER_MS)).id == "k"
        assert table.rows == before


def test_an_unverified_value_can_be_released_and_its_holder_keeps_it() -> None:
    table = make_table(
        make_contact(id="k", email=make_email("a@b.cd", verified=False)), make_contact(id="holder", email="a@b.cd")
    )
    assert changed(table, make_release("k", "email", "a@b.cd")).email is None
    assert table.holder("email", "a@b.cd") == "holder"


def test_releasing_from_whom_nobody_knows_is_refused() -> None:
    assert refused(make_table(), make_release("k", "email", "a@b.cd")) == (Reason.UNKNOWN_CONTACT, "contact_id")


# forget


def test_nothing_is_left_of_a_forgotten_contact_but_markers() -> None:
    table = make_table(
        make_contact(id="a", external_id="u1", email="a@b.cd", known=True, conversations=(CHAT,), aliases=("a0",)),
        make_contact(id="b", phone_number="+491", known=True),
        make_contact(id="c", identifiers={"device": "d"}),
        make_contact(id="other", email="other@b.cd", known=True),
    )
    apply(table, make_merge("b", "c"))
    apply(table, make_merge("c", "a"))
    others = {key: row for key, row in table.rows.items() if "other" in repr(key)}
    decision = apply(table, make_forget("b"))
    assert decision.answer == ContactForgotten(request_id=make_forget("b").request_id)
    assert decision.forgotten == ("chat",)
    markers = {
        contact_key("a"),
        *(alias_key(name) for name in ("a0", "b", "c")),
        ConversationOwnerKey(tenant=TENANT, conversation_id=ConversationId("chat")),
    }
    assert table.rows == others | dict.fromkeys(markers, Forgotten())


def test_forgetting_again_changes_nothing() -> None:
    table = make_table(make_contact(id="k", aliases=("old",)))
    apply(table, make_forget("k"))
    before = dict(table.rows)
    for name in ("k", "old"):
        decision = apply(table, make_forget(name))
        assert (decision.writes, decision.forgotten) == ((), ())
    assert table.rows == before


def test_forgetting_whom_nobody_knows_is_refused() -> None:
    assert refused(make_table(), make_forget("k")) == (Reason.UNKNOWN_CONTACT, "contact_id")


def test_whoever_was_separated_from_a_forgotten_contact_is_so_no_longer() -> None:
    kept = make_separation("b", "x")
    table = make_table(
        make_contact(id="a", aliases=("a0",), separations=(make_separation("a0", "b"), make_separation("a", "gone"))),
        make_contact(id="b", separations=(make_separation("b", "a0"), kept)),
    )
    apply(table, make_forget("a"))
    assert table.rows[contact_key("b")] == make_contact(id="b", separations=(kept,))


def test_a_separation_from_itself_is_forgotten_with_it() -> None:
    own = (make_separation("a", "a0"), make_separation("a0", "a"))
    table = make_table(make_contact(id="a", aliases=("a0",), separations=own))
    apply(table, make_forget("a"))
    assert table.rows[contact_key("a")] == Forgotten()


def test_the_next_request_is_about_a_new_person_with_new_ids() -> None:
    table = make_table()
    first = apply(table, make_identify_command(external_id="u1")).slip
    assert isinstance(first, ResumeSlip)
    assert first.contact.id is not None
    apply(table, make_forget(first.contact.id))
    again = apply(table, make_identify_command(external_id="u1")).slip  # the same command once more
    assert isinstance(again, ResumeSlip)
    assert again.created_contact
    assert again.contact.id != first.contact.id
    assert again.minted != first.minted


# info


def test_info_shows_a_contact_with_all_conversations_and_no_change() -> None:
    elsewhere = make_contact_conversation(id="elsewhere", channel_id=OTHER_CHANNEL_ID, created_at_ms=LATER_MS)
    table = make_table(
        make_contact(
            id="k", email="a@b.cd", conversations=(CHAT, elsewhere), aliases=("old",), identifiers={"device": "d"}
        )
    )
    for command in (
        make_info("k"),
        make_info("old"),
        make_info(None, ("email", "a@b.cd")),
        make_info(None, ("device", "d")),
    ):
        decision = apply(table, command)
        assert decision.writes == ()
        slip = decision.slip
        assert isinstance(slip, ResumeSlip)
        assert (slip.contact.id, [each.id for each in slip.pending]) == ("k", ["elsewhere", "chat"])
        assert slip.details is not None
        assert (slip.details.aliases, slip.details.journal) == (("old",), ())


def test_info_shows_the_journal_the_newest_first() -> None:
    table = make_table(*(make_contact(id=name) for name in "abc"))
    apply(table, make_merge("b", "a"))
    apply(table, make_merge("c", "a"))
    slip = apply(table, make_info("b")).slip
    assert isinstance(slip, ResumeSlip)
    assert slip.details is not None
    assert [(each.merged_id, each.into_id, each.offset, each.why) for each in slip.details.journal] == [
        ("c", "a", 1, "command"),
        ("b", "a", 0, "command"),
    ]
    assert [each.merged_before and each.merged_before.id for each in slip.details.journal] == ["c", "b"]


def test_a_long_journal_is_shown_as_far_as_it_goes() -> None:
    table = make_table(make_contact(id="a"), *(make_contact(id=f"b{number}") for number in range(102)))
    for number in range(102):
        apply(table, make_merge(f"b{number}", "a"))
    slip = apply(table, make_info("a")).slip
    assert isinstance(slip, ResumeSlip)
    assert slip.details is not None
    assert [each.merged_id for each in slip.details.journal] == [f"b{number}" for number in range(101, 1, -1)]


def test_large_contacts_are_left_out_of_the_journal() -> None:
    table = make_table(
        make_contact(id="a", metadata={"a": "x" * 40_000}, identifiers={"device": ["ü" * 10_000, "d"]}),
        *(make_contact(id=f"b{number}") for number in range(6)),
    )
    for number in range(6):
        apply(table, make_merge(f"b{number}", "a"))
    slip = apply(table, make_info("a")).slip
    assert isinstance(slip, ResumeSlip)
    assert slip.details is not None
    assert [each.survivor_before is not None for each in slip.details.journal] == [True] * 4 + [False] * 2
    assert [each.merged_before is not None for each in slip.details.journal] == [True] * 4 + [False] * 2


def test_info_about_nobody_names_what_was_asked_for() -> None:
    table = make_table(make_contact(id="k", email=make_email("a@b.cd", verified=False)))
    apply(table, make_forget("k"))
    assert refused(table, make_info("nobody")) == (Reason.UNKNOWN_CONTACT, "contact_id")
    assert refused(table, make_info("k")) == (Reason.UNKNOWN_CONTACT, "contact_id")
    assert refused(table, make_info(None, ("email", "a@b.cd"))) == (Reason.UNKNOWN_CONTACT, "email")
    assert refused(table, make_info(None, ("device", "d"))) == (Reason.UNKNOWN_CONTACT, "identifiers.device")
    assert refused(table, make_info(None)) == (Reason.UNKNOWN_CONTACT, "contact_id")


def test_a_journal_row_that_is_not_there_is_a_broken_table() -> None:
    table = make_table(make_contact(id="k", merge_count=1))
    with pytest.raises(InconsistentTableError, match="journal row 0"):
        table.apply(make_info("k"))


# tokens


def test_a_token_is_asked_for_where_the_conversation_is() -> None:
    table = make_table(make_contact(id="k", conversations=(CHAT,)))
    slip = apply(table, make_give_token(conversation_id="chat")).slip
    assert isinstance(slip, TokenSlip)
    assert (slip.conversation_id, slip.owned) == ("chat", True)


def test_a_conversation_that_nobody_here_has_may_be_airys_own() -> None:
    slip = apply(make_table(), make_give_token(conversation_id="airys")).slip
    assert isinstance(slip, TokenSlip)
    assert (slip.conversation_id, slip.owned) == ("airys", False)


def test_no_token_for_another_channel_or_a_forgotten_conversation() -> None:
    table = make_table(make_contact(id="k", conversations=(CHAT,)))
    elsewhere = make_give_token(conversation_id="chat", channel_id=OTHER_CHANNEL_ID)
    assert refused(table, elsewhere) == (Reason.UNKNOWN_CONVERSATION, "conversation_id")
    apply(table, make_forget("k"))
    assert refused(table, make_give_token(conversation_id="chat")) == (Reason.UNKNOWN_CONVERSATION, "conversation_id")
