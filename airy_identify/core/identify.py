"""Decide one identify command: which contact it is about, what that contact gains, which chats are its own.

- A request without a verified key is refused: `missing_identifier`.
- The target is found, promoted or created (`target`).
- The target's conversations on the channel are resumed; if there is none, exactly one is minted. A mint is never
  refused for the limits of merging: a contact mints once a channel, so the number of channels bounds it.
- Each key is held, added, taken over or in conflict (`claims`). With `on_conflict: reject` the first conflict refuses
  the request, else each gives a warning.
- Keys without conflict become the target's (`attributes`), metadata is merged into it (`metadata`).
- A row is written only if it changed (`index`). `updated_at` moves only with what a caller gave, not for conversations
  and aliases, and never goes back.
- A dry run decides alike and shows the contact as it would be, but writes and mints nothing.

It must not read a clock, draw a random number, or know how rows are stored: all it needs is in the command and the
table.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from airy_identify.core.attributes import lose, take
from airy_identify.core.claims import Claim, settle, warn
from airy_identify.core.commands import RULES_VERSION, Identify, OnConflict, ResumeSlip
from airy_identify.core.errors import UnsupportedRulesError
from airy_identify.core.ids import from_name
from airy_identify.core.index import write_contacts, write_conversation
from airy_identify.core.keys import GivenKey, IdentityReader, look_up
from airy_identify.core.metadata import patch_metadata
from airy_identify.core.reasons import Reason, Rejected, Warned
from airy_identify.core.target import Created, choose_target
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
class Decision:
    """What an applied command leads to: changed rows, at most one a key, and the slip that becomes the answer."""

    writes: tuple[IdentityWrite, ...]
    slip: ResumeSlip


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

    before: Contact | None
    target: Contact
    minted: _Minted | None
    claims: tuple[Claim, ...]
    warnings: tuple[Warned, ...]


def identify(command: Identify, table: IdentityReader) -> Decision | Rejected:
    """Decide a command against the rows before it. The same command and rows always give the same decision.

    Rejected as `missing_identifier`, `identifier_conflict`, `invalid_metadata`, or `invalid_field` for too many custom
    kinds; then nothing is to be written.

    Raises:
        UnsupportedRulesError: the command was accepted under other rules than these.
        InconsistentTableError: a row points to a contact that is not there.
    """
    if command.rules_version != RULES_VERSION:
        raise UnsupportedRulesError(f"rules_version {command.rules_version}, where {RULES_VERSION} is known")
    keys = look_up(command, table)
    if not keys:
        return Rejected(reason=Reason.MISSING_IDENTIFIER, message="give at least one verified identifier")
    person = _decide(command, keys, table)
    if isinstance(person, Rejected):
        return person
    return Decision(writes=() if command.dry_run else _writes(command, person), slip=_slip(command, person))


def _decide(command: Identify, keys: tuple[GivenKey, ...], table: IdentityReader) -> _Person | Rejected:
    chosen = choose_target(command, keys)
    before: Contact | None
    minted: _Minted | None
    if isinstance(chosen, Created):
        before, minted = None, _mint(command, table)
        start = Contact(
            id=minted.derived_id, created_at_ms=command.accepted_at_ms, updated_at_ms=command.accepted_at_ms
        )
    else:
        before = start = chosen.contact
        minted = None if _on_channel(start, command) else _mint(command, table)
    claims = tuple([settle(key, start.id) for key in keys])
    warnings = warn(claims)
    if warnings and command.on_conflict is OnConflict.REJECT:
        return Rejected(reason=Reason.IDENTIFIER_CONFLICT, message=warnings[0].message, field=warnings[0].field)
    taken = take(start, command, claims)
    if isinstance(taken, Rejected):
        return taken
    metadata = start.metadata if command.metadata is None else patch_metadata(start.metadata, command.metadata)
    if isinstance(metadata, Rejected):
        return metadata
    updated_at_ms = start.updated_at_ms
    if taken is not start or metadata is not start.metadata:
        updated_at_ms = _moved(start, command)
    kept = None if command.dry_run else minted
    target = _complete(taken, metadata=metadata, updated_at_ms=updated_at_ms, minted=kept)
    return _Person(before=before, target=target, minted=minted, claims=claims, warnings=warnings)


def _mint(command: Identify, table: IdentityReader) -> _Minted:
    """Return a new conversation with the command's id, or with one derived from it if that has been given away.

    That happens only when the log holds a command twice and what the first one made has changed since. Then the second
    is decided anew like any other, and must not take the conversation and the id of a living contact.
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


def _writes(command: Identify, person: _Person) -> tuple[IdentityWrite, ...]:
    if person.target is person.before:
        return ()
    losers = [(before, replace(after, updated_at_ms=_moved(before, command))) for before, after in lose(person.claims)]
    writes = write_contacts(command.tenant, ((person.before, person.target), *losers))
    if person.minted is not None:
        minted_id, alias = person.minted.conversation.id, person.minted.derived_id
        writes += write_conversation(command.tenant, minted_id, alias=alias, contact_id=person.target.id)
    return tuple(writes)


def _slip(command: Identify, person: _Person) -> ResumeSlip:
    pending = _on_channel(person.target, command)
    if len(pending) > 1:
        pending.sort(key=lambda conversation: (-conversation.created_at_ms, conversation.id))
    return ResumeSlip(
        request_id=command.request_id,
        tenant=command.tenant,
        accepted_at_ms=command.accepted_at_ms,
        reply_to=command.reply_to,
        contact=view_contact(person.target, exists=person.before is not None or not command.dry_run),
        created_contact=person.before is None,
        created_conversation=person.minted is not None,
        warnings=person.warnings,
        minted=None if person.minted is None or command.dry_run else person.minted.conversation.id,
        pending=tuple(pending),
        dry_run=command.dry_run,
    )
