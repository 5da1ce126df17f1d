"""Decide one identify command: which contact it is about, what that contact gains, which chats are its own.

- A request without a verified key is refused: `missing_identifier`.
- The target is found, promoted or created (`target`).
- Other contacts that it matches may end in the target (`merging`, `claims`); each such merge has a journal row.
- The target's conversations on the channel are resumed; if there is none, exactly one is minted. A mint is never
  refused for the limits of merging: a contact mints once a channel, so the number of channels bounds it.
- Each key is held, added, taken over or in conflict (`claims`). With `on_conflict: reject` the first conflict refuses
  the request, else each gives a warning.
- Keys without conflict become the target's (`attributes`), metadata is merged into it (`metadata`).
- A row is written only if it changed (`index`). `updated_at` moves only with what a caller gave and with merges, not
  for conversations and aliases, and never goes back.
- A dry run decides alike and shows the contact as it would be, but writes and mints nothing.

It must not read a clock, draw a random number, or know how rows are stored: all it needs is in the command and the
table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from airy_identify.core.airy_facts import AiryNames, names_of
from airy_identify.core.answers import Decision, ResumeSlip, TargetChoice
from airy_identify.core.attributes import lose, take
from airy_identify.core.claims import Claim, Merger, merge_matches, settle, warn
from airy_identify.core.commands import Identify, OnConflict
from airy_identify.core.contacts import IdentityReader
from airy_identify.core.explain import explain
from airy_identify.core.ids import from_name
from airy_identify.core.index import write_contacts
from airy_identify.core.journal import write_journal
from airy_identify.core.keys import GivenKey, look_up
from airy_identify.core.metadata import patch_metadata
from airy_identify.core.reasons import Reason, Rejected, Warned
from airy_identify.core.target import Target, choose_target, matches_of
from airy_identify.core.values import (
    Contact,
    ContactConversation,
    ContactId,
    ConversationId,
    ConversationOwnerKey,
    IdentityWrite,
    JsonValue,
)
from airy_identify.core.view import view_contact


@dataclass(frozen=True, slots=True, kw_only=True)
class _Minted:
    """A new conversation, and the id that Airy's contacts service would give to its contact."""

    conversation: ContactConversation
    derived_id: ContactId


@dataclass(frozen=True, slots=True, kw_only=True)
class _Person:
    """The target before this command (`None`: created by it) and after it, and what was decided on the way.

    `minted` is in `target` already, unless this is a dry run.
    """

    choice: Target
    before: Contact | None
    target: Contact
    minted: _Minted | None
    mergers: tuple[Merger, ...]
    claims: tuple[Claim, ...]
    warnings: tuple[Warned, ...]


def identify(command: Identify, table: IdentityReader, *, offset: int) -> Decision | Rejected:
    """Decide a command against the rows before it. The same command and rows always give the same decision.

    `offset` is the command's place in its log. Rejected as `missing_identifier`, `identifier_conflict`,
    `invalid_metadata`, or `invalid_field` for too many custom kinds; then nothing is to be written.

    Raises:
        InconsistentTableError: a row points to a contact that is not there.
    """
    keys = look_up(command, table)
    if not keys:
        return Rejected(reason=Reason.MISSING_IDENTIFIER, message="give at least one verified identifier")
    person = _decide(command, keys, table)
    if isinstance(person, Rejected):
        return person
    writes = () if command.dry_run else _writes(command, person, offset)
    return Decision(writes=writes, slip=_slip(command, person, names_of(table, command.tenant, person.target)))


