import pytest

from airy_identify.web.errors import RefusedError
from airy_identify.web.rate_limit import RateLimit
from tests.web.bridge import BODY, HEADERS, PATH, running_bridge


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def allowed(limit: RateLimit, times: int) -> int:
    passed = 0
    for _ in range(times):
        try:
            limit.take()
        except RefusedError:
            continue
        passed += 1
    return passed


def test_without_a_limit_everything_passes() -> None:
    assert allowed(RateLimit(None, Clock()), 10_000) == 10_000


def test_a_seconds_worth_at_once_and_then_as_many_as_time_allows() -> None:
    clock = Clock()
    limit = RateLimit(16, clock)
    assert allowed(limit, 40) == 16
    clock.now_s += 2.5 / 16
    assert allowed(limit, 40) == 2
    clock.now_s += 0.5 / 16  # half a request was left over
    assert allowed(limit, 40) == 1
    clock.now_s += 3600
    assert allowed(limit, 40) == 16


def test_whoever_is_told_to_wait_so_long_passes_then() -> None:
    clock = Clock()
    limit = RateLimit(1, clock)
    limit.take()
    with pytest.raises(RefusedError) as refused:
        limit.take()
    clock.now_s += int(refused.value.headers["Retry-After"])
    limit.take()


async def test_too_many_requests_are_told_when_to_come_back_and_others_are_not_counted() -> None:
    clock = Clock()
    async with running_bridge(requests_per_s=2, clock=clock) as bridge:
        for _ in range(5):
            assert (await bridge.send("GET", "/healthz"))[0] == 200
            assert (await bridge.send("POST", PATH, json=BODY))[0] == 401
        assert [(await bridge.post())[0] for _ in range(3)] == [200, 200, 429]
        status, answer, headers = await bridge.send("POST", "/identities.info", json={}, headers=HEADERS)
        assert (status, answer["code"], answer["field"], headers["Retry-After"]) == (429, "rate_limited", None, "1")
        assert len(bridge.asker.commands) == 2
        clock.now_s += 1
        assert (await bridge.post())[0] == 200
