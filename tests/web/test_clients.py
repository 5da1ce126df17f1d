"""Named clients at a real bridge: who gets in, what each may use, and how their secrets are changed."""

import asyncio
import base64
import hmac
import json
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from airy_identify.intake.client_secrets import SecretHash, hash_secret
from tests.builders import CHANNEL_ID, OTHER_CHANNEL_ID
from tests.client_files import (
    HASH,
    KEYS,
    NEW_HASH,
    NEW_SECRET,
    NOW_S,
    OTHER_KEY,
    SECRET,
    WRONG_SECRET,
    make_file,
    public_pem,
    sign,
)
from tests.web.bridge import BODY, TOKEN, Bridge, running_bridge
from tests.web.waiting import DEADLINE_S, until

SLOW = SecretHash.matches
PEMS = [public_pem(key) for key in KEYS.values()]


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash nothing: a slow hash takes long where many tests run. Tests that need it say so."""
    monkeypatch.setattr(SecretHash, "matches", matches_quickly)


def matches_quickly(self: SecretHash, secret: str) -> bool:
    return {HASH: SECRET, NEW_HASH: NEW_SECRET}.get(self.text) == secret


@asynccontextmanager
async def bridge_with(path: Path, **clients: dict[str, Any]) -> AsyncIterator[Bridge]:
    file = path / "clients.toml"
    file.write_bytes(make_file(**clients))
    async with running_bridge(clients_file=file) as bridge:
        yield bridge


async def ask(bridge: Bridge, token: str, path: str = "/contacts.identify", **over: Any) -> tuple[int, str, str | None]:
    headers = {"Authorization": f"Bearer {token}"}
    status, answer, _ = await bridge.send("POST", path, json=BODY | over, headers=headers)
    return status, answer.get("code", "none"), answer.get("field")


OK = (200, "none", None)
STRANGER = (401, "unauthorized", None)


async def test_a_client_gets_in_with_its_secret_and_the_system_token_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SecretHash, "matches", SLOW)
    async with bridge_with(tmp_path, shop={}) as bridge:
        assert await ask(bridge, f"shop.{SECRET}") == OK
        assert await ask(bridge, TOKEN) == OK


@pytest.mark.parametrize(
    "token",
    [
        f"shop.{WRONG_SECRET}",
        f"nobody.{SECRET}",
        f"other.{SECRET}",
        f"keys.{SECRET}",
        SECRET,
        f".{SECRET}",
        "shop.",
        "shop.short",
        f"shop.{SECRET}.{SECRET}",
        f"shop.{SECRET}x",
        f"shop.{HASH}",
        f"SHOP.{SECRET}",
        f"shop.{SECRET}" + "x" * 9000,
    ],
)
async def test_nobody_else_does(tmp_path: Path, token: str) -> None:
    keys = {"secrets": None, "jwt_keys": PEMS[:1]}
    async with bridge_with(tmp_path, shop={}, other={"secrets": [NEW_HASH]}, keys=keys) as bridge:
        assert await ask(bridge, token) == STRANGER
        assert bridge.asker.commands == []


async def test_two_headers_are_none(tmp_path: Path) -> None:
    async with bridge_with(tmp_path, shop={}) as bridge:
        headers = [("Authorization", f"shop.{SECRET}"), ("Authorization", "x"), ("Content-Type", "application/json")]
        assert (await bridge.send("POST", data=b"{}", headers=headers))[0] == 401


# Scopes


@pytest.mark.parametrize(
    ("scope", "over", "field"),
    [
        ({"tenants": ["acme"]}, {}, "tenant"),
        ({"tenants": ["default"]}, {"tenant": "acme"}, "tenant"),
        ({"channels": [OTHER_CHANNEL_ID], "commands": ["identify"]}, {}, "channel_id"),
        ({"channels": [CHANNEL_ID], "commands": ["identify"]}, {"channel_id": "there-is-none"}, "channel_id"),
        ({"commands": ["info"]}, {}, "command"),
        ({"commands": ["info"]}, {"external_id": 7}, "command"),
    ],
)
async def test_outside_of_its_scope_a_client_is_forbidden(
    tmp_path: Path, scope: dict[str, Any], over: dict[str, Any], field: str
) -> None:
    async with bridge_with(tmp_path, shop=scope) as bridge:
        assert await ask(bridge, f"shop.{SECRET}", **over) == (403, "forbidden", field)
        assert bridge.asker.commands == []


async def test_inside_it_is_not(tmp_path: Path) -> None:
    scope = {"tenants": ["default"], "channels": [CHANNEL_ID], "commands": ["identify"]}
    async with bridge_with(tmp_path, shop=scope) as bridge:
        assert await ask(bridge, f"shop.{SECRET}") == OK


async def test_what_is_wrong_with_a_field_comes_before_what_the_client_may_not_use(tmp_path: Path) -> None:
    async with bridge_with(tmp_path, shop={"tenants": ["acme"]}) as bridge:
        assert await ask(bridge, f"shop.{SECRET}", external_id=7) == (400, "invalid_field", "external_id")


async def test_a_forbidden_answer_does_not_tell_whether_the_channel_is_there(tmp_path: Path) -> None:
    async with bridge_with(tmp_path, shop={"channels": ["mine"], "commands": ["identify"]}) as bridge:
        headers = {"Authorization": f"shop.{SECRET}", "Idempotency-Key": "same"}
        answers = [
            await bridge.send("POST", json=BODY | {"channel_id": channel}, headers=headers)
            for channel in (CHANNEL_ID, "there-is-none")
        ]
        assert answers[0][:2] == answers[1][:2]


@pytest.mark.parametrize("path", ["/identities.info", "/identities.merge", "/identities.forget"])
async def test_the_tenant_decides_about_commands_on_contacts(tmp_path: Path, path: str) -> None:
    ids = {"contact_id": "c", "source_id": "c", "destination_id": "d", "external_id": None}
    async with bridge_with(tmp_path, shop={"tenants": ["acme"]}) as bridge:
        assert await ask(bridge, f"shop.{SECRET}", path, **ids) == (403, "forbidden", "tenant")
        assert await ask(bridge, f"shop.{SECRET}", path, **ids, tenant="acme") == OK


# Changing secrets


async def test_two_secrets_count_while_they_are_changed_and_the_old_one_no_more_after(tmp_path: Path) -> None:
    async with bridge_with(tmp_path, shop={}) as bridge:
        assert bridge.book is not None
        file = tmp_path / "clients.toml"
        assert [await ask(bridge, f"shop.{each}") for each in (SECRET, NEW_SECRET)] == [OK, STRANGER]
        file.write_bytes(make_file(shop={"secrets": [HASH, NEW_HASH]}))
        await bridge.book.refresh()
        assert [await ask(bridge, f"shop.{each}") for each in (SECRET, NEW_SECRET)] == [OK, OK]
        file.write_bytes(make_file(shop={"secrets": [NEW_HASH]}))
        await bridge.book.refresh()
        assert [await ask(bridge, f"shop.{each}") for each in (SECRET, NEW_SECRET)] == [STRANGER, OK]
        file.write_bytes(make_file(other={}))
        await bridge.book.refresh()
        assert await ask(bridge, f"shop.{NEW_SECRET}") == STRANGER


async def test_a_file_that_cannot_be_used_leaves_the_one_before_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def metric(bridge: Bridge) -> tuple[float | None, float | None]:
        names = ("airy_identify_clients", "airy_identify_clients_file_broken")
        count, broken = (bridge.registry.get_sample_value(name) for name in names)
        return count, broken

    async with bridge_with(tmp_path, shop={}) as bridge:
        assert bridge.book is not None
        file = tmp_path / "clients.toml"
        good = file.read_bytes()
        assert metric(bridge) == (1, 0)
        for broken in (b"[shop", make_file(shop={"tenants": [], "secrets": [f"{SECRET}"]})):
            file.write_bytes(broken)
            await bridge.book.refresh()
            await bridge.book.refresh()
            assert (await ask(bridge, f"shop.{SECRET}"), metric(bridge)) == (OK, (1, 1))
        file.unlink()
        await bridge.book.refresh()
        assert (await ask(bridge, f"shop.{SECRET}"), metric(bridge)) == (OK, (1, 1))
        errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert len(errors) == 3
        assert "shop.tenants" in errors[1]
        assert SECRET not in "".join(errors)
        file.write_bytes(good)
        await bridge.book.refresh()
        assert metric(bridge) == (1, 0)


async def test_the_file_is_followed(tmp_path: Path) -> None:
    async with bridge_with(tmp_path, shop={}) as bridge:
        assert bridge.book is not None
        watching = asyncio.create_task(bridge.book.watch(interval_s=0.001))
        (tmp_path / "clients.toml").write_bytes(make_file(shop={}, other={"secrets": [NEW_HASH]}))
        await until(lambda: "other" in bridge.book.by_name if bridge.book else False)
        watching.cancel()


# Slow hashes


def count_hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of secrets that are hashed slowly from now on."""
    tried: list[str] = []

    def count(self: SecretHash, secret: str) -> bool:
        tried.append(secret)
        return matches_quickly(self, secret)

    monkeypatch.setattr(SecretHash, "matches", count)
    return tried


