"""Whether topics are kept for as long as a rebuild needs them."""

import pytest

from airy_identify.ops.retention import Need, judge

DAY_MS = 24 * 60 * 60 * 1000
LOG = Need(topic="log", keeps_ms=-1, what="people get new ids")
SHORT_LOG = Need(topic="log", keeps_ms=30 * DAY_MS, what="it takes longer")
TABLE = Need(topic="table", keeps_ms=-1, what="nobody knows", compacted=True)


def settings(policy: str, retention_ms: int = -1, retention_bytes: int = -1) -> dict[str, str]:
    return {"cleanup.policy": policy, "retention.ms": str(retention_ms), "retention.bytes": str(retention_bytes)}


@pytest.mark.parametrize(
    ("need", "config", "said"),
    [
        (LOG, settings("delete"), "log keeps everything"),
        (SHORT_LOG, settings("delete", 30 * DAY_MS), "log keeps for 30 days"),
        (SHORT_LOG, settings("delete"), "log keeps everything"),
        # Kafka's own default for a topic that is only compacted, which has no effect there.
        (TABLE, settings("compact", 7 * DAY_MS), "table keeps the last record of each key"),
    ],
)
def test_what_is_kept_for_long_enough(need: Need, config: dict[str, str], said: str) -> None:
    kept = judge(need, config)
    assert (kept.problem, str(kept)) == (None, said)


@pytest.mark.parametrize(
    ("need", "config", "wrong", "command"),
    [
        (LOG, settings("delete", DAY_MS), "retention.ms is 86400000: what is older", "retention.ms=-1,"),
        (LOG, settings("delete", -1, 5), "retention.bytes is 5: what is beyond it", "retention.bytes=-1`"),
        (LOG, settings("compact"), "cleanup.policy is compact: all but the last", "cleanup.policy=delete,"),
        (LOG, settings("compact,delete", DAY_MS), "cleanup.policy is compact,delete", "cleanup.policy=delete,"),
        (SHORT_LOG, settings("delete", 30 * DAY_MS - 1), "what is older will be gone", f"retention.ms={30 * DAY_MS},"),
        (TABLE, settings("delete", DAY_MS), "retention.ms is 86400000", "--add-config cleanup.policy=compact`"),
        (TABLE, settings("compact,delete", DAY_MS), "retention.ms is 86400000", "cleanup.policy=compact`"),
    ],
)
def test_what_will_be_gone_is_named_with_the_command_that_keeps_it(
    need: Need, config: dict[str, str], wrong: str, command: str
) -> None:
    problem = judge(need, config).problem
    assert problem is not None
    assert problem.startswith(f"{need.topic}: ")
    assert wrong in problem
    assert f"({need.what})" in problem
    assert f"--entity-name {need.topic} --add-config" in problem
    assert command in problem


def test_limits_are_said_as_they_are() -> None:
    assert str(judge(LOG, settings("delete", DAY_MS, 5))) == "log keeps for 1 days and up to 5 bytes of each partition"
    said = str(judge(TABLE, settings("compact,delete", DAY_MS)))
    assert said == "table keeps the last record of each key for 1 days"
