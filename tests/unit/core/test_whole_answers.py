"""What commands are answered, to the last member and word: the rest of the tests look at one thing each."""

from typing import Any

import pytest

from airy_identify.core import journal
from airy_identify.core.answers import ContactInfo, Decision, Identified, ResumeSlip
from airy_identify.core.commands import Command
from airy_identify.core.conversation import finish
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import (
    Contact,
    ContactId,
    ContactKey,
    JournalKey,
    Merged,
)
from airy_identify.core.view import view_contact
from tests.builders import (
    ACCEPTED_AT_MS,
    CHANNEL_ID,
    NEW_ID,
    OTHER_CHANNEL_ID,
    TENANT,
    make_again,
    make_contact,
    make_contact_changed,
    make_contact_conversation,
    make_contact_forgotten,
    make_contact_info,
    make_contact_restored,
    make_contact_view,
    make_conversation_summary,
    make_custom,
    make_details,
    make_email,
    make_explanation,
    make_forget,
    make_give_token,
    make_identified,
    make_identify_command,
    make_info,
    make_journal_entry,
    make_merge,
    make_merged,
    make_message,
    make_phone_number,
    make_release,
    make_reply_to,
    make_resume_slip,
    make_separation,
    make_token_slip,
    make_unmerge,
    make_warned,
)
from tests.model.people import airy_id
from tests.tables import InMemoryIdentityTable, make_table

LATER_MS = ACCEPTED_AT_MS + 1000
ASKED: dict[str, Any] = {
    "request_id": "request-7",
    "accepted_at_ms": LATER_MS,
    "reply_to": make_reply_to(topic="replies"),
}
CHAT = make_contact_conversation(id="chat")


def applied(table: InMemoryIdentityTable, command: Command) -> Decision:
    decision = table.apply(command)
    assert isinstance(decision, Decision), decision
    return decision


def slip_of(table: InMemoryIdentityTable, command: Command) -> ResumeSlip:
    slip = applied(table, command).slip
    assert isinstance(slip, ResumeSlip)
    return slip


def contact(table: InMemoryIdentityTable, name: str) -> Contact:
    found = table.contact(ContactKey(tenant=TENANT, contact_id=ContactId(name)))
    assert isinstance(found, Contact)
    return found


def merge_row(table: InMemoryIdentityTable, name: str) -> Merged:
    found = table.journal(JournalKey(tenant=TENANT, contact_id=ContactId(name), number=0))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("command", "reason", "field", "message"),
    [
        (
            make_identify_command(),
            Reason.MISSING_IDENTIFIER,
            None,
            "give at least one verified identifier",
        ),
        (make_info("nobody"), Reason.UNKNOWN_CONTACT, "contact_id", "there is no such contact"),
        (
            make_give_token(channel_id=OTHER_CHANNEL_ID, conversation_id="chat"),
            Reason.UNKNOWN_CONVERSATION,
            "conversation_id",
            "there is no such conversation on this channel",
        ),
        (
            make_unmerge("hard"),
            Reason.NOT_LATEST_MERGE,
            "contact_id",
            "this is not the contact that ended in the latest merge of its survivor; only that one can be undone",
        ),
        (
            make_merge("large", "hard"),
            Reason.TOO_LARGE_TO_MERGE,
            None,
            "the two together have too many conversations, aliases or custom kinds, or too much metadata",
        ),
        (
            make_identify_command(external_id="u1", email="a@b.cd", on_conflict="reject"),
            Reason.IDENTIFIER_CONFLICT,
            "email",
            "email belongs to another contact and was not taken from it",
        ),
        (
            make_identify_command(external_id="u2", identifiers={"one_more": "x"}),
            Reason.INVALID_FIELD,
            "identifiers.one_more",
            "the contact has 64 kinds of custom identifiers, which is the most there can be",
        ),
        (
            make_identify_command(external_id="u1", metadata={"text": "x" * 70_000}),
            Reason.INVALID_METADATA,
            "metadata",
            "the contact's metadata would be larger than 65536 bytes",
        ),
    ],
    ids=lambda given: str(given) if isinstance(given, Reason) else "",
)
def test_a_refusal_says_what_is_wrong_in_words(
    command: Command, reason: Reason, field: str | None, message: str
) -> None:
    table = make_table(
        make_contact(id="hard", external_id="u1", conversations=(CHAT,), aliases=("a",)),
        make_contact(
            id="large", external_id="u2", email="a@b.cd", identifiers={f"k{n:02}": f"v{n}" for n in range(64)}
        ),
        make_contact(id="full", aliases=tuple(f"alias-{n}" for n in range(1000))),
    )
    if reason is Reason.TOO_LARGE_TO_MERGE:
        command = make_again(command, source_id="full")
    assert table.apply(command) == Rejected(reason=reason, message=message, field=field)


