"""`airy-identify person …` against a running service, as operators call it: through the log."""

import asyncio
import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from airy_identify.__main__ import main
from airy_identify.core.explain import MATCHED, MERGED, MERGED_BY_COMMAND, TAKEN_OVER, UNVERIFIED
from airy_identify.kafka import partition_for
from tests.kafka.processes import environment_of
from tests.kafka.service import Answer, Service, Tenant


class Person:
    """Calls the commands for one tenant, as a person would who types `typed`."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.tenant: Tenant = service.new_tenant()
        self._environment = environment_of(service.settings) | {"COLUMNS": "250"}

    async def __call__(self, *arguments: str, typed: str = "") -> Result:
        words = ("person", *arguments, "--tenant", self.tenant.name, "--timeout", "60")
        runner = CliRunner()
        return await asyncio.to_thread(
            runner.invoke, main, words, input=typed, env=self._environment, prog_name="airy-identify"
        )

    async def json(self, *arguments: str, code: int = 0) -> Any:
        result = await self(*arguments, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    async def identify(self, **fields: object) -> Answer:
        answer = await self.service.identify(tenant=self.tenant.name, channel_id=self.tenant.channel, **fields)
        assert answer["status"] == 200, answer
        return answer


@pytest.fixture
def person(service: Service) -> Person:
    return Person(service)


async def two_accounts(person: Person) -> tuple[str, str]:
    ada = await person.identify(external_id="u-1", email="ada@example.org")
    bob = await person.identify(external_id="u-2", email="bob@example.org", metadata={"age": 36})
    return ada["contact"]["id"], bob["contact"]["id"]


@pytest.mark.parametrize(
    "selector",
    [
        ("--external-id", "u-1"),
        ("--email", "Ada@Example.org"),
        ("--phone-number", "+49 30 12345601"),
        ("--identifier", "device=tablet-1"),
    ],
)
async def test_show_finds_by_one_identifier(person: Person, selector: tuple[str, str]) -> None:
    answer = await person.identify(
        external_id="u-1", email="ada@example.org", phone_number="+493012345601", identifiers={"device": "tablet-1"}
    )

    assert (await person.json("show", *selector))["contact"] == answer["contact"]


async def test_show_tells_people_what_is_known_and_why(person: Person) -> None:
    ada, bob = await two_accounts(person)
    soft = (await person.identify(phone_number="+493012345603"))["contact"]["id"]
    await person.json("merge", bob, ada, "--yes")
    last = await person.identify(external_id="u-1", phone_number="+493012345603", identifiers={"device": "tablet-1"})
    assert last["merged"] == [soft]
    carl = await person.identify(external_id="u-3", email="typed@example.org", unverified=["email"])

    result = await person("show", soft)
    log = person.service.settings.topic_names.identity_commands
    partition = partition_for(person.tenant.name.encode(), person.service.settings.partitions)
    journal = (await person.json("show", soft))["journal"]

    assert (result.exit_code, result.stderr) == (0, "")
    assert [entry["why"] for entry in journal] == ["phone_number", "command"]
    for entry, merged, why in zip(journal, (soft, bob), (f"phone_number: {MERGED}", MERGED_BY_COMMAND), strict=True):
        assert f"merged: {merged} into {ada}, {entry['merged_at']}\n  why: {why}\n" in result.stdout
        assert f"  from {log}:{partition}:{entry['offset']}, request {entry['request_id']}\n" in result.stdout
    for text in (MATCHED, TAKEN_OVER, "ada@example.org", "bob@example.org", "age: 36", "tablet-1", bob, soft):
        assert text in result.stdout
    for conversation in last["conversations"]:
        assert conversation["id"] in result.stdout
    assert UNVERIFIED not in result.stdout
    assert UNVERIFIED in (await person("show", carl["contact"]["id"])).stdout
    assert "nobody was merged into this contact" in (await person("show", "--external-id", "u-3")).stdout


async def test_nothing_happens_without_a_yes_and_what_would_happen_is_said(person: Person) -> None:
    ada, bob = await two_accounts(person)
    before = [await person.json("show", contact_id) for contact_id in (ada, bob)]
    tokens = "Resume tokens that were handed out work on for their seven days: nothing can call one back."
    said = {
        ("merge", bob, ada): (bob, ada, "u-1", "u-2", f"`airy-identify person unmerge {bob}`", tokens),
        ("unmerge", bob): (bob, "never merge by themselves again", tokens),
        ("release", bob, "--email", "bob@example.org"): ("email bob@example.org is taken off", tokens),
        ("forget", bob): (bob, "u-2", "This cannot be taken back.", tokens),
    }
    for arguments, texts in said.items():
        for typed in ("n\n", ""):
            result = await person(*arguments, typed=typed)
            assert result.exit_code == 1, result.output
            assert result.stdout.strip() == typed.strip()  # what was typed is seen, as on a terminal
            assert "nothing was changed" in result.stderr
            assert [text for text in texts if text not in result.stderr] == []

    after = [await person.json("show", contact_id) for contact_id in (ada, bob)]
    assert [each["contact"] for each in after] == [each["contact"] for each in before]

    result = await person("forget", bob, typed="y\n")
    assert (result.exit_code, result.stdout) == (0, f" y\n{bob} is forgotten\n")


async def test_refusals_name_code_field_and_message_and_end_with_1(person: Person) -> None:
    ada, _ = await two_accounts(person)
    unknown = "11111111-1111-4111-8111-111111111111"
    refusals = {
        ("show", unknown): "refused: unknown_contact (contact_id): there is no such contact",
        ("show", "--email", "x@example.org"): "refused: unknown_contact (email): there is no such contact",
        ("merge", unknown, ada, "--yes"): "refused: unknown_contact (source_id): there is no such contact",
        ("merge", ada, unknown): "refused: unknown_contact (contact_id): there is no such contact",
        ("unmerge", ada, "--yes"): "refused: not_latest_merge (contact_id): this is not the contact that ended in the "
        "latest merge of its survivor; only that one can be undone",
        ("release", ada, "--phone-number", "12", "--yes"): "refused: invalid_phone_number (value): ",
        ("forget", unknown, "--yes"): "refused: unknown_contact (contact_id): there is no such contact",
    }
    for arguments, text in refusals.items():
        result = await person(*arguments, typed="y\n")
        assert (result.exit_code, result.stdout) == (1, ""), arguments
        assert result.stderr.startswith(text), result.stderr


async def test_identify_can_explain_try_and_insist(person: Person) -> None:
    await two_accounts(person)
    environment = environment_of(person.service.settings) | {"COLUMNS": "250"}

    async def identify(*arguments: str) -> Result:
        words = ("identify", "--channel-id", person.tenant.channel, "--tenant", person.tenant.name, *arguments)
        return await asyncio.to_thread(CliRunner().invoke, main, words, env=environment, prog_name="airy-identify")

    explained = await identify("--external-id", "u-1", "--email", "x@example.org", "--unverified", "email", "--explain")
    tried = await identify("--external-id", "u-9", "--dry-run", "--json")
    insisted = await identify("--external-id", "u-1", "--email", "bob@example.org", "--on-conflict", "reject")

    assert explained.exit_code == 0
    for text in ("why: found by external_id", MATCHED, UNVERIFIED):
        assert text in explained.stdout
    assert json.loads(tried.stdout)["contact"]["id"] is None
    assert (insisted.exit_code, insisted.stdout) == (1, "")
    assert insisted.stderr.startswith("refused: identifier_conflict (email): ")
