"""Decide one identify command: which contact it is about, what that contact gains, which chats are its own.

- A request without a verified key is refused: `missing_identifier`.
- The target is found, promoted or created (`target`).
- Other contacts that it matches may end in the target (`merging`, `claims`); each such merge has a journal row.
- A conversation that the request attaches becomes the target's, if it may (`attach`).
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
from airy_identify.core.attach import Attached, attach, without_conversation
from airy_identify.core.attributes import lose, take
from airy_identify.core.claims import Claim, Merger, merge_matches, settle, warn
from airy_identify.core.commands import Identify, OnConflict
from airy_identify.core.contacts import IdentityReader, find_by_id
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

    `begun` is the conversation that it gained, if any. It is in `target` already, unless a dry run would mint it.
    """

    choice: Target
    before: Contact | None
    target: Contact
    begun: Attached | _Minted | None
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
    if before is None:
        begun, not_attached = _begin(command, table)
        united, mergers = merge_matches(_create(command, table, begun), choice, matches, command)
    else:
        united, mergers = merge_matches(before, choice, matches, command)
        begun, not_attached = _begin(command, table, united, mergers)
    merged_ids = frozenset(merger.merged.id for merger in mergers)
    claims = tuple([settle(key, united, merged_ids) for key in keys])
    conflicts = warn(claims)
    if conflicts and command.on_conflict is OnConflict.REJECT:
        return Rejected(reason=Reason.IDENTIFIER_CONFLICT, message=conflicts[0].message, field=conflicts[0].field)
    taken = take(united, command, claims)
    if isinstance(taken, Rejected):
        return taken
    metadata = united.metadata if command.metadata is None else patch_metadata(united.metadata, command.metadata)
    if isinstance(metadata, Rejected):
        return metadata
    updated_at_ms = united.updated_at_ms
    if taken is not united or metadata is not united.metadata:
        updated_at_ms = _moved(united, command)
    kept = None if command.dry_run and isinstance(begun, _Minted) else begun
    return _Person(
        choice=choice,
        before=before,
        target=_complete(taken, metadata=metadata, updated_at_ms=updated_at_ms, begun=kept),
        begun=begun,
        mergers=mergers,
        claims=claims,
        warnings=(*conflicts, *not_attached),
    )


def _begin(
    command: Identify, table: IdentityReader, target: Contact | None = None, mergers: tuple[Merger, ...] = ()
) -> tuple[Attached | _Minted | None, tuple[Warned, ...]]:
    """Return the conversation that the target gains, null if it has one on the channel, and what to warn about.

    `target` is the contact after its merges, null when it is yet to be made.
    """
    merged_ids = frozenset(merger.merged.id for merger in mergers)
    gained = attach(command, table, target=target, merged_ids=merged_ids)
    if isinstance(gained, Attached):
        return gained, ()
    minted = None if target is not None and _on_channel(target, command) else _mint(command, table)
    return minted, () if gained is None else (gained,)


def _create(command: Identify, table: IdentityReader, begun: Attached | _Minted | None) -> Contact:
    """Return a new contact with the id that Airy's contacts service gives to the contact of its conversation.

    Where that leads to somebody already, it gets the one that it would have with a minted conversation.
    """
    derived_id = None if begun is None else begun.derived_id
    return Contact(
        id=derived_id or _mint(command, table).derived_id,
        created_at_ms=command.accepted_at_ms,
        updated_at_ms=command.accepted_at_ms,
    )


def _mint(command: Identify, table: IdentityReader) -> _Minted:
    """Return a new conversation with the command's id, or with one derived from it if that has been given away.

    That happens only when the log holds a command twice and what the first one made has changed since. Then the second
    is decided anew like any other, and must not take the conversation and the id of a living or forgotten contact. That
    has the id without the conversation if another one was attached to it.
    """
    new_id = command.new_id
    while _is_given_away(command, new_id, table):
        new_id = ConversationId(from_name(new_id, namespace="conversation"))
    conversation = ContactConversation(
        id=new_id,
        channel_id=command.channel_id,
        source=command.channel_source,
        created_at_ms=command.accepted_at_ms,
    )
    return _Minted(conversation=conversation, derived_id=ContactId(from_name(new_id)))


def _is_given_away(command: Identify, new_id: ConversationId, table: IdentityReader) -> bool:
    if table.owner(ConversationOwnerKey(tenant=command.tenant, conversation_id=new_id)) is not None:
        return True
    return find_by_id(table, command.tenant, ContactId(from_name(new_id))) is not None


def _on_channel(contact: Contact, command: Identify) -> list[ContactConversation]:
    return [conversation for conversation in contact.conversations if conversation.channel_id == command.channel_id]


def _moved(contact: Contact, command: Identify) -> int:
    """Return the new `updated_at_ms` of a contact that changes; the clocks of several bridges may disagree."""
    return max(contact.updated_at_ms, command.accepted_at_ms)


def _complete(
    taken: Contact, *, metadata: Mapping[str, JsonValue], updated_at_ms: int, begun: Attached | _Minted | None
) -> Contact:
    """Return the contact with all that it gains besides identifiers, the very same object if that is nothing."""
    if begun is None and metadata is taken.metadata and updated_at_ms == taken.updated_at_ms:
        return taken
    conversations, aliases = taken.conversations, taken.aliases
    if begun is not None:
        conversations = (*conversations, begun.conversation)
        if begun.derived_id is not None and begun.derived_id != taken.id:
            aliases = (*aliases, begun.derived_id)
    return replace(taken, metadata=metadata, updated_at_ms=updated_at_ms, conversations=conversations, aliases=aliases)


def _writes(command: Identify, person: _Person, offset: int) -> tuple[IdentityWrite, ...]:
    if person.target is person.before:
        return ()
    ended = [(merger.merged, None) for merger in person.mergers]
    writes = write_contacts(command.tenant, ((person.before, person.target), *_losers(command, person), *ended))
    if person.before is not None:
        writes += write_journal(command, person.mergers, before=person.before, after=person.target, offset=offset)
    return tuple(writes)


def _losers(command: Identify, person: _Person) -> list[tuple[Contact, Contact]]:
    """Return those who lose custom values or a conversation to the target, each as it was and as it is now."""
    losers = {
        before.id: (before, replace(after, updated_at_ms=_moved(before, command)))
        for before, after in lose(person.claims)
    }
    if isinstance(person.begun, Attached) and person.begun.former is not None:
        before, after = losers.get(person.begun.former.id, (person.begun.former, person.begun.former))
        conversations = without_conversation(after, person.begun.conversation.id)
        losers[before.id] = before, replace(after, conversations=conversations)
    return list(losers.values())


def _slip(command: Identify, person: _Person, names: AiryNames) -> ResumeSlip:
    pending = _on_channel(person.target, command)
    minted = person.begun if isinstance(person.begun, _Minted) else None
    if len(pending) > 1:
        pending.sort(key=lambda conversation: (-conversation.created_at_ms, conversation.id))
    return ResumeSlip(
        request_id=command.request_id,
        tenant=command.tenant,
        accepted_at_ms=command.accepted_at_ms,
        reply_to=command.reply_to,
        contact=view_contact(person.target, names=names, exists=person.before is not None or not command.dry_run),
        created_contact=person.choice.choice is TargetChoice.CREATED,
        created_conversation=minted is not None,
        merged=tuple(merger.merged.id for merger in person.mergers),
        warnings=person.warnings,
        minted=None if minted is None or command.dry_run else minted.conversation.id,
        pending=tuple(pending),
        dry_run=command.dry_run,
        explanation=explain(command, person.choice, person.claims, person.mergers) if command.explain else None,
    )
