"""Conversations do not depend on the order in which messages arrive, nor on how often."""

from functools import reduce

import hypothesis.strategies as st
from hypothesis import given

from airy_identify.core.conversation import apply_message, finish, limit_stops, open_conversation, visit
from airy_identify.core.values import Conversation, ConversationId, Message
from tests.builders import make_contact_conversation, make_conversation, make_message, make_resume_slip

messages = st.lists(
    st.builds(
        lambda name, sent, updated: make_message(id=name, sent_at_ms=sent, updated_at_ms=updated),
        st.sampled_from(["m1", "m2", "m3"]),
        st.integers(1, 4),
        st.none() | st.integers(1, 3),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda message: (message.id, message.sent_at_ms, message.updated_at_ms),
)


def fold(row: Conversation | None, arriving: list[Message]) -> Conversation | None:
    return reduce(lambda held, message: apply_message(held, message) or held, arriving, row)


@given(st.data(), messages)
def test_any_order_of_arrival_gives_the_same_row(data: st.DataObject, arriving: list[Message]) -> None:
    shuffled = data.draw(st.permutations(arriving))
    row = fold(None, arriving)
    assert row == fold(None, shuffled) == fold(None, arriving + shuffled)
    assert row is not None
    sent_last = [message for message in arriving if message.sent_at_ms == max(m.sent_at_ms for m in arriving)]
    same_message = [message for message in sent_last if message.id == max(m.id for m in sent_last)]
    assert row.last_message == max(same_message, key=lambda message: message.updated_at_ms or 0)


@given(st.data(), messages)
def test_a_conversation_may_be_opened_at_any_time(data: st.DataObject, arriving: list[Message]) -> None:
    minted = make_contact_conversation(created_at_ms=5)
    split = data.draw(st.integers(0, len(arriving)))
    opened_between = open_conversation(fold(None, arriving[:split]), minted)
    assert fold(opened_between, arriving[split:]) == fold(open_conversation(None, minted), arriving)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.none() | st.integers(1, 5)), max_size=70),
    st.integers(1, 8),
    st.permutations(range(8)),
)
def test_the_route_of_a_slip_does_not_change_its_answer(
    chats: list[tuple[int, int | None]], partitions: int, route: list[int]
) -> None:
    pending = [make_contact_conversation(id=f"{n:02}", created_at_ms=created) for n, (created, _) in enumerate(chats)]
    rows = {
        chat.id: make_conversation(id=chat.id, last_message=make_message(id=f"m{chat.id}", sent_at_ms=sent))
        for chat, (_, sent) in zip(pending, chats, strict=True)
        if sent is not None
    }

    def partition_of(conversation_id: ConversationId) -> int:
        return int(conversation_id) % partitions

    def ask(stops: list[int]) -> list[str]:
        slip = limit_stops(make_resume_slip(pending=tuple(pending)), partition_of)
        for stop in stops:
            slip = visit(slip, lambda name: partition_of(name) == stop, rows.get)  # noqa: B023
        answer = finish(slip)
        assert answer.truncated == (len(pending) > 50)
        return [summary.conversation.id for summary in answer.conversations]

    def best(chat_id: str) -> tuple[int, int, int]:
        created, sent = chats[int(chat_id)]
        return (sent or 0, created, -int(chat_id))

    assert ask(route) == ask(list(range(8))) == sorted((chat.id for chat in pending), key=best, reverse=True)[:50]
