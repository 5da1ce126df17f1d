"""Who gets which partitions: random groups, and the few cases that somebody wants to read."""

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.stream.assignment import Claims, Share, share_out

TABLES = ("commands", "conversations")
TOPICS = ("commands", "conversations", "requests")

names = st.sampled_from("abcdef")
topics = st.dictionaries(st.sampled_from(TOPICS), st.integers(1, 6), min_size=1)
partition_lists = st.frozensets(st.builds(TopicPartition, st.sampled_from(TOPICS), st.integers(0, 5)))
claims = st.builds(
    Claims,
    round=st.integers(0, 3),
    active=partition_lists,
    warm=st.dictionaries(st.builds(TopicPartition, st.sampled_from(TABLES), st.integers(0, 5)), st.integers(0, 3)),
    stands_by=st.booleans(),
)
groups = st.dictionaries(names, claims, min_size=1)


def shared(members: Mapping[str, Claims], partitions: Mapping[str, int], replicas: int = 1) -> dict[str, Share]:
    return share_out(members, partitions, tables=TABLES, standby_replicas=replicas)


def all_of(partitions: Mapping[str, int]) -> set[TopicPartition]:
    return {TopicPartition(topic, number) for topic, count in partitions.items() for number in range(count)}


def of_topic(share: Share, topic: str) -> set[TopicPartition]:
    return {partition for partition in share.active if partition.topic == topic}


def next_claims(members: Mapping[str, Claims], shares: Mapping[str, Share]) -> dict[str, Claims]:
    """What members claim when they have had their shares for a while: all copies of tables are up to date."""
    return {
        name: Claims(
            round=7,
            active=share.active,
            warm=dict(members[name].warm)
            | dict.fromkeys((part for part in share.active | share.standby if part.topic in TABLES), 1000),
            next_for=share.next_for,
            stands_by=members[name].stands_by,
        )
        for name, share in shares.items()
    }


def fresh(*members: str, stands_by: bool = True) -> dict[str, Claims]:
    return {name: Claims(stands_by=stands_by) for name in members}


@given(groups, topics, st.integers(0, 3))
def test_every_partition_has_one_owner_and_each_topic_is_shared_evenly(
    members: dict[str, Claims], partitions: dict[str, int], replicas: int
) -> None:
    shares = shared(members, partitions, replicas)

    owned = Counter(partition for share in shares.values() for partition in share.active)
    assert owned == Counter(all_of(partitions))
    for topic in partitions:
        sizes = [len(of_topic(share, topic)) for share in shares.values()]
        assert max(sizes) - min(sizes) <= 1


@given(groups, topics, st.integers(0, 3))
def test_standbys_are_of_tables_as_many_as_there_can_be_and_never_beside_their_owner(
    members: dict[str, Claims], partitions: dict[str, int], replicas: int
) -> None:
    shares = shared(members, partitions, replicas)

    standing = Counter(partition for share in shares.values() for partition in share.standby)
    for name, share in shares.items():
        assert not share.active & share.standby
        assert members[name].stands_by or not share.standby
        for partition in share.active:
            able = sum(other.stands_by for each, other in members.items() if each != name)
            assert standing[partition] == (min(replicas, able) if partition.topic in TABLES else 0)


@given(groups, topics)
def test_as_few_partitions_move_as_can_be(members: dict[str, Claims], partitions: dict[str, int]) -> None:
    shares = shared(members, partitions)

    for topic, count in partitions.items():
        parts = [TopicPartition(topic, number) for number in range(count)]
        claiming = {part: [name for name in members if part in members[name].active] for part in parts}
        latest = {
            part: {name for name in who if members[name].round == max(members[each].round for each in who)}
            for part, who in claiming.items()
        }
        if any(len(who) > 1 for who in latest.values()):
            continue  # two who claim the same, with nothing that tells them apart
        moved = sum(bool(who) and part not in shares[min(who)].active for part, who in latest.items())
        held = [sum(who == {name} for who in latest.values()) for name in members]
        floor, extra = divmod(count, len(members))
        sizes = itertools.combinations(range(len(members)), extra)
        fewest = min(sum(max(0, have - floor - (number in more)) for number, have in enumerate(held)) for more in sizes)
        assert moved == fewest


