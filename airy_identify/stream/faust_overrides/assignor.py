"""Faust's `PartitionAssignor`: the group is shared out by `stream.assignment`, and partitions stay where they are."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from faust.types.assignor import PartitionAssignorT
from yarl import URL

from airy_identify.stream.membership import Membership

NAME = "roundrobin"
"""The name that members agree on. It is that of the assignor of our first release, so that a group can be half of
either: their members ignore what ours tell, and one of them as the leader shares out in turns, without standbys."""

_PROTOCOL_VERSION = 0


class MembershipAssignor(AbstractPartitionAssignor, PartitionAssignorT):  # type: ignore[misc]
    """Tells, decides and learns what `membership` says.

    Faust's own keeps partitions where they are for topics of Faust tables only, and does not know which member has a
    copy of what. aiokafka calls the methods of both base classes from the group's thread.
    """

    name = NAME
    version = _PROTOCOL_VERSION
    membership: Membership

    def __init__(self, app: Any, replicas: int = 0) -> None:  # noqa: ANN401 - Faust's signature
        self.app = app
        self.replicas = replicas

    def metadata(self, topics: AbstractSet[str]) -> ConsumerProtocolMemberMetadata:
        """Return what we join with."""
        return ConsumerProtocolMemberMetadata(self.version, sorted(topics), self.membership.claim())

    def assign(
        self, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Share out, as the leader."""
        topics = {topic for member in members.values() for topic in member.subscription}
        partitions = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in topics}
        decided = self.membership.decide(
            {name: (member.subscription, member.user_data or b"") for name, member in members.items()}, partitions
        )
        return {
            name: ConsumerProtocolMemberAssignment(
                self.version,
                [
                    (topic, sorted(each.partition for each in active if each.topic == topic))
                    for topic in sorted({each.topic for each in active})
                ],
                told,
            )
            for name, (active, told) in decided.items()
        }

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Learn what was decided, before Faust hears of it."""
        self.membership.learn(assignment.partitions(), assignment.user_data or b"")

    # What Faust asks about its own tables, of which there are none.

    def group_for_topic(self, topic: str) -> int:  # noqa: ARG002
        """Return Faust's group of transactional ids; there is one."""
        return 0

    def assigned_standbys(self) -> set[Any]:
        """Return nothing: our standbys are no partitions that Faust has to read."""
        return set()

    def assigned_actives(self) -> set[Any]:
        """Return nothing: no partition has a Faust table."""
        return set()

    def is_active(self, tp: Any) -> bool:  # noqa: ANN401, ARG002
        """Return whether a partition has an active Faust table here."""
        return False

    def is_standby(self, tp: Any) -> bool:  # noqa: ANN401, ARG002
        """Return whether a partition has a standby Faust table here."""
        return False

    def key_store(self, topic: str, key: bytes) -> URL:  # noqa: ARG002
        """Tell where the Faust table is that has a key."""
        return URL()

    def table_metadata(self, topic: str) -> dict[str, Any]:  # noqa: ARG002
        """Tell where a Faust table is."""
        return {}

    def tables_metadata(self) -> dict[str, Any]:
        """Tell where all Faust tables are."""
        return {}


def membership_assignor(membership: Membership) -> type[MembershipAssignor]:
    """Return the class for Faust's setting `PartitionAssignor`, which takes no arguments of ours."""
    return type("MembershipAssignor", (MembershipAssignor,), {"membership": membership})