async def test_a_right_secret_is_hashed_slowly_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = count_hashes(monkeypatch)
    async with bridge_with(tmp_path, shop={}) as bridge:
        for _ in range(3):
            assert await ask(bridge, f"shop.{SECRET}") == OK
        assert tried == [SECRET] * 2  # the second is nobody's, so that all names take the same time


async def test_names_that_there_are_not_take_as_many_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = count_hashes(monkeypatch)
    keys = {"secrets": None, "jwt_keys": PEMS[:1]}
    two = {"secrets": [NEW_HASH, hash_secret(NEW_SECRET, b"x" * 16).text]}
    async with bridge_with(tmp_path, one={}, two=two, keys=keys) as bridge:
        for name in ("one", "two", "keys", "nobody"):
            tried.clear()
            assert await ask(bridge, f"{name}.{WRONG_SECRET}") == STRANGER
            assert len(tried) == 2


async def test_a_flood_of_wrong_secrets_holds_up_nobody_who_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    try:
        async with bridge_with(tmp_path, shop={}, other={"secrets": [NEW_HASH]}) as bridge:
            assert await ask(bridge, f"shop.{SECRET}") == OK
            monkeypatch.setattr(SecretHash, "matches", lambda *each: gate.wait() and matches_quickly(*each))
            waiting = [asyncio.create_task(ask(bridge, f"nobody-{each}.{WRONG_SECRET}")) for each in range(4)]
            waiting += [asyncio.create_task(ask(bridge, f"shop.{WRONG_SECRET}")) for _ in range(4)]
            assert bridge.callers is not None
            await until(lambda: bridge.callers._waiting.total() == 8 if bridge.callers else False)
            async with asyncio.timeout(DEADLINE_S):  # one place more, and it would wait for the gate
                status, answer, headers = await bridge.send(
                    "POST", json=BODY, headers={"Authorization": f"nobody-5.{WRONG_SECRET}"}
                )
            assert (status, answer["code"], headers["Retry-After"]) == (429, "rate_limited", "1")
            assert await ask(bridge, f"shop.{SECRET}") == OK
            assert await ask(bridge, TOKEN) == OK
            newcomer = asyncio.create_task(ask(bridge, f"other.{NEW_SECRET}"))
            gate.set()
            assert await newcomer == OK
            assert [await each for each in waiting] == [STRANGER] * 8
            assert bridge.callers._waiting.total() == 0
    finally:
        gate.set()