def _decide(command: Identify, keys: tuple[GivenKey, ...], table: IdentityReader) -> _Person | Rejected:
    matches = matches_of(keys)
    choice = choose_target(command, matches)
    before = None if choice.match is None else choice.match.contact
    minted: _Minted | None = None
    if before is None:
        minted = _mint(command, table)
        start = Contact(
            id=minted.derived_id, created_at_ms=command.accepted_at_ms, updated_at_ms=command.accepted_at_ms
        )
    else:
        start = before
    united, mergers = merge_matches(start, choice, matches, command)
    if minted is None and not _on_channel(united, command):
        minted = _mint(command, table)
    merged_ids = frozenset(merger.merged.id for merger in mergers)
    claims = tuple([settle(key, united, merged_ids) for key in keys])
    warnings = warn(claims)
    if warnings and command.on_conflict is OnConflict.REJECT:
        return Rejected(reason=Reason.IDENTIFIER_CONFLICT, message=warnings[0].message, field=warnings[0].field)
    taken = take(united, command, claims)
    if isinstance(taken, Rejected):
        return taken
    metadata = united.metadata if command.metadata is None else patch_metadata(united.metadata, command.metadata)
    if isinstance(metadata, Rejected):
        return metadata
    updated_at_ms = united.updated_at_ms
    if taken is not united or metadata is not united.metadata:
        updated_at_ms = _moved(united, command)
    kept = None if command.dry_run else minted
    return _Person(
        choice=choice,
        before=before,
        target=_complete(taken, metadata=metadata, updated_at_ms=updated_at_ms, minted=kept),
        minted=minted,
        mergers=mergers,
        claims=claims,
        warnings=warnings,
    )


def _mint(command: Identify, table: IdentityReader) -> _Minted:
    """Return a new conversation with the command's id, or with one derived from it if that has been given away.

    That happens only when the log holds a command twice and what the first one made has changed since. Then the second
    is decided anew like any other, and must not take the conversation and the id of a living or forgotten contact.
    """
    new_id = command.new_id
    while table.owner(ConversationOwnerKey(tenant=command.tenant, conversation_id=new_id)) is not None:
        new_id = ConversationId(from_name(new_id, namespace="conversation"))
    conversation = ContactConversation(
        id=new_id,
        channel_id=command.channel_id,
        source=command.channel_source,
        created_at_ms=command.accepted_at_ms,
    )
    return _Minted(conversation=conversation, derived_id=ContactId(from_name(new_id)))


def _on_channel(contact: Contact, command: Identify) -> list[ContactConversation]:
    return [conversation for conversation in contact.conversations if conversation.channel_id == command.channel_id]


def _moved(contact: Contact, command: Identify) -> int:
    """Return the new `updated_at_ms` of a contact that changes; the clocks of several bridges may disagree."""
    return max(contact.updated_at_ms, command.accepted_at_ms)


def _complete(
    taken: Contact, *, metadata: Mapping[str, JsonValue], updated_at_ms: int, minted: _Minted | None
) -> Contact:
    """Return the contact with all that it gains besides identifiers, the very same object if that is nothing."""
    if minted is None and metadata is taken.metadata and updated_at_ms == taken.updated_at_ms:
        return taken
    conversations, aliases = taken.conversations, taken.aliases
    if minted is not None:
        conversations = (*conversations, minted.conversation)
        if minted.derived_id != taken.id:
            aliases = (*aliases, minted.derived_id)
    return replace(taken, metadata=metadata, updated_at_ms=updated_at_ms, conversations=conversations, aliases=aliases)


def _writes(command: Identify, person: _Person, offset: int) -> tuple[IdentityWrite, ...]:
    if person.target is person.before:
        return ()
    losers = [(before, replace(after, updated_at_ms=_moved(before, command))) for before, after in lose(person.claims)]
    ended = [(merger.merged, None) for merger in person.mergers]
    writes = write_contacts(command.tenant, ((person.before, person.target), *losers, *ended))
    if person.before is not None:
        writes += write_journal(command, person.mergers, before=person.before, after=person.target, offset=offset)
    return tuple(writes)


def _slip(command: Identify, person: _Person, names: AiryNames) -> ResumeSlip:
    pending = _on_channel(person.target, command)
    if len(pending) > 1:
        pending.sort(key=lambda conversation: (-conversation.created_at_ms, conversation.id))
    return ResumeSlip(
        request_id=command.request_id,
        tenant=command.tenant,
        accepted_at_ms=command.accepted_at_ms,
        reply_to=command.reply_to,
        contact=view_contact(person.target, names=names, exists=person.before is not None or not command.dry_run),
        created_contact=person.choice.choice is TargetChoice.CREATED,
        created_conversation=person.minted is not None,
        merged=tuple(merger.merged.id for merger in person.mergers),
        warnings=person.warnings,
        minted=None if person.minted is None or command.dry_run else person.minted.conversation.id,
        pending=tuple(pending),
        dry_run=command.dry_run,
        explanation=explain(command, person.choice, person.claims, person.mergers) if command.explain else None,
    )
