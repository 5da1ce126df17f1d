"""`completion`: what a shell reads to complete commands and options."""

import click
from click.shell_completion import get_completion_class

from airy_identify.ops.commands.base import example

PROGRAM = "airy-identify"
_VARIABLE = "_AIRY_IDENTIFY_COMPLETE"
"""Under this name the shell asks for completions: what click makes of the program's name."""


@click.command(epilog=example('eval "$(airy-identify completion bash)"'))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(*, shell: str) -> None:
    """Print the script that lets SHELL complete the commands and options of this program.

    \b
    bash: in ~/.bashrc   eval "$(airy-identify completion bash)"
    zsh: in ~/.zshrc     eval "$(airy-identify completion zsh)"
    fish                 airy-identify completion fish > ~/.config/fish/completions/airy-identify.fish
    """  # noqa: D301 - the escape is click's mark for lines that it must not wrap
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has these three
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, PROGRAM, _VARIABLE).source())
