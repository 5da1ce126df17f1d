import hmac

import pytest

from airy_identify.web.auth import SystemToken
from tests.web.bridge import BODY, HEADERS, PATH, TOKEN, Bridge

CHAT_TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJjb252ZXJzYXRpb25faWQiOiJjIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "value", [TOKEN, f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER {TOKEN}", f"Bearer   {TOKEN}", f"  {TOKEN} "]
)
async def test_the_token_is_taken_with_the_scheme_word_in_any_case_or_bare(bridge: Bridge, value: str) -> None:
    status, _, _ = await bridge.send("POST", json=BODY, headers={"Authorization": value})
    assert status == 200


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer{TOKEN}",
        f"Basic {TOKEN}",
        f"Bearer Bearer {TOKEN}",
        TOKEN.upper(),
        TOKEN[:-1],
        f"{TOKEN}x",
        f"Bearer {TOKEN}ä",
        f"Bearer {CHAT_TOKEN}",
        CHAT_TOKEN,
    ],
)
async def test_anything_else_is_unauthorized(bridge: Bridge, value: str) -> None:
    status, answer, headers = await bridge.send("POST", json=BODY, headers={"Authorization": value})
    assert (status, answer["code"], headers["WWW-Authenticate"]) == (401, "unauthorized", "Bearer")


@pytest.mark.parametrize("value", [f"Bearer {TOKEN}\udce4", "Bearer \udce4", "\N{KELVIN SIGN}", ""])
def test_bytes_that_are_no_ascii_are_refused_however_they_were_decoded(value: str) -> None:
    assert not SystemToken(TOKEN).allows([value])


async def test_two_tokens_are_none(bridge: Bridge) -> None:
    headers = [("Authorization", TOKEN), ("Authorization", "other"), ("Content-Type", "application/json")]
    status, _, _ = await bridge.send("POST", data=b"{}", headers=headers)
    assert status == 401


async def test_a_stranger_does_not_learn_which_methods_a_route_has(bridge: Bridge) -> None:
    status, _, headers = await bridge.send("GET", PATH)
    assert (status, "Allow" in headers) == (401, False)
    status, _, headers = await bridge.send("GET", PATH, headers=HEADERS)
    assert (status, headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_health_and_metrics_need_no_token(bridge: Bridge, path: str) -> None:
    assert (await bridge.send("GET", path))[0] == 200
    assert (await bridge.send("HEAD", path))[0] == 200


def test_a_token_with_a_space_or_scheme_word_inside_still_works() -> None:
    assert SystemToken("bearer of news").allows(["bearer of news"])
    assert SystemToken("bearer of news").allows(["Bearer bearer of news"])


@pytest.mark.parametrize("token", ["", " ", "ä", " padded ", "new\nline\n"])
def test_a_token_that_nobody_could_send_is_refused_at_the_start(token: str) -> None:
    with pytest.raises(ValueError, match="system token"):
        SystemToken(token)


def test_the_token_does_not_print() -> None:
    assert TOKEN not in repr(SystemToken(TOKEN))


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every decision is one of `hmac.compare_digest`, on the whole of both values."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert not SystemToken(TOKEN).allows([f"Bearer {TOKEN}"])
    assert not SystemToken(TOKEN).allows([TOKEN])
    assert (TOKEN.encode(), TOKEN.encode()) in compared
    assert len(compared) == 4
