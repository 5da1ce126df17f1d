import pytest

from airy_identify.ops.topics import TopicState, compare
from airy_identify.topics import TopicDeclaration

WANTED = TopicDeclaration(
    name="log",
    partitions=8,
    config={
        "cleanup.policy": "delete",
        "min.insync.replicas": "2",
        "unclean.leader.election.enable": "false",
        "max.message.bytes": "1000",
        "retention.ms": "1",
    },
)


def state(*, partitions: int = 8, replicas: int = 3, **config: str) -> TopicState:
    right = {name: value for name, value in WANTED.config.items() if name != "retention.ms"}
    return TopicState(
        partitions=partitions,
        replicas=replicas,
        config=right | {name.replace("_", "."): config[name] for name in config},
    )


def messages(found: TopicState | None, declaration: TopicDeclaration = WANTED) -> list[str]:
    return [problem.message for problem in compare(declaration, found, replication_factor=3)]


def test_a_topic_as_declared_is_no_problem() -> None:
    assert messages(state()) == []


def test_a_missing_topic_is_one_problem() -> None:
    assert messages(None) == ["is missing, or an ACL hides it"]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (state(partitions=9), "has 9 partitions, not 8"),
        (state(partitions=7), "has 7 partitions, not 8"),
        (state(replicas=2), "has 2 replicas, fewer than 3"),
        (state(cleanup_policy="compact"), "cleanup.policy is compact, not delete"),
        (state(cleanup_policy="compact,delete"), "cleanup.policy is compact,delete, not delete"),
        (state(min_insync_replicas="1"), "min.insync.replicas is 1, not 2"),
        (state(unclean_leader_election_enable="true"), "unclean.leader.election.enable is true, not false"),
        (state(max_message_bytes="999"), "max.message.bytes is 999, not 1000"),
    ],
)
def test_each_difference_is_named(found: TopicState, message: str) -> None:
    assert messages(found) == [message]


def test_more_than_is_needed_is_no_problem() -> None:
    assert messages(state(replicas=5, min_insync_replicas="3", max_message_bytes="2000")) == []


def test_topics_of_others_only_have_to_exist() -> None:
    airys = TopicDeclaration(name="messages", partitions=10, config={"cleanup.policy": "compact"}, ours=False)

    assert messages(state(), airys) == []
    assert messages(None, airys) == ["is missing, or an ACL hides it"]