async def test_secrets_are_compared_in_constant_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SecretHash, "matches", SLOW)
    compared: list[bytes] = []
    constant_time = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return constant_time(one, other)

    async with bridge_with(tmp_path, shop={}) as bridge:
        monkeypatch.setattr(hmac, "compare_digest", compare)
        assert await ask(bridge, f"shop.{SECRET}") == OK
        slow, compared[:] = len([each for each in compared if len(each) == 32]), []
        assert await ask(bridge, f"shop.{SECRET}") == OK
        fast = len([each for each in compared if len(each) == 64])
    assert (slow, fast) == (2, 1)


# JWTs


@pytest.mark.parametrize("algorithm", KEYS)
async def test_a_client_gets_in_with_a_jwt_of_its_key(tmp_path: Path, algorithm: str) -> None:
    keys = [public_pem(KEYS[algorithm]), public_pem(OTHER_KEY)]
    async with bridge_with(tmp_path, shop={"secrets": None, "jwt_keys": keys}) as bridge:
        assert await ask(bridge, sign(KEYS[algorithm], algorithm)) == OK
        assert await ask(bridge, sign(OTHER_KEY, "EdDSA")) == OK


def confused(pem: str) -> str:
    """Return a token that is signed with HS256, with the public key as the secret."""

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"iss": "shop", "aud": "airy-identify", "iat": NOW_S, "exp": NOW_S + 300}
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}"
    signature = base64.urlsafe_b64encode(hmac.digest(pem.encode(), signed.encode(), "sha256")).rstrip(b"=").decode()
    return f"{signed}.{signature}"


