"""This process as a member of its group: what it tells the leader, what the leader tells it, and both as bytes.

The bytes are what Kafka calls user data. Members of earlier releases send none and understand none: they get their share
of the partitions, and no standbys. What cannot be read is taken for nothing said, for the group has to be shared out.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from aiokafka.structs import TopicPartition

from airy_identify.stream.assignment import Claims, Share, share_out

logger = logging.getLogger(__name__)

_VERSION = 1


class Membership:
    """What is decided here and for us. `copies` tells which copies of tables this process has, and how far they are.

    `standby` is what we stand by for. The group's thread calls all of this; other threads read whole values only.
    """

    def __init__(self, *, tables: Iterable[str], standby_replicas: int) -> None:
        self.copies: Callable[[], Mapping[TopicPartition, int]] = dict
        self.standby: frozenset[TopicPartition] = frozenset()
        self._tables = frozenset(tables)
        self._standby_replicas = standby_replicas
        self._last = Claims()

    def claim(self) -> bytes:
        """Return what we tell the leader when we join."""
        claims = replace(self._last, warm=self.copies(), stands_by=self._standby_replicas > 0)
        return encode_claims(claims)

    def decide(
        self, members: Mapping[str, tuple[Iterable[str], bytes]], partitions: Mapping[str, int]
    ) -> dict[str, tuple[frozenset[TopicPartition], bytes]]:
        """Share everything out, as the leader: return each member's partitions, and what it is told besides.

        Args:
            members: What each is subscribed to, and what it told.
            partitions: How many partitions each topic has.
        """
        claims = {
            name: replace(decode_claims(told), topics=frozenset(topics)) for name, (topics, told) in members.items()
        }
        shares = share_out(claims, partitions, tables=self._tables, standby_replicas=self._standby_replicas)
        number = 1 + max(each.round for each in claims.values())
        return {name: (share.active, encode_share(share, number)) for name, share in shares.items()}

    def learn(self, active: Iterable[TopicPartition], told: bytes) -> None:
        """Take in what the leader has decided for us."""
        number, standby, next_for = decode_share(told)
        self._last = Claims(
            round=self._last.round if number is None else number, active=frozenset(active), next_for=next_for
        )
        self.standby = standby


def encode_claims(claims: Claims) -> bytes:
    """Return the bytes that tell these claims; topics are told by the subscription."""
    warm: dict[str, dict[int, int]] = defaultdict(dict)
    for partition, position in claims.warm.items():
        warm[partition.topic][partition.partition] = position
    return _encode(
        round=claims.round,
        active=_by_topic(claims.active),
        warm=warm,
        next_for=_by_topic(claims.next_for),
        stands_by=claims.stands_by,
    )


def decode_claims(data: bytes) -> Claims:
    """Return what a member tells; of bytes that cannot be read, nothing."""
    try:
        told = _decode(data)
        return Claims(
            round=int(told["round"]),
            active=_partitions(told["active"]),
            warm={
                TopicPartition(str(topic), int(number)): int(position)
                for topic, positions in told["warm"].items()
                for number, position in positions.items()
            },
            next_for=_partitions(told["next_for"]),
            stands_by=told["stands_by"] is True,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        _note_unreadable("a member's claims", data, error)
        return Claims()


def encode_share(share: Share, number: int) -> bytes:
    """Return the bytes that tell a member what it gets besides its partitions, in the leaders' decision of this number."""
    return _encode(round=number, standby=_by_topic(share.standby), next_for=_by_topic(share.next_for))


def decode_share(data: bytes) -> tuple[int | None, frozenset[TopicPartition], frozenset[TopicPartition]]:
    """Return the number of the decision, the standbys, and for which of them we are next; a leader may tell nothing."""
    try:
        told = _decode(data)
        return int(told["round"]), _partitions(told["standby"]), _partitions(told["next_for"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        _note_unreadable("the leader's decision", data, error)
        return None, frozenset(), frozenset()


def _encode(**fields: object) -> bytes:
    return json.dumps({"version": _VERSION, **fields}, separators=(",", ":"), sort_keys=True).encode()


def _decode(data: bytes) -> dict[str, Any]:
    """Return the fields. A later version may have more of them; what it has of these means the same."""
    told = json.loads(data)
    if not isinstance(told, dict):
        raise TypeError("no object")
    return told


def _by_topic(partitions: Iterable[TopicPartition]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for partition in sorted(partitions):
        found[partition.topic].append(partition.partition)
    return found


def _partitions(by_topic: Mapping[str, Iterable[int]]) -> frozenset[TopicPartition]:
    return frozenset(
        TopicPartition(str(topic), int(number)) for topic, numbers in by_topic.items() for number in numbers
    )


def _note_unreadable(what: str, data: bytes, error: Exception) -> None:
    if data:
        logger.warning("%s cannot be read, and count for nothing: %r", what, error)
