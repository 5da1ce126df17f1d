import asyncio
import base64
import collections
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from airy_identify import registry
from airy_identify.registry import (
    RegistryClient,
    RegistryError,
    RegistryRefusedError,
    RegistryUnavailableError,
    SchemaResolver,
    wait_for_ids,
    wait_for_registered,
)
from airy_identify.wire.confluent import WriterSchemas, frame
from airy_identify.wire.errors import UndecodableError

SCHEMA = json.dumps({"type": "record", "name": "A", "fields": []})
UNKNOWN = (404, {"error_code": 40403, "message": "Schema not found"})
Answer = tuple[int, Any]


@dataclass
class FakeRegistry:
    """A registry that answers as it is told; what it is not told it does not know."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    seen: list[web.Request] = field(default_factory=list)

    def says(self, path: str, *answers: Answer) -> None:
        """Give these answers one after the other; the last one from then on."""
        self.answers[path] = list(answers)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.raw_path}")
        self.seen.append(request)
        left = self.answers.get(request.raw_path, [UNKNOWN])
        status, body = left.pop(0) if len(left) > 1 else left[0]
        return web.Response(status=status, text=body if isinstance(body, str) else json.dumps(body))


@dataclass
class Counted:
    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    waiting: list[int] = field(default_factory=list)

    def registry_asked(self, outcome: str) -> None:
        self.outcomes[outcome] += 1

    def registry_waiting(self, count: int) -> None:
        self.waiting.append(count)


@asynccontextmanager
async def serving(fake: FakeRegistry) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass
class Setup:
    fake: FakeRegistry
    client: RegistryClient
    resolver: SchemaResolver
    metrics: Counted
    url: str
    now_s: float = 0.0
    waited: list[str] = field(default_factory=list)

    async def learn(self, *ids: int) -> bool:
        """Learn the ids; return whether anything had to be awaited."""
        to_do = self.resolver.learn([frame(schema_id, b"") for schema_id in ids], self.waited.append)
        if to_do is not None:
            await to_do
        return to_do is not None


@pytest.fixture
async def setup(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Setup]:
    monkeypatch.setattr(registry, "UNKNOWN_AGAIN_S", 0.0)
    monkeypatch.setattr(registry, "_RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(registry, "_RETRY_MAX_S", 0.01)
    fake, metrics = FakeRegistry(), Counted()
    async with serving(fake) as url, RegistryClient(url) as client:
        made = Setup(fake, client, SchemaResolver(client, WriterSchemas(), metrics, lambda: made.now_s), metrics, url)
        yield made


async def test_a_schema_is_asked_for_once(setup: Setup) -> None:
    setup.fake.says("/schemas/ids/7", (200, {"schema": SCHEMA}))

    assert await setup.learn(7, 7)
    assert not await setup.learn(7)
    assert setup.resolver.schemas.record_name(7) == "A"
    assert setup.fake.asked == ["GET /schemas/ids/7"]
    assert setup.metrics.outcomes == {"found": 1}
    assert setup.waited == []


async def test_values_without_an_id_need_nothing(setup: Setup) -> None:
    values = [None, b"", b"{}", b"\x00\x01", b"\xc3\x01" + bytes(8)]

    assert setup.resolver.learn(values, setup.waited.append) is None


async def test_an_unknown_id_is_asked_for_twice_and_then_left_for_a_while(setup: Setup) -> None:
    assert await setup.learn(7)
    assert setup.fake.asked == ["GET /schemas/ids/7"] * 2
    setup.now_s = registry.UNKNOWN_TTL_S - 0.1
    assert not await setup.learn(7)
    with pytest.raises(UndecodableError, match="does not know"):
        setup.resolver.schemas.record_name(7)

    setup.now_s = registry.UNKNOWN_TTL_S
    setup.fake.says("/schemas/ids/7", (200, {"schema": SCHEMA}))
    assert await setup.learn(7)
    assert setup.resolver.schemas.record_name(7) == "A"


async def test_a_replica_that_is_a_little_behind_loses_nothing(setup: Setup) -> None:
    setup.fake.says("/schemas/ids/7", UNKNOWN, (200, {"schema": SCHEMA}))

    await setup.learn(7)

    assert setup.resolver.schemas.record_name(7) == "A"


@pytest.mark.parametrize(
    "away",
    [
        (500, "oops"),
        (503, {"error_code": 50001}),
        (429, "slow down"),
        (401, {"error_code": 401}),
        (403, {}),
        (404, "<html>not here</html>"),
        (404, {"error_code": 404}),
        (200, "<html>a portal</html>"),
        (200, []),
        (200, {"id": 7}),
        (200, {"schema": None}),
        (409, {}),
        (422, {}),
    ],
    ids=repr,
)
async def test_what_is_no_answer_of_a_registry_is_waited_out(setup: Setup, away: Answer) -> None:
    setup.fake.says("/schemas/ids/7", away, away, (200, {"schema": SCHEMA}))

    await setup.learn(7)

    assert setup.resolver.schemas.record_name(7) == "A"
    assert len(setup.waited) == 2
    assert all(setup.url in reason for reason in setup.waited)
    assert setup.metrics.outcomes == {"unavailable": 2, "found": 1}
    assert setup.metrics.waiting == [1, 0]


async def test_a_registry_that_is_away_is_said_once_and_again_when_it_is_back(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    setup.fake.says("/schemas/ids/7", *[(500, "x")] * 5, (200, {"schema": SCHEMA}))
    with caplog.at_level(logging.INFO, "airy_identify.registry"):
        await setup.learn(7)

    said = [(record.levelname, record.message) for record in caplog.records]
    assert [level for level, _ in said] == ["WARNING", "INFO"]
    assert "wait for the schema ids [7]" in said[0][1]


async def test_one_of_many_that_fails_is_no_loss_of_the_others(setup: Setup) -> None:
    for number in range(20):
        setup.fake.says(f"/schemas/ids/{number}", (200, {"schema": SCHEMA}))
    setup.fake.says("/schemas/ids/13", (500, "x"), (200, {"schema": SCHEMA}))

    await setup.learn(*range(20))

    assert all(number in setup.resolver.schemas for number in range(20))


async def test_whoever_stops_waiting_is_counted_off(setup: Setup) -> None:
    setup.fake.says("/schemas/ids/7", (500, "x"))
    told = asyncio.Event()
    to_do = setup.resolver.learn([frame(7, b"")], lambda _reason: told.set())
    assert to_do is not None
    waiting = asyncio.ensure_future(to_do)
    await told.wait()
    assert setup.metrics.waiting == [1]

    waiting.cancel()
    await asyncio.wait({waiting})

    assert setup.metrics.waiting == [1, 0]


async def test_nobody_listening_is_unavailable() -> None:
    async with RegistryClient("http://127.0.0.1:1") as client:
        with pytest.raises(RegistryUnavailableError, match=r"http://127\.0\.0\.1:1 does not answer"):
            await client.schema(7)


@pytest.mark.parametrize(
    "found", [{"schema": SCHEMA, "schemaType": "PROTOBUF"}, {"schema": SCHEMA, "references": [{"name": "B"}]}]
)
async def test_schemas_of_other_kinds_are_bad_records(setup: Setup, found: dict[str, object]) -> None:
    setup.fake.says("/schemas/ids/7", (200, found))

    await setup.learn(7)

    with pytest.raises(UndecodableError, match="stands for itself"):
        setup.resolver.schemas.record_name(7)


async def test_user_and_password_are_sent_and_never_shown() -> None:
    fake = FakeRegistry()
    async with serving(fake) as url, RegistryClient(url.replace("//", "//ada:s%40crEt@")) as client:
        await client.schema(7)
        assert "crEt" not in str(client)

    assert fake.seen[0].headers["Authorization"] == f"Basic {base64.b64encode(b'ada:s@crEt').decode()}"


async def test_a_path_and_odd_subjects_are_kept(setup: Setup) -> None:
    async with RegistryClient(f"{setup.url}/apis/ccompat/v7/") as client:
        assert await client.versions("a/b c-value") == []

    assert setup.fake.asked == ["GET /apis/ccompat/v7/subjects/a%2Fb%20c-value/versions"]


CALLS: dict[str, Callable[[RegistryClient], Awaitable[object]]] = {
    "schema": lambda client: client.schema(7),
    "find": lambda client: client.find("s", SCHEMA),
    "register": lambda client: client.register("s", SCHEMA),
    "compatible": lambda client: client.compatible("s", SCHEMA),
    "versions": lambda client: client.versions("s"),
    "compatibility": lambda client: client.compatibility("s"),
    "set compatibility": lambda client: client.set_compatibility("s", "FULL_TRANSITIVE"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_every_call_fails_in_one_way(call: Callable[[RegistryClient], Awaitable[object]]) -> None:
    async with RegistryClient("http://127.0.0.1:1") as client:
        with pytest.raises(RegistryError) as caught:
            await call(client)
    assert caught.value.retriable


async def test_a_refused_schema_says_why(setup: Setup) -> None:
    setup.fake.says("/subjects/s/versions", (409, {"error_code": 409, "message": "incompatible with version 1"}))

    with pytest.raises(RegistryRefusedError, match="incompatible with version 1"):
        await setup.client.register("s", SCHEMA)


async def test_ids_of_schemas_are_waited_for_and_null_where_there_are_none(setup: Setup) -> None:
    setup.fake.says("/subjects/known", (500, "x"), (503, "x"), (200, {"id": 7, "version": 1, "schema": SCHEMA}))

    found = await wait_for_ids(setup.client, {"known": SCHEMA, "unknown": SCHEMA}, setup.waited.append)

    assert found == {"known": 7, "unknown": None}
    assert len(setup.waited) == 2


async def test_a_schema_that_a_subject_lacks_is_registered_as_soon_as_the_registry_answers(setup: Setup) -> None:
    setup.fake.says("/subjects/airys", (500, {}), UNKNOWN)
    setup.fake.says("/subjects/airys/versions", (200, {"id": 9}))

    assert await wait_for_registered(setup.client, "airys", SCHEMA, setup.waited.append) == 9
    assert len(setup.waited) == 1

    setup.fake.says("/subjects/airys", (200, {"id": 9}))
    setup.fake.asked.clear()
    assert await wait_for_registered(setup.client, "airys", SCHEMA, setup.waited.append) == 9
    assert setup.fake.asked == ["POST /subjects/airys"]


async def test_a_schema_that_is_refused_is_not_waited_for(setup: Setup) -> None:
    setup.fake.says("/subjects/airys", UNKNOWN)
    setup.fake.says("/subjects/airys/versions", (409, {"error_code": 409, "message": "incompatible"}))

    with pytest.raises(RegistryRefusedError):
        await wait_for_registered(setup.client, "airys", SCHEMA, setup.waited.append)
