"""`airy-identify schemas register|check` against a real registry."""

import asyncio
import json
import os
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from airy_identify.__main__ import main
from airy_identify.ops.local_registry import LocalRegistry
from airy_identify.registry import RegistryClient
from airy_identify.settings import PREFIX
from airy_identify.subjects import COMPATIBILITY, subjects_of
from airy_identify.topics import TopicNames

Call = Callable[..., Result]


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid.uuid4().hex[:8]}-"


@pytest.fixture
def call(registry: LocalRegistry, prefix: str) -> Call:
    def run(*arguments: str) -> Result:
        environment = {f"{PREFIX}SCHEMA_REGISTRY_URL": registry.url, f"{PREFIX}TOPIC_PREFIX": prefix}
        return CliRunner().invoke(main, ["schemas", *arguments], env=dict(os.environ) | environment)

    return run


def states(result: Result) -> dict[str, Any]:
    return {report["subject"]: report["state"] for report in json.loads(result.stdout)}


def test_what_is_registered_is_guarded_and_registering_again_changes_nothing(
    call: Call, registry: LocalRegistry, prefix: str
) -> None:
    subjects = set(subjects_of(TopicNames(prefix=prefix)))
    before = call("check", "--json")
    first, second = call("register", "--json"), call("register", "--json")
    after = call("check", "--json")

    assert before.exit_code == first.exit_code == second.exit_code == after.exit_code == 0
    assert states(before) == states(first) == dict.fromkeys(subjects, "new")
    assert states(second) == states(after) == dict.fromkeys(subjects, "registered")
    assert [report["schema_id"] for report in json.loads(first.stdout)] == [
        report["schema_id"] for report in json.loads(after.stdout)
    ]

    async def levels() -> set[str | None]:
        async with RegistryClient(registry.url) as client:
            return {await client.compatibility(subject) for subject in subjects}

    assert asyncio.run(levels()) == {COMPATIBILITY}


def test_an_incompatible_change_fails_check_and_is_refused(call: Call, registry: LocalRegistry, prefix: str) -> None:
    """The registry holds an earlier version with which today's does not get on: a required field more."""
    subject, other = f"{prefix}identify-requests-value", f"{prefix}identify-responses-airy_identify.ErrorResponse"
    earlier = {
        "type": "record",
        "namespace": "airy_identify",
        "name": "IdentifyRequest",
        "fields": [{"name": "required_once", "type": "string"}, {"name": "channel_id", "type": "int"}],
    }

    async def prepare() -> None:
        async with RegistryClient(registry.url) as client:
            for name in (subject, other):
                await client.register(name, json.dumps(earlier))
            await client.set_compatibility(subject, COMPATIBILITY)

    asyncio.run(prepare())

    checked, registered = call("check"), call("register")

    assert checked.exit_code == 1
    assert f"{subject}: airy_identify.IdentifyRequest is not FULL_TRANSITIVE compatible" in checked.stderr
    assert f"{other}: its compatibility is not FULL_TRANSITIVE" in checked.stderr
    assert registered.exit_code == 1
    assert "Incompatible" in registered.stderr
    assert states(call("check", "--json"))[subject] == "incompatible"


def test_a_registry_that_is_away_is_one_line(
    call: Call, registry: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(registry), "url", "http://127.0.0.1:1")

    for command in ("check", "register"):
        result = call(command)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: the schema registry at http://127.0.0.1:1 does not answer")
        assert len(result.stderr.splitlines()) == 1
