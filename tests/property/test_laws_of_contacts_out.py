"""Whatever callers, visitors and Airy's agents do, and in whatever order rows are read: Airy ends with what is here."""

import random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from airy_identify.core.contacts_out import own_name
from airy_identify.intake.contact_rows import TEXT_CHARACTERS_MAX
from tests import builders as make
from tests.airy_world import PARTITIONS, World
from tests.model.commands import LAW_SEQUENCES

CHANNELS = (make.CHANNEL_ID, make.OTHER_CHANNEL_ID)
LONG = "x" * (TEXT_CHARACTERS_MAX + 1)
"""A name that is not kept of Airy's rows."""
Event = tuple[Any, ...]

small = st.integers(0, 5)
partitions = st.integers(0, PARTITIONS - 1)
identified = st.tuples(
    st.just("identify"),
    st.sampled_from([None, "u1", "u2", "u3"]),
    st.sampled_from([None, "a@b.cd", "c@d.ef"]),
    st.sampled_from([True, True, False]),
    st.sampled_from([None, "d1", "d2"]),
    st.sampled_from(
        [{}, {}, {"display_name": "Ada"}, {"avatar_url": "https://a"}, {"display_name": None}, {"display_name": LONG}]
    ),
    st.sampled_from([CHANNELS[0], CHANNELS[0], CHANNELS[1]]),
    st.sampled_from([0, 0, 0, 1]),
)
asked_here = st.one_of(
    identified,
    identified,
    st.tuples(st.just("merge"), small, small),
    st.tuples(st.just("unmerge"), small),
    st.tuples(st.just("release"), small, st.sampled_from([("email", "a@b.cd"), ("external_id", "u1")])),
    st.tuples(st.just("forget"), small),
)
messages = st.tuples(st.just("message"), small)
done_in_airy = st.one_of(
    st.tuples(st.just("visit")),
    messages,
    st.tuples(st.just("delete"), small),
    st.tuples(st.just("update"), small, st.sampled_from([{"displayName": "Dr. Ada"}, {"title": "Dr."}])),
    st.tuples(st.just("join"), small, small),
)
goes_on = st.one_of(
    st.tuples(st.just("send")),
    st.tuples(st.just("airy_reads"), partitions),
    st.tuples(st.just("airy_goes_on"), small),
    st.tuples(st.just("we_read"), partitions),
    st.tuples(st.just("go on"), st.integers(0, 10_000)),
    st.tuples(st.just("go on"), st.integers(0, 10_000)),
    st.tuples(st.just("settle")),
)


def happen(world: World, event: Event) -> None:  # noqa: C901, PLR0912 - one case each
    """Let an event happen; what it is about is chosen among what there is."""
    match event:
        case ("identify", external_id, email, verified, device, metadata, channel, aborts):
            world.identify(
                external_id=external_id,
                email=make.make_email(email, verified=verified),
                identifiers={"device": [device]} if device else (),
                metadata=metadata or None,
                channel_id=channel,
                aborts=aborts,
            )
        case ("merge", one, other) if ids := _ids(world):
            world.merge(ids[one % len(ids)], ids[other % len(ids)])
        case ("unmerge", one) if aliases := sorted(alias for each in world.contacts for alias in each.aliases):
            world.unmerge(aliases[one % len(aliases)])
        case ("release", one, (kind, value)) if ids := _ids(world):
            world.release(ids[one % len(ids)], kind, value)
        case ("forget", one) if ids := _ids(world):
            world.forget(ids[one % len(ids)])
        case ("visit",):
            world.visit()
        case ("message", one) if world.chats:
            world.message(world.chats[one % len(world.chats)])
        case ("delete", one) if ids := sorted(world.airy.contacts):
            world.ask_airy("delete", ids[one % len(ids)])
        case ("update", one, attributes) if ids := sorted(world.airy.contacts):
            world.ask_airy("update", ids[one % len(ids)], **attributes)
        case ("join", one, other) if ids := sorted(world.airy.contacts):
            world.ask_airy("merge", ids[one % len(ids)], ids[other % len(ids)])
        case ("send",):
            world.send_one()
        case ("airy_reads", partition):
            world.airy_reads(partition)
        case ("airy_goes_on", number):
            world.airy_goes_on(number)
        case ("we_read", partition):
            world.we_read(partition)
        case ("go on", seed):
            world.go_on(random.Random(seed), 40)
        case ("settle",):
            world.settle()


