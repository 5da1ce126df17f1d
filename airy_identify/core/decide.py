"""Decide one command of the log, whatever it asks for: the one entry to the rules about contacts."""

from typing import assert_never

from airy_identify.core.answers import Decision
from airy_identify.core.commands import (
    RULES_VERSION,
    Command,
    Forget,
    GiveResumeToken,
    Identify,
    Info,
    Merge,
    Release,
    Unmerge,
)
from airy_identify.core.contacts import IdentityReader
from airy_identify.core.errors import UnsupportedRulesError
from airy_identify.core.forget import forget
from airy_identify.core.give_token import give_token
from airy_identify.core.identify import identify
from airy_identify.core.info import info
from airy_identify.core.merge import merge
from airy_identify.core.reasons import Rejected
from airy_identify.core.release import release
from airy_identify.core.unmerge import unmerge


def decide(  # noqa: PLR0911 - one line for each kind of command
    command: Command, table: IdentityReader, *, offset: int
) -> Decision | Rejected:
    """Decide a command against the rows before it. The same command and rows always give the same decision.

    `offset` is the command's place in its log. What is rejected writes nothing.

    Raises:
        UnsupportedRulesError: the command was accepted under other rules than these.
        InconsistentTableError: a row points to something that is not there.
    """
    if command.rules_version != RULES_VERSION:
        raise UnsupportedRulesError(f"rules_version {command.rules_version}, where {RULES_VERSION} is known")
    match command:
        case Identify():
            return identify(command, table, offset=offset)
        case Merge():
            return merge(command, table, offset=offset)
        case Unmerge():
            return unmerge(command, table)
        case Release():
            return release(command, table)
        case Forget():
            return forget(command, table)
        case Info():
            return info(command, table)
        case GiveResumeToken():
            return give_token(command, table)
        case _:
            assert_never(command)
