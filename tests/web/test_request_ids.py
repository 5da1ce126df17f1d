import pytest

from tests.builders import ACCEPTED_AT_MS
from tests.web.bridge import BODY, HEADERS, PATH, Bridge

KEY = "Idempotency-Key"


@pytest.mark.parametrize("key", ["a", "x" * 255, "two words", "!~", '"quoted"'])
async def test_the_idempotency_key_becomes_the_request_id(bridge: Bridge, key: str) -> None:
    status, answer = await bridge.post(headers={KEY: key})
    assert (status, answer) == (200, {"request_id": key})
    assert bridge.asker.commands[0].request_id == key


async def test_the_key_is_in_every_error_too(bridge: Bridge) -> None:
    for path, headers in (("/nowhere", {}), (PATH, {}), (PATH, HEADERS)):
        status, answer, _ = await bridge.send("PUT", path, headers={KEY: "key-1"} | headers)
        assert status in {404, 401, 405}
        assert answer["request_id"] == "key-1"


async def test_two_keys_are_refused(bridge: Bridge) -> None:
    headers = [*HEADERS.items(), (KEY, "a"), (KEY, "b")]
    status, answer, _ = await bridge.send("POST", json=BODY, headers=headers)
    assert (status, answer["code"], answer["field"]) == (400, "invalid_field", KEY)


async def test_the_correlation_id_is_never_the_key(bridge: Bridge) -> None:
    await bridge.post(headers={KEY: "key-1"})
    assert bridge.asker.commands[0].reply_to == bridge.asker.reply_to()


async def test_what_must_not_be_decided_later_is_stamped_into_the_command(bridge: Bridge) -> None:
    await bridge.post(headers={KEY: "key-1"})
    await bridge.post(headers={KEY: "key-1"})
    first, second = bridge.asker.identified
    assert first.accepted_at_ms == ACCEPTED_AT_MS
    assert first.new_id != second.new_id
    assert "key-1" not in {first.new_id, second.new_id}


async def test_without_a_key_the_request_id_is_new_each_time_and_not_the_conversations(bridge: Bridge) -> None:
    _, first = await bridge.post()
    _, second = await bridge.post()
    ids = {first["request_id"], second["request_id"], *(command.new_id for command in bridge.asker.identified)}
    assert len(ids) == 4
