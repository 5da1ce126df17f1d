"""What the broker knows of our group: which partitions nobody has."""

import asyncio
import time
from collections.abc import Iterable

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.structs import TopicPartition

from airy_identify.kafka import KafkaClients, close_client

NOTHING_APPLIED = "nothing applied yet"
"""Metadata of an offset that lies behind what nobody reads: aborted records, control records, records long gone."""

_COORDINATOR_S = 20.0
_COORDINATOR_EVERY_S = 0.2


async def unassigned_partitions(clients: KafkaClients, group_id: str, topics: Iterable[str]) -> list[tuple[str, int]]:
    """Return the partitions of these topics that exist and that no member of the group has.

    While the group is not stable nobody has any, and nothing is returned. Faust's assignor takes the number of
    partitions from one member's metadata unchecked, so this asks the cluster. Raises `KafkaError`.
    """
    admin = clients.admin()
    try:
        await admin.start()
        (response,) = await admin.describe_consumer_groups([group_id])
        ((error_code, _, state, _, _, members, *_),) = response.groups
        if error_code:
            raise for_code(error_code)(f"describing group {group_id}")
        if state != "Stable":
            return []
        described = await admin.describe_topics(list(topics))
    finally:
        await close_client(admin)
    assigned: set[tuple[str, int]] = set()
    for _, _, _, _, assignment, *_ in members:
        for topic, partitions in ConsumerProtocolMemberAssignment.decode(assignment).assignment:
            assigned.update((topic, partition) for partition in partitions)
    existing = {(topic["topic"], part["partition"]) for topic in described for part in topic["partitions"]}
    return sorted(existing - assigned)


async def committed_offset(clients: KafkaClients, group_id: str, partition: TopicPartition) -> int:
    """Return the offset up to which the group has applied a partition; 0 when it has none. Raises `KafkaError`.

    On a new cluster the topic of offsets is made at the first question, which is asked again until there is an answer.
    """
    admin = clients.admin()
    deadline = time.monotonic() + _COORDINATOR_S
    try:
        await admin.start()
        while True:
            try:
                found = (await admin.list_consumer_group_offsets(group_id, partitions=[partition])).get(partition)
                return 0 if found is None or found.metadata == NOTHING_APPLIED else max(0, int(found.offset))
            except (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError):
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(_COORDINATOR_EVERY_S)
    finally:
        await close_client(admin)


async def cluster_id(clients: KafkaClients) -> str | None:
    """Return the id of the cluster; null when its brokers do not tell. Raises `KafkaError`."""
    admin = clients.admin()
    try:
        await admin.start()
        described = await admin.describe_cluster()
    finally:
        await close_client(admin)
    found = described.get("cluster_id")
    return None if found is None else str(found)
