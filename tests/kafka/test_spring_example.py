"""examples/spring: customers log in, and the page goes on with their chat, also while no worker answers."""

import asyncio
import http.cookiejar
import json
import os
import re
import signal
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from airy_identify.ops.child import start_child
from airy_identify.ops.local_registry import LocalRegistry
from airy_identify.ops.ports import free_port
from airy_identify.wire.resume_token import ResumeTokenVerifier
from tests.kafka.conftest import shop_replies
from tests.kafka.foreign import ForeignWriter, put_channel
from tests.kafka.maven import SHORT_RUN, built_jar
from tests.kafka.replay import read
from tests.kafka.service import Service, poll

PROJECT = Path(__file__).parents[2] / "examples" / "spring"
ATTEMPTS = 3
"""As in its application.properties."""


class Browser:
    """Somebody's browser: it keeps cookies and follows redirects."""

    def __init__(self, url: str) -> None:
        self._url = url
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies)

    async def get(self, path: str, form: dict[str, str] | None = None) -> "tuple[int, str, Message[str, str]]":
        """Return status, body and headers. A form is sent as one."""
        return await asyncio.to_thread(self._get, path, form)

    def _get(self, path: str, form: dict[str, str] | None) -> "tuple[int, str, Message[str, str]]":
        data = None if form is None else urllib.parse.urlencode(form).encode()
        try:
            with self._opener.open(self._url + path, data, timeout=60) as response:
                return response.status, response.read().decode(), response.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(), error.headers

    async def send_form(self, path: str, **fields: str) -> None:
        """Send the form of a page, with the token that the page has against forged ones."""
        _, page, _ = await self.get(path)
        (token,) = re.findall(r'name="_csrf"[^>]* value="([^"]+)"', page)
        status, _, _ = await self.get(path, fields | {"_csrf": token})
        assert status == 200

    async def chat(self) -> tuple[int, Any]:
        status, body, headers = await self.get("/chat")
        assert "no-store" in headers["Cache-Control"]
        return status, json.loads(body or "null")

    async def resume_token(self) -> str:
        """Return the token, after a time-out or two when the machine is busy."""

        async def given() -> str | None:
            status, answer = await self.chat()
            assert status in {200, 504}, answer
            found: str | None = answer.get("resume_token")
            return found

        token: str = await poll(given, "no resume token was given")
        return token


@asynccontextmanager
async def shop(service: Service, channel: str, log_file: Path) -> AsyncIterator[str]:
    """Build the application, run it within the block, and give its address."""
    names, port = service.settings.topic_names, free_port()
    jar = await built_jar(PROJECT)
    variables = {
        "IDENTIFY_KAFKA": service.settings.kafka_bootstrap_servers,
        "IDENTIFY_REQUESTS_TOPIC": names.requests,
        "IDENTIFY_REPLIES_TOPIC": shop_replies(service.settings),
        "IDENTIFY_CHANNEL": channel,
        "IDENTIFY_ANSWEREDWITHIN": "1s",  # Spring's own name for identify.answered-within
        "PORT": str(port),
    }
    command = ["java", "-Xmx256m", *SHORT_RUN.split(), "-jar", str(jar)]
    with log_file.open("wb") as output:
        process = start_child(command, output=output, environment=dict(os.environ) | variables)
    url = f"http://127.0.0.1:{port}"

    async def started() -> bool:
        said = await asyncio.to_thread(log_file.read_text)
        assert process.poll() is None, said[-3000:]
        return "Started Shop" in said

    try:
        await poll(started, "the application did not start")
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def channel(registered_service: Service, registry: LocalRegistry) -> str:
    """A channel of the shop's own."""
    channel_id = str(uuid.uuid4())
    put_channel(ForeignWriter(registered_service.settings, registry.url), registered_service.settings, channel_id)
    return channel_id


async def logged_in(url: str, name: str) -> Browser:
    browser = Browser(url)
    await browser.send_form("/login", username=name, password="secret")
    return browser


async def request_ids(service: Service, topic: str) -> list[str]:
    """Return the ids of the shop's questions on the topic of requests, or of its answers, in order."""
    records = await read(service.settings, topic)
    found = [json.loads(record.value).get("request_id", "") for record in records if record.value[:1] == b"{"]
    return [request_id for request_id in found if request_id.startswith("login-")]


async def test_a_customer_who_logs_in_goes_on_with_the_same_chat_everywhere(
    registered_service: Service, registry: LocalRegistry, channel: str, tmp_path: Path
) -> None:
    service, names = registered_service, registered_service.settings.topic_names

    async def known() -> bool:
        return bool((await service.identify(channel_id=channel, external_id="x", dry_run=True))["status"] == 200)

    await poll(known, "the channel was not seen")
    async with shop(service, channel, tmp_path / "shop.log") as url:
        assert (await Browser(url).chat())[0] == 401

        ada = await logged_in(url, "ada")
        token = await ada.resume_token()
        verifier = ResumeTokenVerifier([service.settings.jwt_secret_bytes])
        claims = verifier.verify(token, now_s=int(time.time()))
        asked = await service.identify(channel_id=channel, external_id="user-1")
        assert claims is not None
        assert claims.channel_id == channel
        assert claims.conversation_id == asked["conversations"][0]["id"]
        assert asked["contact"]["email"] == "ada@example.org"
        assert asked["contact"]["unverified"] == []

        elsewhere = verifier.verify(await (await logged_in(url, "ada")).resume_token(), now_s=int(time.time()))
        assert elsewhere is not None
        assert elsewhere.conversation_id == claims.conversation_id

        await (await logged_in(url, "grace")).resume_token()
        grace = await service.identify(channel_id=channel, external_id="user-2")
        assert grace["contact"]["unverified"] == ["email"]

        assert set(await request_ids(service, names.requests)) == set(
            await request_ids(service, shop_replies(service.settings))
        )
        assert await request_ids(service, names.responses) == []
        await while_no_worker_answers(service, ada, claims.conversation_id)
        await while_the_channel_is_disconnected(service, registry, channel, ada)
    assert token not in (tmp_path / "shop.log").read_text()


async def while_no_worker_answers(service: Service, ada: Browser, conversation_id: str) -> None:
    """The application asks again with the same request id and then says that there was no answer."""
    before = await request_ids(service, service.settings.topic_names.requests)
    service.worker.send(signal.SIGSTOP)
    try:
        assert await ada.chat() == (504, {"code": "timeout"})
    finally:
        service.worker.send(signal.SIGCONT)
    asked = (await request_ids(service, service.settings.topic_names.requests))[len(before) :]
    assert len(asked) == ATTEMPTS
    assert set(asked) == {before[0]}  # ada's session was the first

    token = await ada.resume_token()
    claims = ResumeTokenVerifier([service.settings.jwt_secret_bytes]).verify(token, now_s=int(time.time()))
    assert claims is not None
    assert claims.conversation_id == conversation_id


async def while_the_channel_is_disconnected(
    service: Service, registry: LocalRegistry, channel: str, ada: Browser
) -> None:
    """A refusal is told with its code."""
    writer = ForeignWriter(service.settings, registry.url)
    put_channel(writer, service.settings, channel, connectionState="DISCONNECTED")

    async def refused() -> bool:
        return await ada.chat() == (502, {"code": "unknown_channel"})

    await poll(refused, "the refusal was not told")
