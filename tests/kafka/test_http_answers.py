"""What only the tables can decide, asked over HTTP of a running service: its codes, dry runs, repeated requests, tokens."""

import json
import uuid
from typing import Any

import pytest

from tests.kafka.service import Answer, Service
from tests.web.documented import assert_documented

PATCH = {f"part-{number}": "x" * 15_000 for number in range(6)}
"""Metadata in parts that fit a request, of which no contact can hold all."""


def somebody() -> str:
    return f"person-{uuid.uuid4()}"


async def ask(service: Service, path: str, **body: Any) -> tuple[int, Answer]:
    status, answer, _ = await service.post(json.dumps(body).encode(), path=path)
    assert_documented(path, "POST", status, answer)
    return status, answer


async def contact_with(service: Service, *, parts: range) -> str:
    """Return the id of a contact with these parts of the metadata."""
    who, contact_id = somebody(), ""
    for number in parts:
        name = f"part-{number}"
        answer = await service.identify(external_id=who, metadata={name: PATCH[name]})
        assert answer["status"] == 200
        contact_id = answer["contact"]["id"]
    return contact_id


async def refused(service: Service, path: str, **body: Any) -> tuple[int, str, str | None]:
    status, answer = await ask(service, path, **body)
    return status, answer["code"], answer["field"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/identities.info", {"contact_id": "nobody"}, "contact_id"),
        ("/identities.info", {"external_id": "nobody at all"}, "external_id"),
        ("/identities.merge", {"source_id": "nobody", "destination_id": "nobody"}, "source_id"),
        ("/identities.unmerge", {"contact_id": "nobody"}, "contact_id"),
        ("/identities.release", {"contact_id": "nobody", "kind": "email", "value": "a@b.example"}, "contact_id"),
        ("/identities.forget", {"contact_id": "nobody"}, "contact_id"),
    ],
)
async def test_a_contact_that_is_not_there_is_unknown(
    service: Service, path: str, body: dict[str, str], field: str
) -> None:
    assert await refused(service, path, **body) == (404, "unknown_contact", field)


async def test_merges_are_refused_when_there_is_too_much_and_undone_only_when_they_are_the_latest(
    service: Service,
) -> None:
    large = await contact_with(service, parts=range(3))
    larger = await contact_with(service, parts=range(3, 6))
    merged = await refused(service, "/identities.merge", source_id=large, destination_id=larger)
    assert merged[:2] == (409, "too_large_to_merge")
    unmerged = await refused(service, "/identities.unmerge", contact_id=large)
    assert unmerged[:2] == (409, "not_latest_merge")


async def test_a_conflict_is_refused_on_request_in_a_dry_run_too_and_nothing_is_written(service: Service) -> None:
    owner, other = somebody(), somebody()
    email = f"{owner}@example.org"
    assert (await service.identify(external_id=owner, email=email))["status"] == 200
    fields = {"channel_id": service.channel, "external_id": other, "email": email, "on_conflict": "reject"}
    for dry_run in (True, False):
        answered = await refused(service, "/contacts.identify", **fields, dry_run=dry_run)
        assert answered == (409, "identifier_conflict", "email")
    assert (await refused(service, "/identities.info", external_id=other))[:2] == (404, "unknown_contact")


async def test_a_dry_run_tells_what_would_happen_and_writes_nothing(service: Service) -> None:
    who = somebody()
    fields = {"channel_id": service.channel, "external_id": who}
    status, told = await ask(service, "/contacts.identify", **fields, dry_run=True)
    assert (status, told["contact"]["id"], told["conversations"]) == (200, None, [])
    assert told["created"] == {"contact": True, "conversation": True}
    assert (await refused(service, "/identities.info", external_id=who))[:2] == (404, "unknown_contact")

    _, made = await ask(service, "/contacts.identify", **fields)
    _, again = await ask(service, "/contacts.identify", **fields, dry_run=True)
    assert again["contact"] == made["contact"]
    assert [each["resume_token"] for each in again["conversations"]] == [None]
    assert again["created"] == {"contact": False, "conversation": False}


async def test_a_repeated_key_finds_the_same_contact_and_conversation(service: Service) -> None:
    key, body = str(uuid.uuid4()), json.dumps({"channel_id": service.channel, "email": f"{somebody()}@example.org"})
    answers = [(await service.post(body.encode(), **{"Idempotency-Key": key}))[1] for _ in range(2)]
    assert [answer["request_id"] for answer in answers] == [key, key]
    assert [answer["created"]["contact"] for answer in answers] == [True, False]
    assert answers[0]["contact"] == answers[1]["contact"]
    ids = {conversation["id"] for answer in answers for conversation in answer["conversations"]}
    assert len(ids) == 1


@pytest.mark.parametrize("path", ["/conversations.resumeToken", "/chatplugin.resumeToken"])
async def test_a_token_is_given_for_a_conversation_of_the_channel_and_tenant_only(service: Service, path: str) -> None:
    answer = await service.identify(external_id=somebody())
    (conversation,) = answer["conversations"]
    fields = {"channel_id": service.channel, "conversation_id": conversation["id"]}
    status, given = await ask(service, path, **fields)
    assert status == 200
    assert given["resume_token"].split(".")[0] == conversation["resume_token"].split(".")[0]
    unknown = await refused(service, path, **fields | {"conversation_id": str(uuid.uuid4())})
    assert unknown == (404, "unknown_conversation", "conversation_id")
    assert (await refused(service, path, **fields, tenant="another")) == (404, "unknown_channel", "channel_id")