EC = KEYS["ES256"]


NOT_OURS = {
    "for another service": sign(EC, "ES256", aud="another service"),
    "for nobody": sign(EC, "ES256", aud=None),
    "of another client": sign(EC, "ES256", iss="other"),
    "of nobody": sign(EC, "ES256", iss=None),
    "of a client that there is not": sign(EC, "ES256", iss="nobody"),
    "expired this second": sign(EC, "ES256", exp=NOW_S),
    "without expiry": sign(EC, "ES256", exp=None),
    "without iat": sign(EC, "ES256", iat=None),
    "longer than an hour": sign(EC, "ES256", exp=NOW_S + 3601),
    "of the future": sign(EC, "ES256", iat=NOW_S + 61, exp=NOW_S + 300),
    "not yet": sign(EC, "ES256", nbf=NOW_S + 61),
    "with times that are none": sign(EC, "ES256", exp=True),
    "with another client's key": sign(OTHER_KEY, "EdDSA"),
    "not signed": sign(None, "none"),
    "with a secret": sign(WRONG_SECRET, "HS256"),
    "with the public key as a secret": confused(public_pem(EC)),
    "of three parts": "a.b.c",
    "of two dots": "..",
}


@pytest.mark.parametrize("name", NOT_OURS)
async def test_any_other_jwt_does_not_count(tmp_path: Path, name: str) -> None:
    other = {"secrets": None, "jwt_keys": [public_pem(OTHER_KEY)]}
    async with bridge_with(tmp_path, shop={"secrets": None, "jwt_keys": [public_pem(EC)]}, other=other) as bridge:
        assert await ask(bridge, NOT_OURS[name]) == STRANGER
        assert bridge.asker.commands == []


# Limits, metrics, logs


async def test_a_client_has_a_limit_of_its_own(tmp_path: Path) -> None:
    async with bridge_with(tmp_path, shop={"requests_per_second": 1}, other={"secrets": [NEW_HASH]}) as bridge:
        answers = [await ask(bridge, f"shop.{SECRET}") for _ in range(3)]
        assert (429, "rate_limited", None) in answers
        assert [await ask(bridge, f"other.{NEW_SECRET}") for _ in range(3)] == [OK] * 3
        assert bridge.book is not None
        (tmp_path / "clients.toml").write_bytes(make_file(shop={}))
        await bridge.book.refresh()
        assert [await ask(bridge, f"shop.{SECRET}") for _ in range(3)] == [OK] * 3


async def test_metrics_and_the_log_name_the_client(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with bridge_with(tmp_path, shop={}) as bridge:
        await ask(bridge, f"shop.{SECRET}")
        await ask(bridge, TOKEN)
        await ask(bridge, f"nobody.{SECRET}")
        counted = {
            tuple(sample.labels.values()): sample.value
            for metric in bridge.registry.collect()
            for sample in metric.samples
            if sample.name == "airy_identify_http_client_requests_total"
        }
        assert counted == {("shop", "200"): 1, ("system", "200"): 1}
    lines = [record for record in caplog.records if record.getMessage() == "request answered"]
    assert [getattr(line, "client", None) for line in lines] == ["shop", "system", None]
    assert SECRET not in caplog.text