@given(groups, topics, st.integers(1, 3))
def test_when_one_dies_its_tables_go_to_those_that_stood_by_and_nothing_else_moves(
    members: dict[str, Claims], partitions: dict[str, int], replicas: int
) -> None:
    everybody = {name: replace(claims, stands_by=True) for name, claims in members.items()}
    before = shared(everybody, partitions, replicas)
    for dead in before:
        alive = {name: claims for name, claims in next_claims(everybody, before).items() if name != dead}
        if not alive:
            continue
        after = shared(alive, partitions, replicas)
        for name, share in after.items():
            assert before[name].active <= share.active
            gained = {partition for partition in share.active - before[name].active if partition.topic in TABLES}
            assert gained <= before[name].standby


@given(groups, topics, st.integers(0, 3))
def test_nothing_moves_when_nothing_has_changed(
    members: dict[str, Claims], partitions: dict[str, int], replicas: int
) -> None:
    before = shared(members, partitions, replicas)
    after = shared(next_claims(members, before), partitions, replicas)

    assert {name: share.active for name, share in after.items()} == {
        name: share.active for name, share in before.items()
    }


@given(groups, topics, st.randoms(use_true_random=False))
def test_the_order_in_which_members_are_named_does_not_matter(
    members: dict[str, Claims], partitions: dict[str, int], dice: object
) -> None:
    shuffled = list(members.items())
    dice.shuffle(shuffled)  # type: ignore[attr-defined]

    assert shared(dict(shuffled), partitions) == shared(members, partitions)


@given(st.integers(1, 6), topics)
def test_a_new_group_is_shared_evenly_over_all_topics(count: int, partitions: dict[str, int]) -> None:
    sizes = [len(share.active) for share in shared(fresh(*"abcdef"[:count]), partitions).values()]

    assert max(sizes) - min(sizes) <= 1


def test_who_comes_back_gets_what_is_still_on_its_disk() -> None:
    partitions = {"commands": 8}
    three = shared(fresh("a", "b", "c"), partitions)
    two = shared(
        {name: claim for name, claim in next_claims(fresh("a", "b", "c"), three).items() if name != "c"}, partitions
    )
    on_disk = Claims(stands_by=True, warm=dict.fromkeys(three["c"].active, 0))
    again = shared(next_claims(fresh("a", "b"), two) | {"c": on_disk}, partitions)

    assert again["c"].active <= three["c"].active
    assert len(again["c"].active) >= 2


def test_the_best_copy_has_precedence_and_a_cold_member_gets_work_all_the_same() -> None:
    part = [TopicPartition("commands", number) for number in range(2)]
    shares = shared(
        {
            "behind": Claims(warm={part[0]: 10, part[1]: 10}),
            "cold": Claims(),
            "near": Claims(warm={part[0]: 900}),
        },
        {"commands": 2},
    )

    assert shares["near"].active == {part[0]}
    assert shares["behind"].active == {part[1]}
    assert shares["cold"].active == frozenset()


def test_of_two_that_claim_a_partition_the_later_owner_has_it() -> None:
    part = TopicPartition("commands", 0)
    shares = shared(
        {"thawed": Claims(round=3, active=frozenset({part})), "owner": Claims(round=4, active=frozenset({part}))},
        {"commands": 1},
    )

    assert shares["owner"].active == {part}


def test_a_member_of_a_release_that_does_not_know_a_topic_gets_none_of_it() -> None:
    members = {"new": Claims(), "old": Claims(topics=frozenset({"requests"}))}
    shares = shared(members, {"commands": 3, "requests": 4})

    assert len(of_topic(shares["new"], "commands")) == 3
    assert len(of_topic(shares["old"], "requests")) == 2
    assert shared({"old": members["old"]}, {"commands": 3})["old"].active == frozenset()


def test_who_has_one_more_already_keeps_it_although_another_has_copies_of_the_rest() -> None:
    part = [TopicPartition("commands", number) for number in range(7)]
    members = {
        "has more": Claims(active=frozenset(part[:3])),
        "has copies": Claims(active=frozenset(part[3:5]), warm=dict.fromkeys(part[5:], 900)),
        "cold": Claims(),
    }

    assert shared(members, {"commands": 7})["has more"].active == set(part[:3])


def test_who_was_chosen_gets_it_unless_it_is_far_behind() -> None:
    part = TopicPartition("commands", 0)
    for behind, owner in ((9_000, "chosen"), (11_000, "other")):
        chosen = Claims(warm={part: 100_000 - behind}, next_for=frozenset({part}))
        shares = shared({"chosen": chosen, "other": Claims(warm={part: 100_000})}, {"commands": 1})

        assert shares[owner].active == {part}
