"""`dev`: everything in one terminal, until Ctrl-C."""

import asyncio
import contextlib
import json
import shlex
import signal
import tempfile
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from airy_identify.ops.commands.base import example, run
from airy_identify.ops.stack import Stack, StackOptions
from airy_identify.ops.tail import follow_answers
from airy_identify.settings import variable


@click.command(epilog=example("airy-identify dev --data-dir ./local"))
@click.option("--http-port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Port of the bridge.")
@click.option("--kafka-port", type=click.IntRange(1, 65535), default=9092, show_default=True, help="Port of Kafka.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep everything here, for the next start; without it nothing is kept.",
)
@click.option(
    "--system-token", envvar=variable("system_token"), metavar="TOKEN", help="What callers present; else a random one."
)
@click.option(
    "--jwt-secret", envvar=variable("jwt_secret"), metavar="BASE64", help="Signs resume tokens; else a random one."
)
@click.option("--channel", "channels", multiple=True, metavar="ID", help="A chat-plugin channel to have; repeatable.")
def dev(*, data_dir: Path | None, **options: Any) -> None:  # noqa: ANN401 - the other options above
    """Run Kafka, the topics, sample channels, one worker and one bridge here, until Ctrl-C."""
    with contextlib.ExitStack() as closing:
        if data_dir is None:
            data_dir = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="airy-identify-")))
        run(_dev(StackOptions(directory=data_dir, **options)))


async def _dev(options: StackOptions) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    stack = Stack(options, click.echo)
    try:
        await _until_stopped(stopping, [stack.start()])
        if not stopping.is_set():
            await _until_stopped(stopping, [_show(stack), stack.watch(stopping)])
    finally:
        click.echo("stopping")
        await stack.stop()
    click.echo("stopped")


async def _until_stopped(stopping: asyncio.Event, work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Wait for the first of the work to end, or for the stop; what has not ended then is cancelled."""
    waiting = asyncio.ensure_future(stopping.wait())
    tasks = [asyncio.ensure_future(part) for part in work]
    done, pending = await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending)
    for task in done:
        task.result()


async def _show(stack: Stack) -> None:
    """Say where everything is, then a line for each answer."""
    async with contextlib.aclosing(follow_answers(stack.settings)) as lines:
        async for line in lines:
            click.echo(introduction(stack) if line is None else line)


def introduction(stack: Stack) -> str:
    """Return what a person needs to begin."""
    kept = stack.directory
    return "\n".join(
        (
            "",
            f"Bridge        {stack.url} (described at {stack.url}/docs)",
            f"System token  {stack.secrets.system_token}",
            f"Channels      {', '.join(stack.channels)}",
            f"Kafka         {stack.broker.bootstrap_servers}",
            f"Logs          {kept}/worker.log, {kept}/web.log",
            "",
            "Paste this into another terminal; the programs in docs/http.md and docs/kafka.md run with it:",
            "",
            export_lines(variables_of(stack)),
            "",
            "A first call, without any of it:",
            "",
            curl_line(stack.url, stack.secrets.system_token, stack.channels[0]),
            "",
            "Answers are shown here. Ctrl-C ends everything.",
        )
    )


def variables_of(stack: Stack) -> dict[str, str]:
    """Return what callers need to know, under the names that README and docs use.

    They do not begin with `AIRY_IDENTIFY_`: those are the service's own settings, and it refuses unknown ones.
    """
    names = stack.settings.topic_names
    return {
        "IDENTIFY_URL": stack.url,
        "IDENTIFY_TOKEN": stack.secrets.system_token,
        "IDENTIFY_CHANNEL": stack.channels[0],
        "IDENTIFY_KAFKA": stack.broker.bootstrap_servers,
        "IDENTIFY_REQUESTS_TOPIC": names.requests,
        "IDENTIFY_RESPONSES_TOPIC": names.responses,
    }


def export_lines(variables: Mapping[str, str]) -> str:
    """Return lines that set environment variables, to be pasted into a shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def curl_line(url: str, system_token: str, channel_id: str) -> str:
    """Return a command that identifies somebody, on one line, to be pasted into a shell."""
    body = json.dumps({"channel_id": channel_id, "external_id": "user-1", "email": "ada@example.org"})
    headers = f"-H {shlex.quote(f'Authorization: Bearer {system_token}')} -H 'Content-Type: application/json'"
    return f"curl -s {url}/contacts.identify {headers} -d {shlex.quote(body)}"