def test_info_is_a_slip_that_goes_everywhere_and_makes_nothing() -> None:
    held = make_contact(id="hard", external_id="u1", aliases=("old",), conversations=(CHAT,))
    decision = applied(make_table(held), make_info("old", **ASKED))
    assert decision == Decision(
        slip=make_resume_slip(
            **ASKED, contact=view_contact(held), pending=(CHAT,), details=make_details(aliases=("old",))
        )
    )


@pytest.mark.parametrize("owned", [True, False])
def test_a_token_is_asked_for_by_a_slip(*, owned: bool) -> None:
    table = make_table(make_contact(conversations=(CHAT,) if owned else ()))
    decision = applied(table, make_give_token(**ASKED, conversation_id="chat"))
    assert decision == Decision(slip=make_token_slip(**ASKED, conversation_id="chat", owned=owned))
    assert CHAT.channel_id == CHANNEL_ID


def test_release_merge_unmerge_and_forget_answer_their_own_request() -> None:
    table = make_table(make_contact(id="a", email="a@b.cd"), make_contact(id="b"))
    commands = (make_release("a", "email", "a@b.cd", **ASKED), make_merge("b", "a", **ASKED))
    for command in (*commands, make_merge("a", "b", **ASKED)):
        answer = applied(table, command).answer
        assert answer == make_contact_changed(request_id="request-7", contact=view_contact(contact(table, "a")))
    answer = applied(table, make_unmerge("b", **ASKED)).answer
    both = {"contact": view_contact(contact(table, "a")), "restored": view_contact(contact(table, "b"))}
    assert answer == make_contact_restored(request_id="request-7", **both)
    for _ in range(2):
        assert applied(table, make_forget("b", **ASKED)).answer == make_contact_forgotten(request_id="request-7")


def test_a_finished_slip_is_answered_with_all_that_it_holds() -> None:
    summary = make_conversation_summary(last_message=make_message())
    holds = {
        "contact": make_contact_view(id="c"),
        "created_contact": True,
        "created_conversation": True,
        "merged": ("m",),
        "warnings": (make_warned(),),
        "truncated": True,
        "dry_run": True,
        "accepted_at_ms": LATER_MS,
        "explanation": make_explanation(),
        "request_id": "request-7",
    }
    identified = finish(make_resume_slip(**holds, summaries=(summary,)))
    assert identified == make_identified(**holds, conversations=(summary,))
    assert isinstance(identified, Identified)
    details = make_details(aliases=("a",))
    info = finish(make_resume_slip(**holds, summaries=(summary,), details=details))
    assert info == make_contact_info(
        request_id="request-7", contact=holds["contact"], conversations=(summary,), details=details, truncated=True
    )
    assert isinstance(info, ContactInfo)


# The journal


def test_a_journal_row_of_a_command_that_replaced_nothing() -> None:
    survivor = make_contact(id="a", external_id="u1", email="a@b.cd", phone_number="+491")
    table = make_table(survivor, make_contact(id="b", email="b@b.cd", phone_number="+492"))
    applied(table, make_merge("b", "a", **ASKED))
    assert merge_row(table, "a") == make_merged(
        survivor=survivor,
        merged=make_contact(id="b", email="b@b.cd", phone_number="+492"),
        merged_at_ms=LATER_MS,
        why="command",
        request_id="request-7",
        alone=True,
        replaced_email=None,
        replaced_phone_number=None,
    )


def test_a_journal_row_names_nobody_whom_the_two_were_separated_from() -> None:
    table = make_table(
        make_contact(id="a", separations=(make_separation("a", "x"),)),
        make_contact(id="b", separations=(make_separation("b", "y"),)),
    )
    applied(table, make_merge("b", "a", **ASKED))
    row = merge_row(table, "a")
    assert (row.survivor.separations, row.merged.separations) == ((), ())


def test_a_journal_row_says_what_the_survivor_lost() -> None:
    unverified = {
        "email": make_email("x@b.cd", verified=False),
        "phone_number": make_phone_number("+490", verified=False),
    }
    table = make_table(
        make_contact(id="a", **unverified), make_contact(id="b", email="b@b.cd", phone_number="+492", known=True)
    )
    applied(table, make_merge("b", "a", **ASKED))
    row = merge_row(table, "a")
    assert (row.replaced_email, row.replaced_phone_number) == (unverified["email"], unverified["phone_number"])


