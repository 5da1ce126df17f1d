"""The command line: assembles the commands; what they do is in `ops` and `bootstrap`."""

from collections.abc import AsyncIterator

import click

from airy_identify.ops.asyncapi.document import asyncapi as asyncapi_document
from airy_identify.ops.commands.base import (
    Commands,
    PhaseProgress,
    example,
    print_json,
    settings_of_environment,
)
from airy_identify.ops.commands.clients import clients
from airy_identify.ops.commands.completion import completion
from airy_identify.ops.commands.config import config
from airy_identify.ops.commands.dead_letters import dead_letters
from airy_identify.ops.commands.demo import demo
from airy_identify.ops.commands.dev import dev
from airy_identify.ops.commands.identify import identify
from airy_identify.ops.commands.person import person
from airy_identify.ops.commands.rebuild import Reach, RebuildOptions, Rebuilt, make_rebuild_command
from airy_identify.ops.commands.schemas import schemas
from airy_identify.ops.commands.skips import skip, skips
from airy_identify.ops.commands.state import state
from airy_identify.ops.commands.top import top
from airy_identify.ops.commands.topics import topics
from airy_identify.ops.commands.verify import Verdict, VerifyOptions, make_verify_command
from airy_identify.settings import BRIDGE_REQUIRES, WORKER_REQUIRES, Settings


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=example("airy-identify demo"),
)
@click.version_option(package_name="airy-identify")
def main() -> None:
    """Kafka topics in, contact identities and resume tokens out.

    Settings are environment variables, AIRY_IDENTIFY_*. Exit codes: 0 done, 1 failed, 2 wrong usage or settings.
    """


@main.command(epilog=example("AIRY_IDENTIFY_JWT_SECRET=… airy-identify worker"))
def worker() -> None:
    """Run a worker: it reads the topics, keeps the state and writes the answers."""
    settings = settings_of_environment(required=WORKER_REQUIRES)
    from airy_identify.bootstrap.worker import run_worker  # noqa: PLC0415 - so that the other commands need not wait for Faust

    click.get_current_context().exit(run_worker(settings))


@main.command(epilog=example("AIRY_IDENTIFY_SYSTEM_TOKEN=… AIRY_IDENTIFY_JWT_SECRET=… airy-identify web"))
def web() -> None:
    """Run a bridge: it answers HTTP by way of the topics."""
    settings = settings_of_environment(required=BRIDGE_REQUIRES)
    from airy_identify.bootstrap.bridge import run_web  # noqa: PLC0415 - so that the other commands need not wait for Faust

    click.get_current_context().exit(run_web(settings))


@main.command(epilog=example("airy-identify openapi > openapi.json"))
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the bridge, which it also has at /openapi.json."""
    from airy_identify.web.openapi.document import openapi as document  # noqa: PLC0415 - as above

    print_json(document())


@main.command(epilog=example("airy-identify asyncapi > asyncapi.json"))
def asyncapi() -> None:
    """Print the AsyncAPI 3.0 document: every topic, message, header and reply, with the names of this installation."""
    print_json(asyncapi_document(settings_of_environment()))


def _verify(settings: Settings, options: VerifyOptions, on_progress: PhaseProgress) -> AsyncIterator[Verdict]:
    from airy_identify.bootstrap.tables import verify as verdicts  # noqa: PLC0415 - as above

    return verdicts(settings, options, on_progress)


def _plan_rebuild(settings: Settings, options: RebuildOptions) -> AsyncIterator[Reach]:
    from airy_identify.bootstrap.tables import plan_rebuild  # noqa: PLC0415 - as above

    return plan_rebuild(settings, options)


def _rebuild(settings: Settings, options: RebuildOptions, on_progress: PhaseProgress) -> AsyncIterator[Rebuilt]:
    from airy_identify.bootstrap.tables import rebuild  # noqa: PLC0415 - as above

    return rebuild(settings, options, on_progress)


_COMMANDS = (
    dev,
    demo,
    topics,
    schemas,
    identify,
    person,
    state,
    make_verify_command(_verify),
    make_rebuild_command(_plan_rebuild, _rebuild),
    dead_letters,
    skip,
    skips,
    clients,
    top,
    config,
    completion,
)
for command in _COMMANDS:
    main.add_command(command)


if __name__ == "__main__":
    main(prog_name="airy-identify")
