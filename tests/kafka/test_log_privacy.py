"""No e-mail, phone number, token or metadata value in any log line at INFO, over a whole run."""

import json
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from airy_identify.settings import Settings
from tests.kafka.conftest import JWT_SECRET, SYSTEM_TOKEN
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.service import Service, put_channels, put_messages

SECRETS = {
    "email": "Secret.Person@Private-Domain.example",
    "phone_number": "+49 30 98765432",
    "external_id": "secret-external-id",
    "metadata": "secret-metadata-value",
    "content": "secret-message-content",
    "device": "secret-device-id",
}


async def test_logs_tell_nothing_of_anybody(
    make_installation: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    settings = await make_installation()
    channel = str(uuid.uuid4())
    await put_channels(settings, [channel])
    worker, bridge = (ServiceProcess(command, settings, tmp_path, measured=True) for command in ("worker", "web"))
    service = Service(settings, channel, worker, bridge)
    tokens = []
    fields: dict[str, Any] = {
        "external_id": SECRETS["external_id"],
        "email": SECRETS["email"],
        "phone_number": SECRETS["phone_number"],
        "identifiers": {"device": SECRETS["device"]},
        "metadata": {"first_name": SECRETS["metadata"]},
    }
    async with ended_afterwards(worker, bridge):
        for process in (worker, bridge):
            await process.start().until_ready()
        answer = await service.identify(**fields)
        assert answer["status"] == 200
        conversation = answer["conversations"][0]
        tokens.append(conversation["resume_token"])
        await put_messages(
            settings,
            {"id": "m", "conversation_id": conversation["id"], "channel_id": channel, "content": SECRETS["content"]},
        )
        tokens.append(json.loads((await service.ask(**fields)).value)["conversations"][0]["resume_token"])
        for token in (tokens[0], tokens[1] + "x", [tokens[0]]):
            await service.identify(**fields | {"attach": token})
            await service.ask(**fields | {"attach": token})
        for wrong in ("email", "phone_number", "external_id", "identifiers", "metadata"):
            await service.identify(**fields | {wrong: [SECRETS["email"], SECRETS["phone_number"], SECRETS["metadata"]]})
        for value in SECRETS.values():
            await service.ask_bytes(f"{{ {value}".encode())
        await service.post(b"{}", Authorization=f"Bearer {tokens[0]}")
        assert await worker.terminate() == 0
        await worker.start().until_ready()
        assert (await service.identify(**fields))["status"] == 200
        assert await worker.terminate() == 0
        assert await bridge.terminate() == 0
    words = (worker.log_file.read_text() + bridge.log_file.read_text()).lower()
    assert '"level": "info"' in words
    assert "request answered" in words
    values = [*SECRETS.values(), *tokens, "+493098765432", SYSTEM_TOKEN, JWT_SECRET, "private-domain"]
    assert [value for value in values if value.lower() in words] == []