def test_a_phone_number_that_the_request_replaced_comes_back_by_an_unmerge() -> None:
    table = make_table(
        make_contact(id="a", external_id="u1", phone_number="+491", known=True),
        make_contact(id="b", email="b@b.cd", phone_number="+492", known=True),
    )
    applied(table, make_identify_command(external_id="u1", email="b@b.cd", phone_number="+492", **ASKED))
    assert contact(table, "a").phone_number == make_phone_number("+492")
    applied(table, make_unmerge("b", **ASKED))
    assert contact(table, "a").phone_number == make_phone_number("+491")
    assert contact(table, "b").phone_number == make_phone_number("+492")
    assert table.holder("phone_number", "+491") == "a"


def test_an_email_of_its_own_is_not_replaced_by_an_unmerge() -> None:
    table = make_table(
        make_contact(id="a", external_id="u1", email="old@b.cd", phone_number="+490", known=True),
        make_contact(id="b", phone_number="+492", known=True),
    )
    both = {"external_id": "u1", "email": "new@b.cd", "phone_number": "+492"}
    applied(table, make_identify_command(**both, **ASKED))
    applied(table, make_identify_command(external_id="u1", phone_number="+493", **ASKED))
    applied(table, make_unmerge("b", **ASKED))
    assert contact(table, "a").email == make_email("new@b.cd")
    assert contact(table, "a").phone_number == make_phone_number("+493")


def test_an_entry_says_when_and_by_which_request() -> None:
    table = make_table(make_contact(id="a"), make_contact(id="b"))
    table.offset = 40
    applied(table, make_merge("b", "a", **ASKED))
    decision = applied(table, make_info("a"))
    assert decision.slip == make_resume_slip(
        contact=view_contact(contact(table, "a")),
        details=make_details(
            aliases=("b",),
            journal=(
                make_journal_entry(
                    merged_id="b",
                    into_id="a",
                    merged_at_ms=LATER_MS,
                    why="command",
                    request_id="request-7",
                    offset=40,
                    survivor_before=view_contact(make_contact(id="a")),
                    merged_before=view_contact(make_contact(id="b")),
                ),
            ),
        ),
    )


@pytest.mark.parametrize(("bytes_max", "shown"), [(21, False), (22, True)])
def test_both_contacts_of_an_entry_count_and_it_may_be_exactly_as_large(
    monkeypatch: pytest.MonkeyPatch, *, bytes_max: int, shown: bool
) -> None:
    """Two empty objects of metadata, and 18 bytes of custom values."""
    monkeypatch.setattr(journal, "STATES_BYTES_MAX", bytes_max)
    values = {"app": ["123", "4é"], "device": "678"}
    table = make_table(
        make_contact(id="a", identifiers=values), make_contact(id="b", identifiers={"device": "901234567"})
    )
    applied(table, make_merge("b", "a"))
    details = slip_of(table, make_info("a")).details
    assert details is not None
    (entry,) = details.journal
    assert (entry.survivor_before is not None, entry.merged_before is not None) == (shown, shown)


# What is left


def test_an_id_that_was_given_away_leads_to_another_by_name() -> None:
    table = make_table()
    applied(table, make_identify_command(external_id="u1"))
    slip = slip_of(table, make_identify_command(external_id="u2"))
    assert slip.minted == airy_id(f"conversation{NEW_ID}")


def test_of_two_that_one_kind_brings_the_older_is_the_target() -> None:
    table = make_table(
        make_contact(id="young", identifiers={"device": "d1"}, created_at_ms=9),
        make_contact(id="old", identifiers={"device": "d2"}, created_at_ms=8),
    )
    slip = slip_of(table, make_identify_command(identifiers={"device": ["d1", "d2"]}))
    assert slip.contact.id == "old"
    assert slip.merged == ("young",)
    assert contact(table, "old").identifiers == make_custom({"device": ["d2", "d1"]})


def test_two_conversations_are_in_order_too() -> None:
    chats = tuple(make_contact_conversation(id=name, created_at_ms=at) for name, at in (("old", 1), ("new", 2)))
    table = make_table(make_contact(external_id="u1", conversations=chats))
    slip = slip_of(table, make_identify_command(external_id="u1"))
    assert [each.id for each in slip.pending] == ["new", "old"]
