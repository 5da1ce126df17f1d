"""How long the topics that a rebuild needs are kept, and whether that is long enough: said before it is too late."""

from collections.abc import Sequence
from dataclasses import dataclass

from airy_identify.ops.topics import read_topics
from airy_identify.settings import Settings
from airy_identify.topics import CONVERSATION, CONVERSATION_COMMANDS_RETENTION_MS, IDENTITY

_SETTINGS = ("cleanup.policy", "retention.ms", "retention.bytes")
_FOREVER = -1
_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a rebuild needs of a topic. `keeps_ms` is how long, -1 for ever; `what` is lost when it is kept for less.

    `compacted`: the last record of each key is enough, for ever; otherwise each record is needed.
    """

    topic: str
    keeps_ms: int
    what: str
    compacted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How long a topic is kept, as the brokers have it, and what is wrong with that; null when nothing is.

    `retention_ms` and `retention_bytes` (of each partition) are null where records are only compacted; -1 is no limit.
    """

    topic: str
    cleanup_policy: str
    retention_ms: int | None
    retention_bytes: int | None
    problem: str | None

    def __str__(self) -> str:
        if self.retention_ms is None:
            return f"{self.topic} keeps the last record of each key"
        limits = [f"for {self.retention_ms / _DAY_MS:g} days"] if self.retention_ms >= 0 else []
        limits += [f"up to {self.retention_bytes} bytes of each partition"] if (self.retention_bytes or -1) >= 0 else []
        compacted = " the last record of each key" if "compact" in self.cleanup_policy else ""
        return f"{self.topic} keeps{compacted} {' and '.join(limits) or 'everything'}"


def needs_of(settings: Settings, table: str, changelogs: Sequence[str]) -> tuple[Need, ...]:
    """Return what a rebuild of a table needs. `changelogs` are those that contact-identity has now."""
    names = settings.topic_names
    decisions = (
        Need(topic=names.skips, keeps_ms=_FOREVER, what="which records were passed over", compacted=True),
        Need(topic=names.generations, keeps_ms=_FOREVER, what="which changelog each partition has", compacted=True),
    )
    if table == IDENTITY:
        what = "who is known from older commands gets a new id"
        return (Need(topic=names.identity_commands, keeps_ms=_FOREVER, what=what), *decisions)
    if table != CONVERSATION:
        return decisions
    return (
        Need(
            topic=names.conversation_commands,
            keeps_ms=CONVERSATION_COMMANDS_RETENTION_MS,
            what="what is older is made again from Airy's messages and the table contact-identity only",
        ),
        Need(
            topic=names.airy_messages,
            keeps_ms=_FOREVER,
            what="last messages that are gone from both topics are lost",
            compacted=True,
        ),
        *(
            Need(topic=name, keeps_ms=_FOREVER, what="whose the conversations are", compacted=True)
            for name in changelogs
        ),
        *decisions,
    )


def judge(need: Need, config: dict[str, str]) -> Kept:
    """Return how long a topic is kept by its settings, and whether that is enough."""
    policy = config["cleanup.policy"]
    deletes = "delete" in policy
    kept_ms, kept_bytes = int(config["retention.ms"]), int(config["retention.bytes"])
    right = f"cleanup.policy={'compact' if need.compacted else 'delete'}"
    if not need.compacted:
        right += f",retention.ms={need.keeps_ms},retention.bytes={_FOREVER}"
    wrong: list[str] = []
    if "compact" in policy and not need.compacted:
        wrong.append(f"cleanup.policy is {policy}: all but the last command of each key will be gone")
    if deletes and kept_ms != _FOREVER and (need.keeps_ms == _FOREVER or kept_ms < need.keeps_ms):
        wrong.append(f"retention.ms is {kept_ms}: what is older will be gone")
    if deletes and kept_bytes != _FOREVER:
        wrong.append(f"retention.bytes is {kept_bytes}: what is beyond it will be gone")
    problem = None
    if wrong:
        problem = (
            f"{need.topic}: {'; '.join(wrong)} ({need.what}); keep it: `kafka-configs.sh --alter --entity-type topics "
            f"--entity-name {need.topic} --add-config {right}`"
        )
    return Kept(
        topic=need.topic,
        cleanup_policy=policy,
        retention_ms=kept_ms if deletes else None,
        retention_bytes=kept_bytes if deletes else None,
        problem=problem,
    )


async def read_kept(settings: Settings, needs: Sequence[Need]) -> list[Kept]:
    """Return how long topics are kept, in their order; those that are missing are left out.

    Raises:
        KafkaUnreachableError: No broker answers.
    """
    found = await read_topics(settings.kafka_bootstrap_servers, [need.topic for need in needs], config=_SETTINGS)
    return [judge(need, found[need.topic].config) for need in needs if need.topic in found]
