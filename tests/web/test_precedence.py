"""Of several faults the earlier one is answered: route, 401, 405, 415, 413, Idempotency-Key, JSON, fields, channel."""

import json
from itertools import combinations
from typing import Any

import pytest

from tests.web.bridge import BODY, DISCONNECTED_CHANNEL_ID, HEADERS, PATH, Bridge

FAULTS: dict[str, tuple[int, dict[str, Any]]] = {
    "not_found": (404, {"path": "/contacts.identity"}),
    "unauthorized": (401, {"authorization": "Bearer wrong"}),
    "method_not_allowed": (405, {"method": "PUT"}),
    "unsupported_media_type": (415, {"content_type": "text/plain"}),
    "body_too_large": (413, {"padding": 64 * 1024}),
    "invalid_field": (400, {"key": "ä"}),
    "malformed_json": (400, {"prefix": "{"}),
    "blocked_identifier": (400, {"fields": {"external_id": "null"}}),
    "invalid_metadata": (400, {"fields": {"metadata": 1}}),
    "missing_identifier": (400, {"fields": {"external_id": ""}}),
    "unknown_channel": (404, {"fields": {"channel_id": DISCONNECTED_CHANNEL_ID}}),
}
"""In the order of the contract; each with its status and what brings it about."""


async def send(bridge: Bridge, *codes: str) -> tuple[int, str]:
    settings: dict[str, Any] = {}
    fields = dict(BODY)
    for code in codes:
        fault = FAULTS[code][1]
        settings |= fault
        fields |= fault.get("fields", {})
    body = settings.get("prefix", "") + json.dumps(fields) + " " * settings.get("padding", 0)
    headers = {
        "Authorization": settings.get("authorization", HEADERS["Authorization"]),
        "Content-Type": settings.get("content_type", "application/json"),
        "Idempotency-Key": settings.get("key", "key-1"),
    }
    method, path = settings.get("method", "POST"), settings.get("path", PATH)
    status, answer, _ = await bridge.send(method, path, data=body, headers=headers)
    return status, answer.get("code", "none")


@pytest.mark.parametrize("code", FAULTS)
async def test_each_fault_alone(bridge: Bridge, code: str) -> None:
    assert await send(bridge, code) == (FAULTS[code][0], code)


SAME_FIELD = {("blocked_identifier", "missing_identifier")}


@pytest.mark.parametrize(("earlier", "later"), [pair for pair in combinations(FAULTS, 2) if pair not in SAME_FIELD])
async def test_the_earlier_of_two_faults_wins(bridge: Bridge, earlier: str, later: str) -> None:
    assert await send(bridge, later, earlier) == (FAULTS[earlier][0], earlier)


async def test_without_faults_the_request_is_asked(bridge: Bridge) -> None:
    assert await send(bridge) == (200, "none")
    assert len(bridge.asker.commands) == 1
