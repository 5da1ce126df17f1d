"""The slip of a contact whose conversations lie on more partitions than it may visit, through the real agents."""

import json
from collections import deque
from typing import Any

from airy_identify.core.conversation import STOPS_MAX, SUMMARIES_MAX
from airy_identify.core.values import ContactConversation
from airy_identify.kafka import partition_for
from airy_identify.stream.agents.conversation import ConversationAgent
from airy_identify.stream.agents.identity import IdentityAgent
from airy_identify.stream.batch import Batch
from airy_identify.topics import TopicNames
from airy_identify.wire.commands import encode_command
from airy_identify.wire.resume_token import ResumeTokenSigner
from airy_identify.wire.rows import encode_identity_key, encode_identity_row
from tests.builders import (
    ACCEPTED_AT_MS,
    CHANNEL_ID,
    make_contact,
    make_contact_conversation,
    make_identify_command,
    make_merge,
)
from tests.records import make_record
from tests.tables import make_table

NAMES = TopicNames()
PARTITIONS = 16
COUNTS = dict.fromkeys((NAMES.identity_commands, NAMES.conversation_commands, NAMES.responses), PARTITIONS)
IDENTITY = IdentityAgent(names=NAMES, conversation_partitions=PARTITIONS)
CONVERSATION = ConversationAgent(names=NAMES, partitions=PARTITIONS, signer=ResumeTokenSigner(b"s" * 32))

Rows = dict[bytes, bytes]


def conversations(prefix: str, count: int) -> tuple[ContactConversation, ...]:
    return tuple(
        make_contact_conversation(id=f"{prefix}-{number:03}", created_at_ms=ACCEPTED_AT_MS + number)
        for number in range(count)
    )


def rows_of(*contacts: Any) -> Rows:
    table = make_table(*contacts)
    return {encode_identity_key(key): encode_identity_row(row) for key, row in table.rows.items()}


def decide(command: Any, rows: Rows) -> Batch:
    batch = Batch([make_record(topic=NAMES.identity_commands, value=encode_command(command))], rows, COUNTS)
    for record in batch:
        IDENTITY.process(record, batch)
    for key, row in batch.rows.items():
        if row is None:
            rows.pop(key)
        else:
            rows[key] = row
    return batch


def travel(batch: Batch) -> tuple[list[int], dict[str, Any], dict[bytes, bytes | None]]:
    """Follow a slip; return the partitions that it visited, the answer, and the rows that were written on the way."""
    under_way = deque((place.partition, output) for place, outputs in batch.outputs.items() for output in outputs)
    stops: list[int] = []
    written: dict[bytes, bytes | None] = {}
    while under_way:
        partition, (key, value, _) = under_way.popleft()
        record = make_record(topic=NAMES.conversation_commands, partition=partition, key=key, value=value)
        stops.append(partition)
        stop = Batch([record], {}, COUNTS)
        for each in stop:
            CONVERSATION.process(each, stop)
        written |= stop.rows
        for answers in stop.answers.values():
            return stops, json.loads(answers[0].value), written
        for place, outputs in stop.outputs.items():
            under_way += [(place.partition, output) for output in outputs]
    raise AssertionError("no answer")


def test_a_slip_visits_eight_partitions_and_brings_the_best_fifty() -> None:
    ada = make_contact(id="ada", external_id="u-1", conversations=conversations("a", 100))
    bob = make_contact(id="bob", external_id="u-2", conversations=conversations("b", 100))
    rows = rows_of(ada, bob)

    merge = decide(make_merge("bob", "ada"), rows)
    stops, answer, written = travel(decide(make_identify_command(external_id="u-2", channel_id=CHANNEL_ID), rows))

    assert not [place for place in merge.outputs if place.topic == NAMES.conversation_commands]
    assert written == {}, "merges move no conversations"
    assert len(stops) == len(set(stops)) == STOPS_MAX
    assert answer["truncated"] is True
    assert answer["contact"]["id"] == "ada"
    newest = sorted((*ada.conversations, *bob.conversations), key=lambda each: (-each.created_at_ms, each.id))
    visited = [each.id for each in newest if partition_for(each.id.encode(), PARTITIONS) in set(stops)]
    assert [each["id"] for each in answer["conversations"]] == visited[:SUMMARIES_MAX]
    assert set(stops) == set(first_partitions([each.id for each in newest]))


def first_partitions(conversation_ids: list[str]) -> list[int]:
    """Return the first eight partitions that the newest conversations lie on."""
    return list(dict.fromkeys(partition_for(each.encode(), PARTITIONS) for each in conversation_ids))[:STOPS_MAX]


def test_a_slip_that_may_go_everywhere_is_not_truncated() -> None:
    rows = rows_of(make_contact(id="ada", external_id="u-1", conversations=conversations("a", 3)))

    stops, answer, _ = travel(decide(make_identify_command(external_id="u-1", channel_id=CHANNEL_ID), rows))

    assert len(stops) == len(set(stops))
    assert answer["truncated"] is False
    assert [each["id"] for each in answer["conversations"]] == ["a-002", "a-001", "a-000"]
