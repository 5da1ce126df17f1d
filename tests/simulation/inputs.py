"""What happens in a simulation, as a list that a seed decides: records for the topics, and sentinels for misfortunes."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.builders import CHANNEL_ID, OTHER_CHANNEL_ID

TENANTS = ("default", "acme", "beta")
ACME_CHANNEL_ID = "0c5c0a1e-93a3-4a39-9d9c-3d8a6f4d2c11"
BETA_CHANNEL_ID = "5a2c57a7-8a3e-4f3b-8a61-7c1f0c8d9e22"
CLOSED_CHANNEL_ID = "c105ed00-8a3e-4f3b-8a61-7c1f0c8d9e22"
CHANNELS: Mapping[str, tuple[str, ...]] = {
    "default": (CHANNEL_ID, OTHER_CHANNEL_ID),
    "acme": (ACME_CHANNEL_ID,),
    "beta": (BETA_CHANNEL_ID,),
}
CHANNEL_TENANTS = {ACME_CHANNEL_ID: "acme", BETA_CHANNEL_ID: "beta"}


class Sentinel(StrEnum):
    """What is done to the service. Each is about a worker that the dice choose."""

    CRASH = "crash"  # it dies between two steps; some time later the group gives its partitions away
    RESTART = "restart"  # it comes up again and takes part in the group
    WIPE = "wipe"  # a dead worker's data directory is gone
    BEHIND = "behind"  # a dead worker's data directory is an old copy
    STOP = "stop"  # it is told to stop, and ends in good order
    REBALANCE = "rebalance"  # the group deals all partitions anew; who has them learns of it late, or never
    CUT_OFF = "cut off"  # it does not reach the broker any more, and does not know that others go on
    RECONNECT = "reconnect"
    TROUBLE = "trouble"  # one of its next requests fails, before or after it was done
    DUPLICATE = "duplicate"  # the last record comes again
    COMPACT = "compact"  # the broker compacts a changelog
    REBUILD = "rebuild"  # an operator makes a table partition again, or starts that a second time
    REBUILD_ENDS = "end of a rebuild"  # it is killed; sometimes its directory is gone too
    A_WEEK = "a week"  # everybody stands still for longer than tombstones are kept, then all is compacted


@dataclass(frozen=True, slots=True)
class Request:
    """A request on `identify-requests`, or through the bridge. Ids in it are numbers of ids that came up so far."""

    fields: Mapping[str, Any] | None
    through_bridge: bool = False
    correlation_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class AiryMessage:
    """A message of Airy's, or a tombstone, or bytes that are no message."""

    fields: Mapping[str, Any] | None
    broken: bool = False


Input = Request | AiryMessage | Sentinel

_SENTINELS = {
    Sentinel.CRASH: 6,
    Sentinel.RESTART: 8,
    Sentinel.WIPE: 3,
    Sentinel.BEHIND: 3,
    Sentinel.STOP: 2,
    Sentinel.REBALANCE: 6,
    Sentinel.CUT_OFF: 4,
    Sentinel.RECONNECT: 5,
    Sentinel.TROUBLE: 8,
    Sentinel.DUPLICATE: 5,
    Sentinel.COMPACT: 4,
    Sentinel.REBUILD: 8,
    Sentinel.REBUILD_ENDS: 3,
    Sentinel.A_WEEK: 1,
}


def make_inputs(dice: random.Random, count: int) -> list[Input]:
    """Return what a seed has in store."""
    return [_input(dice, number) for number in range(count)]


def _input(dice: random.Random, number: int) -> Input:
    chance = dice.random()
    if chance < 0.35:
        return dice.choices(list(_SENTINELS), list(_SENTINELS.values()))[0]
    if chance < 0.45:
        return _message(dice)
    return _request(dice, number)


def _request(dice: random.Random, number: int) -> Request:
    if dice.random() < 0.02:
        return Request(None)
    tenant = dice.choice(TENANTS)
    command = dice.choices(
        ["identify", "merge", "unmerge", "release", "forget", "info", "resume_token"], [24, 4, 3, 2, 2, 2, 2]
    )[0]
    fields: dict[str, Any] = {"command": command, "tenant": tenant}
    if dice.random() < 0.8:
        fields["request_id"] = f"request-{number}"
    contact, other = dice.randrange(12), dice.randrange(12)
    match command:
        case "identify":
            fields |= _identify(dice, tenant)
        case "merge":
            fields |= {"source_id": contact, "destination_id": other}
        case "unmerge" | "forget":
            fields["contact_id"] = contact
        case "release":
            fields |= {"contact_id": contact} | dict(zip(("kind", "value"), _identifier(dice), strict=True))
        case "info":
            fields |= {"contact_id": contact} if dice.random() < 0.5 else _given([_identifier(dice)])
        case _:
            fields |= {"conversation_id": contact, "channel_id": dice.choice(CHANNELS[tenant])}
    correlation_id = b"caller-%d" % number if dice.random() < 0.3 else None
    return Request(fields, through_bridge=dice.random() < 0.25, correlation_id=correlation_id)


def _identify(dice: random.Random, tenant: str) -> dict[str, Any]:
    channel = dice.choice(CHANNELS[tenant]) if dice.random() < 0.97 else CLOSED_CHANNEL_ID
    given = _given([_identifier(dice) for _ in range(dice.choices([0, 1, 2, 3], [1, 12, 10, 5])[0])])
    more: dict[str, Any] = {"channel_id": channel}
    if dice.random() < 0.3:
        more["metadata"] = {dice.choice(["plan", "display_name"]): dice.choice(["pro", "Ada", None])}
    options: list[tuple[str, float, Any]] = [
        ("unverified", 0.15, ["email"]),
        ("on_conflict", 0.1, "reject"),
        ("dry_run", 0.05, True),
        ("explain", 0.1, True),
    ]
    return more | given | {name: value for name, chance, value in options if dice.random() < chance}


def _identifier(dice: random.Random) -> tuple[str, str]:
    return dice.choice(
        [
            ("external_id", f"user-{dice.randrange(4)}"),
            ("email", f"e{dice.randrange(4)}@example.com"),
            ("phone_number", f"+4930901820{dice.randrange(3):02}"),
            ("device_id", f"device-{dice.randrange(3)}"),
        ]
    )


def _given(identifiers: list[tuple[str, str]]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for kind, value in identifiers:
        if kind == "device_id":
            given.setdefault("identifiers", {})[kind] = value
        else:
            given[kind] = value
    return given


def _message(dice: random.Random) -> AiryMessage:
    chance = dice.random()
    if chance < 0.1:
        return AiryMessage(None, broken=chance < 0.05)
    return AiryMessage(
        {
            "id": f"message-{dice.randrange(20)}",
            "conversation": dice.randrange(10),
            "content": dice.choice(['{"text":"Hello"}', "plain", "x" * 20_000]),
            "sent_at_ms": 1_700_000_000_000 + dice.randrange(20),
            "updated_at_ms": dice.choice([None, None, 1_700_000_000_100 + dice.randrange(3)]),
        }
    )
