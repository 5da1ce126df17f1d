"""`demo`: the main job once, from nothing, printed."""

import asyncio
import json
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from airy_identify.core.values import ChannelId, ConversationId, Message, MessageId
from airy_identify.ops.ask import send
from airy_identify.ops.commands.base import example, run
from airy_identify.ops.errors import OpsError
from airy_identify.ops.stack import Stack, StackOptions
from airy_identify.wire.airy import encode_message

_ANSWER_TIMEOUT_S = 15.0
_POLL_S = 0.1


@click.command(epilog=example("airy-identify demo"))
def demo() -> None:
    """Start everything, identify a person, let them write a message, identify them again, and print it all."""
    with tempfile.TemporaryDirectory(prefix="airy-identify-") as temporary:
        run(_demo(Path(temporary)))


async def _demo(directory: Path) -> None:
    console = Console(highlight=False, soft_wrap=True)
    stack = Stack(StackOptions(directory=directory), lambda text: console.print(f"… {text}", style="dim"))
    try:
        await stack.start()
        await _play(stack, console)
    finally:
        await stack.stop()


async def _play(stack: Stack, console: Console) -> None:
    request = {
        "channel_id": stack.channels[0],
        "external_id": "user-1",
        "email": "ada@example.org",
        "metadata": {"display_name": "Ada Lovelace", "plan": "pro"},
    }
    console.rule("1. Your backend has logged somebody in: POST /contacts.identify")
    console.print_json(json.dumps(request))
    console.print("The answer:", style="bold")
    first = await asyncio.to_thread(_identify, stack, request)
    console.print_json(json.dumps(first))

    conversation_id = first["conversations"][0]["id"]
    console.rule("2. The visitor writes, in the chat that the resume token opens (a record on Airy's topic)")
    text = "Hello, it is me again."
    await _write_message(stack, conversation_id, text)
    console.print(f"{conversation_id}: {text}", markup=False)

    again = {"channel_id": stack.channels[0], "email": "Ada@Example.org"}
    console.rule("3. Later, on another device, known by e-mail only")
    console.print_json(json.dumps(again))
    console.print("The answer:", style="bold")
    second = await _identify_until_message(stack, again)
    console.print_json(json.dumps(second))
    if (first["contact"]["id"], conversation_id) != (second["contact"]["id"], second["conversations"][0]["id"]):
        raise OpsError("the second answer has other ids than the first")
    console.rule("The same person")
    console.print(f"contact       {second['contact']['id']}")
    console.print(f"conversation  {conversation_id}")
    console.print("Next: airy-identify dev (or make dev), and the README.")


async def _write_message(stack: Stack, conversation_id: str, text: str) -> None:
    """Put a message on Airy's topic, as its chat plugin does when the visitor writes."""
    now_ms = int(time.time() * 1000)
    message = Message(
        id=MessageId(str(uuid.uuid4())),
        conversation_id=ConversationId(conversation_id),
        channel_id=ChannelId(stack.channels[0]),
        source="chatplugin",
        sender_id=conversation_id,
        is_from_contact=True,
        delivery_state="delivered",
        content=json.dumps({"text": text}),
        sent_at_ms=now_ms,
    )
    await send(stack.settings, stack.settings.topic_names.airy_messages, message.id.encode(), encode_message(message))


async def _identify_until_message(stack: Stack, request: dict[str, str]) -> dict[str, Any]:
    """Identify until the message has arrived: it takes another way than the request, which may overtake it."""
    deadline = time.monotonic() + _ANSWER_TIMEOUT_S
    while time.monotonic() < deadline:
        answer = await asyncio.to_thread(_identify, stack, request)
        if any(conversation["last_message"] for conversation in answer["conversations"]):
            return answer
        await asyncio.sleep(_POLL_S)
    raise OpsError(f"the message has not arrived after {_ANSWER_TIMEOUT_S:g} s")


def _identify(stack: Stack, request: dict[str, Any]) -> dict[str, Any]:
    """Ask the bridge. Raises `OpsError` for any other answer than 200."""
    headers = {"Authorization": f"Bearer {stack.secrets.system_token}", "Content-Type": "application/json"}
    asked = urllib.request.Request(  # noqa: S310 - http, to our own bridge
        f"{stack.url}/contacts.identify", data=json.dumps(request).encode(), headers=headers
    )
    try:
        with urllib.request.urlopen(asked, timeout=_ANSWER_TIMEOUT_S) as response:  # noqa: S310 - as above
            answer: dict[str, Any] = json.load(response)
            return answer
    except urllib.error.HTTPError as error:
        with error:
            raise OpsError(f"the bridge answered {error.code}: {error.read().decode(errors='replace')}") from None
    except OSError as error:
        raise OpsError(f"the bridge did not answer: {error}") from None