def _ids(world: World) -> list[str]:
    return sorted({*(contact.id for contact in world.contacts), *world.airy.contacts})


def after(events: list[Event]) -> World:
    """Return the world after these events when everything has settled, and somebody wrote in every conversation."""
    world = World()
    for event in events:
        happen(world, event)
    dice = random.Random(len(events))
    world.go_on(dice, dice.choice([0, 400]))
    for we_are_quicker in (dice.random() < 0.5, True, False):
        world.settle(we_are_quicker=we_are_quicker)
        for chat in world.chats:
            world.message(chat)
    world.settle()
    return world


law = settings(
    max_examples=2 * LAW_SEQUENCES,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


here = st.lists(st.one_of(asked_here, goes_on, goes_on, messages), min_size=10, max_size=50)
anywhere = st.lists(st.one_of(asked_here, done_in_airy, goes_on, goes_on), min_size=10, max_size=50)


@law
@given(events=here)
def test_airy_ends_with_one_contact_for_each_of_ours(events: list[Event]) -> None:
    """With its name, too: nobody gives another in Airy."""
    world = after(events)
    assert world.problems() == []
    names = {contact.id: own_name(contact) for contact in world.contacts if own_name(contact) is not None}
    assert {contact_id: world.airy.contacts[contact_id]["displayName"].value for contact_id in names} == names


@law
@given(events=anywhere)
def test_airy_ends_so_too_when_people_delete_merge_and_update_there(events: list[Event]) -> None:
    assert after(events).problems() == []


@law
@given(events=anywhere)
def test_then_nothing_more_is_written(events: list[Event]) -> None:
    """Neither for more messages, nor for requests that change nothing."""
    world = after(events)
    written = world.written
    for contact in world.contacts:
        for chat in contact.conversations:
            world.message(chat.id)
            if contact.external_id is not None:
                world.identify(external_id=contact.external_id, channel_id=chat.channel_id)
    world.settle()
    assert world.written == written


@law
@given(events=anywhere)
def test_the_table_is_the_same_where_airy_is_told_nothing(events: list[Event]) -> None:
    world = after(events)
    assert world.replayed() == world.rows


@pytest.mark.parametrize("seed", [188, 876, 5729, *range(20)])
def test_what_airy_merged_is_with_the_right_contact_however_far_its_partitions_are_apart(seed: int) -> None:
    """The first three went wrong once: a source that was put aside came back when its rows in Airy had gone, or before."""
    dice = random.Random(seed)
    world = World()
    for _ in range(dice.randint(1, 3)):
        who = dice.choice([None, "u1"]), dice.choice([None, "a@b.cd", "c@d.ef"]), dice.choice([True, False])
        happen(world, ("identify", *who, dice.choice([None, "d1", "d2"]), {}, CHANNELS[0], 0))
    for event in [("message", chat) for chat in range(3) if dice.random() < 0.7] + [("visit",)] * dice.randint(0, 2):
        happen(world, event)
    world.settle()
    for _ in range(dice.choice([1, 1, 2])):
        happen(world, ("join", dice.randint(0, 5), dice.randint(0, 5)))
        while world.sends:
            world.send_one()
        ours, airys = ([10 ** dice.uniform(-2, 1) for _ in range(PARTITIONS)] for _ in range(2))
        for _ in range(dice.randint(20, 150)):
            what = dice.random()
            if what < 0.4:
                world.we_read(dice.choices(range(PARTITIONS), ours)[0])
            elif what < 0.8:
                world.airy_reads(dice.choices(range(PARTITIONS), airys)[0])
            else:
                world.airy_goes_on(dice.randint(0, 5))
    world.settle()
    for chat in world.chats:
        world.message(chat)
    world.settle()
    assert world.problems() == []
