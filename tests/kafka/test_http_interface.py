"""The HTTP interface of a running service, against its own description."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airy_identify.web.openapi.operations import CHANNEL_ID
from tests.kafka.conftest import SYSTEM_TOKEN
from tests.kafka.service import Service, put_channels
from tests.web.documented import assert_documented, request_examples

GENERATED_MIN = int(os.environ.get("FUZZ_HTTP_REQUESTS", "400"))
"""How many generated requests there have to be at least: `make fuzz-http` says more."""
_EXAMPLES_FOR = max(20, (GENERATED_MIN - 400) // 6)
"""Examples for each operation: some have almost nothing to generate, and some requests come with every run."""
_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,ignored_auth"
)
"""All but those that want every request refused or accepted by its schema: blank text counts as absent here, which no
schema says, and an id or channel that looks right may not be there."""


def filled(value: Any, replaced: Mapping[str, str]) -> Any:
    """Return an example with the ids of this installation in place of its own."""
    text = json.dumps(value)
    for example, real in replaced.items():
        text = text.replace(example, real)
    return json.loads(text)


async def test_every_example_is_answered_as_documented(service: Service) -> None:
    examples = {(path, name): body for path, name, body in request_examples()}
    logged_in = examples["/contacts.identify", "logged in"]
    other_body = {"channel_id": service.channel, "external_id": "user-4712", "email": "carl@example.org"}
    first = await service.identify(**logged_in | {"channel_id": service.channel})
    other = await service.identify(**other_body)
    replaced = {
        logged_in["channel_id"]: service.channel,
        examples["/identities.merge", "two contacts"]["source_id"]: other["contact"]["id"],
        examples["/identities.merge", "two contacts"]["destination_id"]: first["contact"]["id"],
        examples["/conversations.resumeToken", "one conversation"]["conversation_id"]: first["conversations"][0]["id"],
    }
    last = [path for path, _ in examples if path == "/identities.forget"]
    order = [key for key in examples if key[0] not in last] + [key for key in examples if key[0] in last]
    for path, name in order:
        body = filled(examples[path, name], replaced)
        status, answer, _ = await service.post(json.dumps(body).encode(), path=path)
        assert status == 200, (path, name, answer)
        assert_documented(path, "POST", status, answer)
    for path, name in order:  # the person is forgotten now: refusals are documented too
        body = filled(examples[path, name], replaced)
        status, answer, _ = await service.post(json.dumps(body).encode(), path=path)
        assert_documented(path, "POST", status, answer)


async def test_generated_requests_are_answered_as_documented(service: Service, tmp_path: Path) -> None:
    await put_channels(service.settings, [CHANNEL_ID])  # that of the examples, from which requests are made
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.bridge.url}/openapi.json"),
        *("--header", f"Authorization: Bearer {SYSTEM_TOKEN}"),
        *("--checks", _CHECKS, "--phases", "examples,coverage,fuzzing", "--mode", "all", "--workers", "2"),
        *("--max-examples", str(_EXAMPLES_FOR), "--seed", "1", "--no-color", "--request-timeout", "60"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output
    generated = int("".join(re.findall(r"([\d,]+) generated", output)[-1]).replace(",", ""))
    assert generated >= GENERATED_MIN, output
    sys.stdout.write(output[-1500:])
    assert (await service.identify(external_id="after-the-fuzz"))["status"] == 200
