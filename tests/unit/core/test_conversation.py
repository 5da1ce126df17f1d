from collections.abc import Mapping
from typing import Any

import pytest

from airy_identify.core.answers import ContactInfo, ConversationSummary, Identified, ResumeSlip, TokenGiven
from airy_identify.core.conversation import (
    CONTENT_BYTES_MAX,
    apply_message,
    conversation_seen,
    finish,
    give_token,
    limit_stops,
    open_conversation,
    shorten,
    visit,
)
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import (
    ContactConversation,
    Conversation,
    ConversationRow,
    Forgotten,
    Message,
    SeenConversation,
)
from tests.builders import (
    CHANNEL_ID,
    NEW_ID,
    OTHER_CHANNEL_ID,
    make_again,
    make_contact_conversation,
    make_conversation,
    make_details,
    make_message,
    make_resume_slip,
    make_seen_conversation,
    make_token_slip,
)

FIRST = make_message(id="m1", sent_at_ms=10)


def after(*messages: Message) -> Message | None:
    row = None
    for message in messages:
        row = apply_message(row, message) or row
    assert row is not None
    return row.last_message


# The last message


def test_the_first_message_makes_a_row_that_does_not_know_when_it_began() -> None:
    assert apply_message(None, FIRST) == make_conversation(created_at_ms=None, last_message=FIRST)


def test_the_first_message_keeps_what_the_opened_row_knows() -> None:
    row = make_conversation(created_at_ms=5, channel_id=OTHER_CHANNEL_ID)
    assert apply_message(row, FIRST) == make_conversation(
        created_at_ms=5, channel_id=OTHER_CHANNEL_ID, last_message=FIRST
    )


def test_the_last_message_is_the_one_sent_last_whenever_it_comes() -> None:
    second = make_message(id="m0", sent_at_ms=20)
    assert after(FIRST, second) == after(second, FIRST) == second


def test_ties_go_to_the_greater_id() -> None:
    tie = make_message(id="m2", sent_at_ms=10)
    assert after(FIRST, tie) == after(tie, FIRST) == tie


def test_an_update_does_not_win_a_tie_for_the_smaller_id() -> None:
    updated = make_message(id="m1", sent_at_ms=10, updated_at_ms=99)
    tie = make_message(id="m2", sent_at_ms=10)
    assert after(updated, tie) == after(tie, updated) == tie


def test_a_newer_or_equal_record_of_the_same_message_replaces_it() -> None:
    updated = make_message(id="m1", sent_at_ms=10, updated_at_ms=11, content="edited")
    equal = make_message(id="m1", sent_at_ms=10, updated_at_ms=11, content="delivered")
    assert after(FIRST, updated) == after(updated, FIRST) == updated
    assert after(updated, equal) == equal
    assert after(FIRST, make_message(id="m1", sent_at_ms=10, content="same time")) != FIRST


def test_an_update_of_an_older_message_does_not_make_it_the_last() -> None:
    second = make_message(id="m2", sent_at_ms=20)
    assert after(FIRST, second, make_message(id="m1", sent_at_ms=10, updated_at_ms=30)) == second


def test_a_message_that_changes_nothing_writes_nothing() -> None:
    row = make_conversation(last_message=FIRST)
    assert apply_message(row, FIRST) is None
    assert apply_message(row, make_message(id="m0", sent_at_ms=9)) is None


def test_the_earliest_message_known_counts_whenever_it_comes() -> None:
    row = make_conversation(created_at_ms=None, last_message=FIRST, first_sent_at_ms=10)
    earlier = apply_message(row, make_message(id="m0", sent_at_ms=9, tenant="t"))
    assert earlier == make_conversation(created_at_ms=None, last_message=FIRST, first_sent_at_ms=9)


def test_a_message_is_kept_without_the_tenant_that_it_came_with() -> None:
    row = apply_message(None, make_message(tenant="t"))
    assert row is not None
    assert row.last_message == make_message()
    assert apply_message(row, make_message(tenant="t")) is None


# What the table of contacts learns


def seen(*messages: Message, row: Conversation | Forgotten | None = None) -> list[SeenConversation | None]:
    told = []
    for message in messages:
        changed = apply_message(row, make_again(message, tenant="t"))
        told.append(conversation_seen(row, changed))
        row = changed or row
    return told


def test_a_conversation_is_seen_at_its_first_message_and_when_an_earlier_one_comes() -> None:
    later = make_message(id="m2", sent_at_ms=20)
    earlier = make_message(id="m0", sent_at_ms=5)
    told = make_seen_conversation(created_at_ms=10)
    assert seen(FIRST, later, FIRST, earlier) == [told, None, None, make_seen_conversation(created_at_ms=5)]


def test_a_conversation_from_before_is_seen_at_its_next_message() -> None:
    row = make_conversation(created_at_ms=None, last_message=FIRST)
    assert seen(make_message(id="m2", sent_at_ms=20), row=row) == [make_seen_conversation(created_at_ms=20)]


