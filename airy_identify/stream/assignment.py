"""Who gets which partitions, and who stands by for them: the decision of the group's leader, as a pure function.

- Every partition has one owner. Each log is shared out evenly: no member has two partitions of it more than another.
- A partition stays where it is unless that is against the first rule: as few move as can be.
- What moves goes, where there is room, to the member whose directory is nearest to the end of the changelog.
- The standby of a partition is the member that would get it if its owner died now, by these same rules. So when one
  member dies, each of its tables goes to a member that has a warm copy, and nothing else moves.
- Equal members are told apart by how much they have already, then by name: the same input gives the same answer.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from aiokafka.structs import TopicPartition

NEAR_OFFSETS = 10_000
"""Copies that differ by less are taken for equally warm: a restore reads that in a fraction of a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a member tells the group's leader when it joins.

    Args:
        round: Which of the leaders' decisions `active` is from; of two that claim a partition the later one has it.
        active: The partitions that the member owned.
        warm: Partitions of logs whose table the member has a copy of, and the changelog offset that comes next in it;
            0 when a directory is there that nobody has looked into.
        next_for: The partitions that the member was chosen for should their owner die.
        stands_by: Whether the member takes standbys.
        topics: What it is subscribed to; null for everything.
    """

    round: int = 0
    active: frozenset[TopicPartition] = frozenset()
    warm: Mapping[TopicPartition, int] = field(default_factory=dict)
    next_for: frozenset[TopicPartition] = frozenset()
    stands_by: bool = False
    topics: frozenset[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What a member gets. `next_for` are those of the standbys that it is to own should their owner die."""

    active: frozenset[TopicPartition]
    standby: frozenset[TopicPartition]
    next_for: frozenset[TopicPartition]


def share_out(
    members: Mapping[str, Claims], partitions: Mapping[str, int], *, tables: Iterable[str], standby_replicas: int
) -> dict[str, Share]:
    """Share out all partitions of these topics, and the standbys of those that have tables."""
    owners: dict[TopicPartition, str] = {}
    load: Counter[str] = Counter()
    standbys: dict[str, set[TopicPartition]] = {name: set() for name in members}
    next_for: dict[str, set[TopicPartition]] = {name: set() for name in members}
    for topic in sorted(partitions):
        subscribed = {
            name: claims for name, claims in sorted(members.items()) if claims.topics is None or topic in claims.topics
        }
        if not subscribed:
            continue
        owners_of_topic = _share_out_topic(
            subscribed, [TopicPartition(topic, n) for n in range(partitions[topic])], load
        )
        owners |= owners_of_topic
        load.update(owners_of_topic.values())
        if topic in tables and standby_replicas > 0:
            successors = _successors(subscribed, owners_of_topic, load)
            _add_standbys(subscribed, owners_of_topic, successors, standbys, standby_replicas)
            for partition, name in successors.items():
                if partition in standbys[name]:
                    next_for[name].add(partition)
    return {
        name: Share(
            active=frozenset(partition for partition, owner in owners.items() if owner == name),
            standby=frozenset(standbys[name]),
            next_for=frozenset(next_for[name]),
        )
        for name in members
    }


def _share_out_topic(
    members: Mapping[str, Claims], partitions: list[TopicPartition], load: Mapping[str, int]
) -> dict[TopicPartition, str]:
    """Return the owner of each partition of one topic. `load` is how many partitions of others each member has."""
    kept = {name: [] for name in members} | _claimed(members, partitions)
    taken = {partition for held in kept.values() for partition in held}
    free = [partition for partition in partitions if partition not in taken]
    quotas = _quotas(members, len(partitions), kept, free, load)
    room = {name: quotas[name] - len(held) for name, held in kept.items()}
    for name, held in kept.items():
        while room[name] < 0:
            free.append(_given_up(held, members, room))
            held.remove(free[-1])
            room[name] += 1
    owners = {partition: name for name, held in kept.items() for partition in held}
    # Everybody's best copy comes before anybody's second best.
    wishes = sorted((rank, partition, name) for partition in free for rank, name in _copies(members, partition))
    for _, partition, name in wishes:
        if partition not in owners and room[name] > 0:
            owners[partition] = name
            room[name] -= 1
    for partition in sorted(set(free) - owners.keys()):
        name = min(
            (name for name in members if room[name] > 0), key=lambda name: (_total(load, quotas, room, name), name)
        )
        owners[partition] = name
        room[name] -= 1
    return owners


