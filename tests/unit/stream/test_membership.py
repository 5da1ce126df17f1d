"""What members of a group tell each other, and that a group can be half of an earlier release."""

from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.stream.assignment import Claims, Share
from airy_identify.stream.faust_overrides.assignor import membership_assignor
from airy_identify.stream.membership import (
    Membership,
    decode_claims,
    decode_share,
    encode_claims,
    encode_share,
)

TOPICS = {"commands": 8, "requests": 4}
partitions = st.builds(TopicPartition, st.sampled_from([*TOPICS]), st.integers(0, 7))


@given(
    st.builds(
        Claims,
        round=st.integers(0, 2**31),
        active=st.frozensets(partitions),
        warm=st.dictionaries(partitions, st.integers(0, 2**62)),
        next_for=st.frozensets(partitions),
        stands_by=st.booleans(),
    )
)
def test_claims_arrive_as_they_were_told(claims: Claims) -> None:
    assert decode_claims(encode_claims(claims)) == claims


@given(st.frozensets(partitions), st.frozensets(partitions), st.integers(0, 2**31))
def test_shares_arrive_as_they_were_told(
    standby: frozenset[TopicPartition], next_for: frozenset[TopicPartition], number: int
) -> None:
    share = Share(active=frozenset(), standby=standby, next_for=next_for)
    assert decode_share(encode_share(share, number)) == (number, standby, next_for)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"null",
        b'{"round":"x"}',
        b'{"version":1,"round":1,"active":{"commands":3},"warm":{},"next_for":{},"stands_by":true,"standby":3}',
        b'{"version":1,"round":1,"active":[],"warm":{},"next_for":{},"stands_by":true,"standby":[]}',
        b'{"version":1,"round":1,"active":{},"warm":{"commands":[1]},"next_for":{"commands":["x"]},"standby":{}}',
    ],
)
def test_what_cannot_be_read_says_nothing(data: bytes) -> None:
    assert decode_claims(data) == Claims()
    assert decode_share(data) == (None, frozenset(), frozenset())


def test_a_later_version_may_say_more() -> None:
    told = encode_claims(Claims(round=4)).replace(b'"version":1', b'"version":2,"mood":"good"')
    assert decode_claims(told).round == 4


class Cluster(ClusterMetadata):  # type: ignore[misc]
    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(TOPICS[topic]))


class Group:
    """Members that join, and are shared out by one of them, with the bytes that go over the wire."""

    def __init__(self) -> None:
        self.members: dict[str, Any] = {}
        self.memberships: dict[str, Membership] = {}
        self.assigned: dict[str, set[TopicPartition]] = {}

    def join(self, name: str, *, standby_replicas: int = 1) -> None:
        membership = Membership(tables=["commands"], standby_replicas=standby_replicas)
        membership.copies = lambda: dict.fromkeys(
            (each for each in self.assigned.get(name, set()) | membership.standby if each.topic == "commands"), 100
        )
        self.memberships[name] = membership
        self.members[name] = membership_assignor(membership)(None)

    def join_of_earlier_release(self, name: str) -> None:
        self.members[name] = RoundRobinPartitionAssignor

    def leave(self, name: str) -> None:
        del self.members[name]
        self.memberships.pop(name, None)

    def rebalance(self, leader: str) -> None:
        assert {member.name for member in self.members.values()} == {"roundrobin"}, "a protocol that all of them know"
        told = {
            name: ConsumerProtocolMemberMetadata.decode(member.metadata(set(TOPICS)).encode())
            for name, member in self.members.items()
        }
        decided = self.members[leader].assign(Cluster(), told)
        self.assigned = {}
        for name, assignment in decided.items():
            arrived = ConsumerProtocolMemberAssignment.decode(assignment.encode())
            self.assigned[name] = set(arrived.partitions())
            self.members[name].on_assignment(arrived)

    def everything_is_assigned_once(self) -> bool:
        all_of_it = sorted(partition for assigned in self.assigned.values() for partition in assigned)
        return all_of_it == sorted(TopicPartition(topic, n) for topic, count in TOPICS.items() for n in range(count))


@pytest.fixture
def group() -> Group:
    return Group()


def test_who_stands_by_takes_over(group: Group) -> None:
    for name in "abc":
        group.join(name)
    for dying in "cb":
        group.rebalance("a")
        had, commands = group.assigned, {each for each in group.assigned[dying] if each.topic == "commands"}
        standby = {name: membership.standby for name, membership in group.memberships.items()}
        assert sorted(each for every in standby.values() for each in every) == [("commands", n) for n in range(8)]
        group.leave(dying)
        group.rebalance("a")
        assert group.everything_is_assigned_once()
        for name in group.members:
            assert had[name] <= group.assigned[name]
            assert (group.assigned[name] & commands) <= standby[name]
    group.rebalance("a")
    assert group.memberships["a"].standby == frozenset(), "nobody is there to stand by for"


@pytest.mark.parametrize("leader", ["new", "old"])
def test_workers_of_an_earlier_release_can_be_in_the_group(group: Group, leader: str) -> None:
    group.join_of_earlier_release("old")
    group.join("new")
    group.join("newer")
    for each in ("new", leader, leader):
        group.rebalance(each)
        assert group.everything_is_assigned_once()
        sizes = [len(assigned) for assigned in group.assigned.values()]
        assert max(sizes) - min(sizes) <= len(TOPICS)
    standing = [len(group.memberships[name].standby) for name in ("new", "newer")]
    assert sum(standing) == (8 if leader == "new" else 0)
    group.leave("old")
    had = group.assigned
    group.rebalance("newer")
    assert group.everything_is_assigned_once()
    assert all(had[name] <= group.assigned[name] for name in group.members), "nothing else moves when it leaves"


def test_who_takes_no_standbys_gets_none(group: Group) -> None:
    group.join("a")
    group.join("b", standby_replicas=0)
    group.rebalance("a")
    assert group.memberships["b"].standby == frozenset()
    assert group.memberships["a"].standby == {each for each in group.assigned["b"] if each.topic == "commands"}


def test_a_member_that_was_frozen_finds_its_partitions_with_others(group: Group) -> None:
    for name in "ab":
        group.join(name)
    group.rebalance("a")
    frozen, had = group.members["b"], group.memberships["b"]
    group.leave("b")
    for _ in range(2):
        group.rebalance("a")
    assert len(group.assigned["a"]) == 12
    group.members["b"], group.memberships["b"] = frozen, had
    before = group.assigned["a"]
    group.rebalance("b")
    assert group.everything_is_assigned_once()
    assert group.assigned["a"] < before
    assert len(group.assigned["a"]) == 6


def test_faust_asks_the_assignor_about_nothing_that_it_does_not_know(group: Group) -> None:
    group.join("a")
    assignor = group.members["a"]
    for question in (assignor.assigned_standbys, assignor.assigned_actives, assignor.tables_metadata):
        answer: Callable[[], Any] = question
        assert not answer()
    assert not assignor.is_active(("commands", 0))
    assert not assignor.is_standby(("commands", 0))
    assert assignor.group_for_topic("commands") == 0
    assert assignor.table_metadata("commands") == {}