def test_a_message_of_an_earlier_release_leaves_it_to_the_next_one() -> None:
    row = apply_message(None, FIRST)
    assert conversation_seen(None, row) is None
    assert seen(make_message(id="m2", sent_at_ms=20), row=row) == [make_seen_conversation(created_at_ms=20)]


def test_what_was_minted_here_forgotten_or_is_of_another_source_is_not_seen() -> None:
    assert seen(FIRST, row=make_conversation(created_at_ms=5)) == [None]
    assert seen(FIRST, row=Forgotten()) == [None]
    assert seen(make_message(source="facebook")) == [None]


def test_content_over_16_kib_of_utf8_is_not_kept() -> None:
    fits = "é" * (CONTENT_BYTES_MAX // 2)
    for content in ("short", fits, "x" * CONTENT_BYTES_MAX):
        message = make_message(content=content)
        assert shorten(message) is message
    for content in (fits + "x", "x" * (CONTENT_BYTES_MAX + 1)):
        assert shorten(make_message(content=content)) == make_message(content=None)
    assert shorten(make_message(content=None)) == make_message(content=None)


def test_rows_stay_small_and_unchanged_by_the_same_long_message() -> None:
    long = make_message(content="x" * 1_000_000)
    row = apply_message(None, long)
    assert row == make_conversation(created_at_ms=None, last_message=make_message(content=None))
    assert apply_message(row, long) is None
    assert apply_message(make_conversation(), long) == make_conversation(last_message=make_message(content=None))


def test_a_minted_conversation_is_opened_once() -> None:
    minted = make_contact_conversation(created_at_ms=5)
    opened = make_conversation(created_at_ms=5)
    assert open_conversation(None, minted) == opened
    assert open_conversation(opened, minted) is None


def test_a_conversation_may_be_opened_after_its_first_message() -> None:
    row = make_conversation(created_at_ms=None, channel_id=OTHER_CHANNEL_ID, last_message=FIRST, first_sent_at_ms=10)
    assert open_conversation(row, make_contact_conversation(created_at_ms=5)) == make_conversation(
        created_at_ms=5, channel_id=CHANNEL_ID, last_message=FIRST, first_sent_at_ms=10
    )


# The routing slip


def conversations(count: int) -> tuple[ContactConversation, ...]:
    return tuple(make_contact_conversation(id=f"c{number:03}", created_at_ms=1000 - number) for number in range(count))


def look_up_all(slip: ResumeSlip, rows: Mapping[Any, ConversationRow]) -> ResumeSlip:
    return visit(slip, lambda _: True, rows.get)


def test_a_visit_looks_up_what_is_held_and_leaves_the_rest() -> None:
    one, two, three = conversations(3)
    rows = {"c000": make_conversation(id="c000"), "c002": make_conversation(id="c002", last_message=FIRST)}
    slip = visit(make_resume_slip(pending=(one, two, three)), lambda name: name != "c001", rows.get)
    assert slip.pending == (two,)
    assert slip.summaries == (
        ConversationSummary(conversation=three, last_message=FIRST),
        ConversationSummary(conversation=one, last_message=None),
    )
    assert not slip.truncated


def test_a_conversation_without_a_row_has_no_last_message() -> None:
    (one,) = conversations(1)
    slip = look_up_all(make_resume_slip(pending=(one,)), {})
    assert slip.summaries == (ConversationSummary(conversation=one, last_message=None),)


def test_a_conversation_that_was_forgotten_since_is_left_out() -> None:
    one, gone = conversations(2)
    slip = look_up_all(make_resume_slip(pending=(one, gone)), {gone.id: Forgotten()})
    assert slip.summaries == (ConversationSummary(conversation=one, last_message=None),)
    assert not slip.truncated


def test_the_best_come_first() -> None:
    said = {
        "old": make_message(id="m1", sent_at_ms=10),
        "tie-late": make_message(id="m2", sent_at_ms=20),
        "tie-early-a": make_message(id="m3", sent_at_ms=20),
        "tie-early-b": make_message(id="m4", sent_at_ms=20),
    }
    pending = [make_contact_conversation(id=name, created_at_ms=2 if name == "tie-late" else 1) for name in said]
    pending += [
        make_contact_conversation(id="silent-b", created_at_ms=5),
        make_contact_conversation(id="silent-a", created_at_ms=5),
        make_contact_conversation(id="silent-new", created_at_ms=9),
    ]
    rows = {name: make_conversation(id=name, last_message=message) for name, message in said.items()}
    expected = ["tie-late", "tie-early-a", "tie-early-b", "old", "silent-new", "silent-a", "silent-b"]
    for order in (pending, pending[::-1]):
        slip = look_up_all(make_resume_slip(pending=tuple(order)), rows)
        assert [summary.conversation.id for summary in slip.summaries] == expected


def test_something_said_at_the_epoch_comes_before_nothing_said() -> None:
    silent, said = conversations(2)
    rows = {said.id: make_conversation(id=said.id, last_message=make_message(sent_at_ms=0))}
    slip = look_up_all(make_resume_slip(pending=(silent, said)), rows)
    assert [summary.conversation.id for summary in slip.summaries] == [said.id, silent.id]


def test_50_are_kept_and_the_51st_truncates() -> None:
    full = look_up_all(make_resume_slip(pending=conversations(50)), {})
    assert (len(full.summaries), full.truncated) == (50, False)
    over = look_up_all(make_resume_slip(pending=conversations(51)), {})
    assert [summary.conversation.id for summary in over.summaries] == [c.id for c in conversations(50)]
    assert over.truncated


def test_a_later_stop_may_push_out_what_an_earlier_one_kept() -> None:
    *most, last = conversations(51)
    rows = {last.id: make_conversation(id=last.id, last_message=FIRST)}
    slip = visit(make_resume_slip(pending=(*most, last)), lambda name: name != last.id, rows.get)
    slip = look_up_all(slip, rows)
    assert slip.summaries[0].conversation == last
    assert (len(slip.summaries), slip.truncated, slip.pending) == (50, True, ())


def test_what_was_truncated_stays_so() -> None:
    assert look_up_all(make_resume_slip(pending=conversations(1), truncated=True), {}).truncated


def test_a_slip_visits_at_most_8_partitions_those_of_the_newest_conversations() -> None:
    slip = make_resume_slip(pending=conversations(20))
    limited = limit_stops(slip, lambda name: int(name[1:]) % 10)
    assert [conversation.id for conversation in limited.pending] == [
        f"c{number:03}" for number in (*range(8), *range(10, 18))
    ]
    assert limited.truncated


def test_few_partitions_are_no_limit() -> None:
    slip = make_resume_slip(pending=conversations(20))
    assert limit_stops(slip, lambda name: int(name[1:]) % 8) is slip
    assert limit_stops(slip, lambda _: 3, stops_max=1) is slip


def test_the_answer_is_what_the_slip_gathered() -> None:
    summaries = (ConversationSummary(conversation=make_contact_conversation(), last_message=FIRST),)
    slip = make_resume_slip(
        summaries=summaries,
        created_contact=True,
        created_conversation=True,
        minted=NEW_ID,
        truncated=True,
        dry_run=True,
    )
    answer = finish(slip)
    assert isinstance(answer, Identified)
    for name in ("request_id", "contact", "created_contact", "created_conversation", "merged", "warnings"):
        assert getattr(answer, name) == getattr(slip, name)
    assert (answer.conversations, answer.truncated, answer.dry_run) == (summaries, True, True)
    assert answer.accepted_at_ms == slip.accepted_at_ms
    assert not finish(make_resume_slip(summaries=summaries)).truncated


def test_an_answer_without_a_messages_content_is_truncated() -> None:
    cut = ConversationSummary(conversation=make_contact_conversation(), last_message=make_message(content=None))
    silent = ConversationSummary(conversation=make_contact_conversation(), last_message=None)
    assert finish(make_resume_slip(summaries=(silent, cut))).truncated
    assert not finish(make_resume_slip(summaries=(silent,))).truncated


def test_a_slip_on_its_way_is_no_answer() -> None:
    with pytest.raises(ValueError, match="still to be looked up"):
        finish(make_resume_slip(pending=conversations(1)))


def test_a_slip_with_details_is_answered_as_info() -> None:
    cut = ConversationSummary(conversation=make_contact_conversation(), last_message=make_message(content=None))
    slip = make_resume_slip(summaries=(cut,), details=make_details(aliases=("old",)))
    answer = finish(slip)
    assert isinstance(answer, ContactInfo)
    assert (answer.request_id, answer.contact, answer.conversations) == (slip.request_id, slip.contact, (cut,))
    assert (answer.details, answer.truncated) == (slip.details, True)


# What was forgotten


def test_nothing_late_revives_a_forgotten_conversation() -> None:
    assert apply_message(Forgotten(), FIRST) is None
    assert open_conversation(Forgotten(), make_contact_conversation()) is None


# Tokens


def test_a_token_is_given_on_the_conversations_own_channel() -> None:
    row = make_conversation()
    owned, airys = make_token_slip(owned=True), make_token_slip(owned=False)
    for slip, held in ((owned, row), (owned, None), (airys, row)):
        assert give_token(slip, held) == TokenGiven(
            request_id=slip.request_id,
            accepted_at_ms=slip.accepted_at_ms,
            channel_id=CHANNEL_ID,
            conversation_id=NEW_ID,
        )


@pytest.mark.parametrize(
    ("owned", "row"),
    [
        (True, Forgotten()),
        (False, Forgotten()),
        (False, None),
        (False, make_conversation(channel_id=OTHER_CHANNEL_ID)),
    ],
)
def test_no_token_is_given_for_what_is_not_there(*, owned: bool, row: Conversation | Forgotten | None) -> None:
    rejected = give_token(make_token_slip(owned=owned), row)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.field) == (Reason.UNKNOWN_CONVERSATION, "conversation_id")