def _claimed(members: Mapping[str, Claims], partitions: list[TopicPartition]) -> dict[str, list[TopicPartition]]:
    """Return what each member owned, without what somebody else has come to own later."""
    kept: dict[str, list[TopicPartition]] = {}
    for partition in partitions:
        claiming = [name for name, claims in members.items() if partition in claims.active]
        if claiming:
            latest = max(claiming, key=lambda name: (members[name].round, members[name].warm.get(partition, -1), name))
            kept.setdefault(latest, []).append(partition)
    return kept


def _quotas(
    members: Mapping[str, Claims],
    count: int,
    kept: Mapping[str, list[TopicPartition]],
    free: list[TopicPartition],
    load: Mapping[str, int],
) -> dict[str, int]:
    """Return how many partitions each member has to have: so that as few as can be move, then by copies and load."""
    floor, extra = divmod(count, len(members))
    best = Counter(name for partition in free for rank, name in _copies(members, partition) if rank == 0)

    def wants_one_more(name: str) -> tuple[bool, bool, int, str]:
        held = len(kept[name])
        return held <= floor, held + best[name] <= floor, load.get(name, 0), name

    more = sorted(members, key=wants_one_more)[:extra]
    return {name: floor + (name in more) for name in members}


def _given_up(held: list[TopicPartition], members: Mapping[str, Claims], room: Mapping[str, int]) -> TopicPartition:
    """Return the partition that a member with too many gives up: one that a member with room has a copy of, if any."""

    def has_a_copy_elsewhere(partition: TopicPartition) -> bool:
        return any(room[name] > 0 for _, name in _copies(members, partition))

    return max(held, key=lambda partition: (has_a_copy_elsewhere(partition), partition))


def _copies(members: Mapping[str, Claims], partition: TopicPartition) -> list[tuple[int, str]]:
    """Return who has a copy of the partition's table, the best first, numbered from 0.

    Of those that are near to the one farthest on, the one that was chosen for it is the best.
    """
    having = {name: claims.warm[partition] for name, claims in members.items() if partition in claims.warm}
    near = max(having.values(), default=0) - NEAR_OFFSETS

    def quality(name: str) -> tuple[bool, bool, int, str]:
        return having[name] < near, partition not in members[name].next_for, -having[name], name

    return list(enumerate(sorted(having, key=quality)))


def _total(load: Mapping[str, int], quotas: Mapping[str, int], room: Mapping[str, int], name: str) -> int:
    return load.get(name, 0) + quotas[name] - room[name]


def _add_standbys(
    members: Mapping[str, Claims],
    owners: Mapping[TopicPartition, str],
    successors: Mapping[TopicPartition, str],
    standbys: dict[str, set[TopicPartition]],
    replicas: int,
) -> None:
    """Choose who stands by for each partition of one topic."""
    able = [name for name, claims in members.items() if claims.stands_by]
    for partition, owner in sorted(owners.items()):
        successor = successors.get(partition)
        chosen = [successor] if successor in able else []
        while len(chosen) < replicas and (left := [name for name in able if name not in (owner, *chosen)]):
            chosen.append(min(left, key=lambda name: (len(standbys[name]), partition not in members[name].warm, name)))
        for name in chosen:
            standbys[name].add(partition)


def _successors(
    members: Mapping[str, Claims], owners: Mapping[TopicPartition, str], load: Mapping[str, int]
) -> dict[TopicPartition, str]:
    """Return who would get each partition if its owner died now."""
    partitions = sorted(owners)
    now = {
        name: replace(claims, round=0, active=frozenset(each for each in partitions if owners[each] == name))
        for name, claims in members.items()
    }
    successors: dict[TopicPartition, str] = {}
    for dead in members:
        alive = {name: claims for name, claims in now.items() if name != dead}
        after = _share_out_topic(alive, partitions, load) if alive else {}
        successors |= {partition: after[partition] for partition in now[dead].active & after.keys()}
    return successors
