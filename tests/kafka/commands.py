"""Running `airy-identify` as an operator does, with the settings of an installation, without the cost of a process."""

import asyncio

from click.testing import CliRunner

from airy_identify.__main__ import main
from airy_identify.settings import Settings
from tests.kafka.processes import environment_of


async def call(settings: Settings, *arguments: str) -> tuple[int, str, str]:
    """Run a command with nobody at the keyboard; return exit code, standard output and standard error."""
    environment = environment_of(settings) | {"COLUMNS": "300"}
    result = await asyncio.to_thread(CliRunner().invoke, main, arguments, env=environment, prog_name="airy-identify")
    return result.exit_code, result.stdout, result.stderr
