"""The interface as the bridge describes it, compared with what it does."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from openapi_spec_validator import validate

from airy_identify.__main__ import main
from airy_identify.core.reasons import HTTP_STATUS, Reason
from airy_identify.web.commands import ROUTES
from airy_identify.web.errors import MALFORMED_CODE
from airy_identify.web.openapi.document import openapi
from airy_identify.web.openapi.page import CONTENT_SECURITY_POLICY
from tests.web.bridge import BODY, HEADERS, Bridge, error_answer
from tests.web.documented import DOCUMENT, assert_documented, check, request_examples

COMMANDS = sorted(ROUTES)
OPEN = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"}


def codes(path: str, status: int) -> set[str]:
    answer = DOCUMENT["paths"][path]["post"]["responses"][str(status)]
    return set(answer["content"]["application/json"]["schema"]["allOf"][1]["properties"]["code"]["enum"])


def test_the_document_is_valid_openapi() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    validate(DOCUMENT)


def test_a_broken_document_would_be_found() -> None:
    broken = json.loads(json.dumps(DOCUMENT))
    del broken["paths"]["/contacts.identify"]["post"]["responses"]["200"]["description"]
    with pytest.raises(Exception, match="description"):
        validate(broken)


async def test_the_bridge_and_the_command_line_have_the_same_document(bridge: Bridge) -> None:
    status, document, headers = await bridge.send("GET", "/openapi.json")
    assert (status, headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    assert document == openapi() == json.loads(CliRunner().invoke(main, ["openapi"]).output)


async def test_every_route_is_documented_and_no_other(bridge: Bridge) -> None:
    assert set(DOCUMENT["paths"]) == set(ROUTES) | OPEN
    for path, methods in DOCUMENT["paths"].items():
        (method,) = methods
        assert (await bridge.send("DELETE", path, headers=HEADERS))[0] == 405
        assert (await bridge.send(method, path, headers=HEADERS))[0] != 404


def test_every_code_is_documented_under_its_status_and_somewhere() -> None:
    seen = set()
    for path in COMMANDS:
        for status in DOCUMENT["paths"][path]["post"]["responses"]:
            if status not in {"200", "500"}:
                found = codes(path, int(status)) - {MALFORMED_CODE}
                assert {HTTP_STATUS[Reason(code)] for code in found} == {int(status)}
                seen |= found
    assert seen == {reason.value for reason in Reason} - {Reason.NOT_FOUND.value}  # of paths that are not there


@pytest.mark.parametrize(("path", "name", "body"), request_examples())
async def test_every_example_is_a_good_request_of_its_own_schema(
    bridge: Bridge, path: str, name: str, body: dict[str, Any]
) -> None:
    schema = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    check(schema, body, DOCUMENT["components"])
    assert (await bridge.post(body, path=path))[0] == 200, name


@pytest.mark.parametrize("path", COMMANDS)
def test_every_example_of_an_answer_is_one(path: str) -> None:
    for status, answer in DOCUMENT["paths"][path]["post"]["responses"].items():
        assert_documented(path, "POST", int(status), answer["content"]["application/json"]["example"])


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/contacts.identify", {"channel_id": None}),
        ("/contacts.identify", {"on_conflict": "shrug"}),
        ("/contacts.identify", {"external_id": "x" * 256}),
        ("/contacts.identify", {"identifiers": {"Device": "d"}}),
        ("/contacts.identify", {"identifiers": {"device": ["d"] * 6}}),
        ("/contacts.identify", {"unverified": ["external_id"]}),
        ("/contacts.identify", {"tenant": "NO"}),
        ("/identities.merge", {"source_id": None}),
        ("/identities.release", {"kind": "Device"}),
        ("/conversations.resumeToken", {"conversation_id": "x" * 256}),
    ],
)
async def test_what_the_schema_forbids_is_refused(bridge: Bridge, path: str, fault: dict[str, Any]) -> None:
    body = request_examples_of(path) | fault
    schema = DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    with pytest.raises(jsonschema.ValidationError):
        check(schema, body, DOCUMENT["components"])
    status, answer = await bridge.post(body, path=path)
    assert status == 400
    assert_documented(path, "POST", status, answer)


def request_examples_of(path: str) -> dict[str, Any]:
    return next(body for other, _, body in request_examples() if other == path)


@pytest.mark.parametrize("path", COMMANDS)
async def test_errors_of_every_route_are_documented(bridge: Bridge, path: str) -> None:
    faults: tuple[dict[str, Any], ...] = (
        {"headers": {}},
        {"method": "PUT"},
        {"headers": HEADERS | {"Content-Type": "text/plain"}, "data": b"{}"},
        {"headers": HEADERS | {"Content-Type": "application/json"}, "data": b"{" + b" " * 70_000},
        {"headers": HEADERS | {"Content-Type": "application/json"}, "data": b"{"},
        {"headers": HEADERS | {"Idempotency-Key": ""}, "json": {}},
        {"headers": HEADERS, "json": {}},
    )
    for fault in faults:
        sent = {"method": "POST", "headers": HEADERS} | fault
        status, answer, _ = await bridge.send(sent.pop("method"), path, **sent)
        assert status >= 400
        assert_documented(path, "POST", status, answer)


@pytest.mark.parametrize("path", COMMANDS)
@pytest.mark.parametrize("reason", list(Reason))
async def test_an_answer_that_the_document_lacks_would_be_found(bridge: Bridge, path: str, reason: Reason) -> None:
    """The check of answers is itself checked: every code passes where it is documented, and nowhere else."""
    status = HTTP_STATUS[reason]
    bridge.asker.answer = error_answer(reason, status)
    got, answer = await bridge.post(request_examples_of(path), path=path)
    documented = str(status) in DOCUMENT["paths"][path]["post"]["responses"] and reason.value in codes(path, status)
    if documented:
        assert_documented(path, "POST", got, answer)
    else:
        with pytest.raises((AssertionError, jsonschema.ValidationError)):
            assert_documented(path, "POST", got, answer)


class Loads(HTMLParser):
    """Collects what a page would load or run, and the ids that its links lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in {"script", "link", "img", "iframe", "object", "embed", "form"} or "src" in values:
            self.loaded.append(tag)
        if tag == "a":
            self.links.append(values["href"] or "")
        if values.get("id"):
            self.ids.add(values["id"] or "")
        assert not any(name.startswith("on") or name == "style" for name in values)


