"""docs/identity-rules.md is run: every example, over both doors, against the page's own words, with its table rows.

What the page has to have is in tests/docs/test_identity_rules_page.py. All examples are asked first, side by side, each in a tenant of its own; then the changelog is read once.
"""

import asyncio
import json
from collections.abc import Mapping

import pytest

from airy_identify.core.values import IdentityKey, IdentityRow
from airy_identify.topics import IDENTITY
from airy_identify.wire.resume_token import ResumeTokenSigner
from airy_identify.wire.rows import decode_identity_key, decode_identity_row
from tests.kafka.doors import PATHS, Door, HttpDoor, KafkaDoor
from tests.kafka.replay import fold, read
from tests.kafka.rule_examples import PAGE, Example, Run, read_examples
from tests.kafka.service import Service

EXAMPLES = read_examples(PAGE.read_text(encoding="utf-8"))
DOORS = ("HTTP", "Kafka")
AT_ONCE = 8

Done = dict[tuple[str, str], tuple[Run, AssertionError | None]]


@pytest.fixture(scope="module")
def done(service: Service) -> tuple[Done, dict[IdentityKey, IdentityRow]]:
    """All examples as they went over both doors, and all rows there are afterwards."""
    return asyncio.run(_run_all(service))


async def _run_all(service: Service) -> tuple[Done, dict[IdentityKey, IdentityRow]]:
    done: Done = {}
    turns = asyncio.Semaphore(AT_ONCE)
    signer = ResumeTokenSigner(service.settings.jwt_secret_bytes)

    async def run(example: Example, name: str, door: Door) -> None:
        async with turns:
            other = service.new_tenant() if example.has_two_tenants else None
            one = Run(example, service.new_tenant(), signer, other)
            error: AssertionError | None = None
            try:
                await one.through(door)
            except AssertionError as raised:
                error = raised
            done[str(example), name] = one, error

    async with KafkaDoor(service).opened() as by_kafka:
        doors: Mapping[str, Door] = {"HTTP": HttpDoor(service), "Kafka": by_kafka}
        async with asyncio.TaskGroup() as running:
            for example in EXAMPLES:
                for name, door in doors.items():
                    running.create_task(run(example, name, door))
    tables = fold(await read(service.settings, service.settings.topic_names.changelog(IDENTITY)))
    rows = {
        decode_identity_key(key): decode_identity_row(row) for table in tables.values() for key, row in table.items()
    }
    return done, rows


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_example_is_true(done: tuple[Done, dict[IdentityKey, IdentityRow]], example: Example, door: str) -> None:
    runs, rows = done
    run, error = runs[str(example), door]
    if error is not None:
        raise error
    assert len(run.answers) == sum(step.what in PATHS for step in example.steps)
    run.assert_table(rows)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_no_answer_names_another_contact(done: tuple[Done, dict[IdentityKey, IdentityRow]], example: Example) -> None:
    """No id of another contact is in an answer to identify, but those that ended in its own contact there."""
    runs, _ = done
    for door in DOORS:
        run, _ = runs[str(example), door]
        identified = [answer for command, _, answer in run.answers if command == "identify" and "contact" in answer]
        contacts = {answer["contact"]["id"] for answer in identified}
        for answer in identified:
            text = json.dumps(answer)
            named = {contact for contact in contacts if contact is not None and contact in text}
            assert named <= {answer["contact"]["id"], *answer["merged"]}
