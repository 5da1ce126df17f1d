"""A bridge with a file of clients, on real topics: who gets an answer, and how the file is changed meanwhile."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from tests.client_files import NEW_HASH, NEW_SECRET, SECRET, make_file
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.service import Service, poll


async def test_a_client_is_answered_within_its_scope_and_its_secret_is_changed_at_once(
    service: Service, tmp_path: Path
) -> None:
    mine, other = service.new_tenant(), service.new_tenant()
    scope: dict[str, Any] = {"tenants": [mine.name], "channels": [mine.channel], "commands": ["identify"]}
    file = tmp_path / "clients.toml"
    file.write_bytes(make_file(shop=scope))
    settings = service.settings.model_copy(update={"clients_file": file})
    bridge = ServiceProcess("web", settings, tmp_path, name="scoped")
    scoped = dataclasses.replace(service, bridge=bridge)

    async def ask(secret: str = SECRET, path: str = "/contacts.identify", **over: str) -> tuple[int, Any]:
        body = {"tenant": mine.name, "channel_id": mine.channel, "external_id": "u-1"} | over
        status, answer, _ = await scoped.post(
            json.dumps(body).encode(), path=path, Authorization=f"Bearer shop.{secret}"
        )
        return status, answer.get("field")

    async def new_secret_counts() -> bool:
        return await ask(NEW_SECRET) == (200, None)

    async with ended_afterwards(bridge):
        await bridge.start().until_ready()
        assert await ask() == (200, None)
        assert await ask(tenant=other.name, channel_id=other.channel) == (403, "tenant")
        assert await ask(channel_id=mine.other_channel) == (403, "channel_id")
        assert await ask(path="/identities.info") == (403, "command")
        assert await ask(NEW_SECRET) == (401, None)
        file.write_bytes(make_file(shop=scope | {"secrets": [NEW_HASH]}))
        await poll(new_secret_counts, "the new file is not in force")
        assert await ask() == (401, None)
        assert await bridge.terminate() == 0
    log = bridge.log_file.read_text()
    assert '"client": "shop"' in log
    assert SECRET not in log
    assert NEW_SECRET not in log