async def test_the_page_tells_all_and_loads_nothing(bridge: Bridge) -> None:
    status, text, headers = await bridge.send("GET", "/docs")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    for path in DOCUMENT["paths"]:
        assert f"{path}</code></h2>" in text
        assert f"{path}</code></a>" in text
    for _, _, body in request_examples():
        assert "'" not in json.dumps(body), "the shell would end its text there"
    for reason in set(Reason) - {Reason.NOT_FOUND}:
        assert f"<code>{reason.value}</code>" in text
    for name in DOCUMENT["components"]["schemas"]:
        assert f'id="{name}"' in text
    for field in re.findall(r'"name": "([a-z_]+)"', json.dumps(DOCUMENT)):
        assert field in text
    page = Loads()
    page.feed(text)
    assert page.loaded == []
    assert "url(" not in text
    assert "@import" not in text
    assert all(link == "/openapi.json" or (link[0] == "#" and link[1:] in page.ids) for link in page.links)


async def test_documentation_needs_no_token_and_is_not_asked_of_kafka(bridge: Bridge) -> None:
    bridge.problems[:] = ["Kafka is gone"]
    for path in ("/openapi.json", "/docs"):
        assert (await bridge.send("GET", path))[0] == 200
    assert bridge.asker.commands == []


async def test_the_body_of_identify_is_the_one_that_the_other_tests_send(bridge: Bridge) -> None:
    check(DOCUMENT["components"]["schemas"]["IdentifyRequest"], BODY, DOCUMENT["components"])
    assert (await bridge.post())[0] == 200
