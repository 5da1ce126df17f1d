"""One request becomes one command, whichever it asks for: the door for the agent and for the bridge alike.

Over HTTP the path names the command, over Kafka the field `command` does; without it, it is `identify`. Whether the
caller may use it is asked before its fields are read, whether they may use its tenant and channel after.
"""

from collections.abc import Callable

from airy_identify.core.commands import Command
from airy_identify.core.reasons import Rejected
from airy_identify.intake import fields as read
from airy_identify.intake.contact_requests import (
    accept_forget,
    accept_info,
    accept_merge,
    accept_release,
    accept_resume_token,
    accept_unmerge,
)
from airy_identify.intake.identify import accept_identify
from airy_identify.intake.policy import Request, forbidden

IDENTIFY = "identify"
RESUME_TOKEN = "resume_token"  # noqa: S105 - the name of a command

_ACCEPT: dict[str, Callable[[Request], Command | Rejected]] = {
    IDENTIFY: accept_identify,
    "info": accept_info,
    "merge": accept_merge,
    "unmerge": accept_unmerge,
    "release": accept_release,
    "forget": accept_forget,
    RESUME_TOKEN: accept_resume_token,
}
COMMANDS = tuple(_ACCEPT)
"""The names of all commands, as the field `command` has them."""


def accept(request: Request, command: str | None = None) -> Command | Rejected:
    """Return the command for the log, or why the request is refused. Never raises, whatever JSON the fields hold.

    `command` is one of `COMMANDS` when the door says which it is; the field `command` may then repeat it only.
    """
    given = read.text(request.fields.get("command"), "command")
    if isinstance(given, Rejected):
        return given
    name = given or command or IDENTIFY
    if command is not None and name != command:
        return read.invalid("command", f"must be {command} here, or absent")
    if name not in _ACCEPT:
        return read.invalid("command", f"must be one of {', '.join(COMMANDS)}")
    if request.policy.allowed_commands is not None and name not in request.policy.allowed_commands:
        return forbidden("command")
    return _ACCEPT[name](request)
