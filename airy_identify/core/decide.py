"""Decide one command of the log, whatever it asks or tells: the one entry to the rules about contacts."""

from dataclasses import replace
from typing import assert_never

from airy_identify.core.airy_contacts import receive_row, see_conversation
from airy_identify.core.airy_view import AiryView
from airy_identify.core.answers import Decision, ResumeSlip
from airy_identify.core.commands import (
    RULES_VERSION,
    Command,
    ConversationSeen,
    Forget,
    GiveResumeToken,
    Identify,
    Info,
    Merge,
    Observation,
    Release,
    Unmerge,
)
from airy_identify.core.contacts import IdentityReader
from airy_identify.core.errors import UnsupportedRulesError
from airy_identify.core.forget import forget
from airy_identify.core.give_token import give_token
from airy_identify.core.gone import erase_those_due
from airy_identify.core.identify import identify
from airy_identify.core.info import info
from airy_identify.core.merge import merge
from airy_identify.core.pending import PendingTable
from airy_identify.core.reasons import Rejected
from airy_identify.core.release import release
from airy_identify.core.unmerge import unmerge
from airy_identify.core.values import ContactId


def decide(command: Command, table: IdentityReader, *, offset: int) -> Decision | Rejected:
    """Decide a command against the rows before it. The same command and rows always give the same decision.

    `offset` is the command's place in its log. What is rejected writes nothing. The rules see Airy's contacts too
    (`airy_view`). A command that writes also erases those whose time has come (`gone`).

    Raises:
        UnsupportedRulesError: the command was accepted under other rules than these.
        InconsistentTableError: a row points to something that is not there.
    """
    _check_rules(command)
    pending = PendingTable(table)
    forgotten = erase_those_due(pending, command.tenant, now_ms=command.accepted_at_ms)
    view = AiryView(pending, command.tenant)
    decided = _decide(command, view, offset=offset)
    if isinstance(decided, Rejected):
        return decided
    made_ours: frozenset[ContactId] = frozenset()
    if isinstance(command, Identify) and not command.dry_run and isinstance(decided.slip, ResumeSlip):
        made_ours = frozenset(each for each in (decided.slip.contact.id,) if each is not None)
    writes = view.complete(decided.writes, made_ours=made_ours)
    if not writes or not pending.writes:
        return replace(decided, writes=writes)
    pending.write(writes)
    return replace(decided, writes=pending.writes, forgotten=(*forgotten, *decided.forgotten))


def observe(observed: Observation, table: IdentityReader, *, offset: int) -> Decision:
    """Decide about what Airy tells, as `decide` does about what is asked. Nobody is answered.

    Raises:
        UnsupportedRulesError: it was accepted under other rules than these.
        InconsistentTableError: a row points to something that is not there.
    """
    _check_rules(observed)
    if isinstance(observed, ConversationSeen):
        return see_conversation(observed, table)
    pending = PendingTable(table)
    forgotten = erase_those_due(pending, observed.tenant, now_ms=observed.accepted_at_ms)
    receive_row(observed, pending, offset=offset)
    return Decision(writes=pending.writes, forgotten=forgotten)


def _check_rules(command: Command | Observation) -> None:
    if command.rules_version != RULES_VERSION:
        raise UnsupportedRulesError(f"rules_version {command.rules_version}, where {RULES_VERSION} is known")


def _decide(command: Command, table: IdentityReader, *, offset: int) -> Decision | Rejected:  # noqa: PLR0911 - one each
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
