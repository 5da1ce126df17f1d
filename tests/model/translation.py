"""Between the core and the naive model: commands as the model is asked, people as the rows that there must be."""

import dataclasses
from typing import Any, assert_never

from airy_identify.core.answers import ContactView
from airy_identify.core.commands import (
    Command,
    Forget,
    GiveResumeToken,
    Identify,
    Info,
    Merge,
    OnConflict,
    Release,
    Unmerge,
)
from airy_identify.core.values import (
    AliasKey,
    Contact,
    ContactId,
    ContactKey,
    ConversationId,
    ConversationOwnerKey,
    Forgotten,
    IdentifierKey,
    JournalKey,
    Merged,
    Owner,
    TenantId,
)
from airy_identify.wire.rows import encode_identity_key, encode_identity_row
from tests import builders as make
from tests.model import naive_commands
from tests.model.naive_identify import identify
from tests.model.people import Ask, People, Person, Record, everybody
from tests.tables import InMemoryIdentityTable


def ask_model(world: People, command: Command, offset: int) -> Any:  # noqa: PLR0911 - one for each command
    ask = Ask(at=command.accepted_at_ms, request_id=command.request_id)
    match command:
        case Identify():
            return identify(world, _identify_ask(command), offset)
        case Merge():
            return naive_commands.merge(world, command.source_id, command.destination_id, ask, offset)
        case Unmerge():
            return naive_commands.unmerge(world, command.contact_id, ask)
        case Release():
            key = (command.identifier.kind, command.identifier.value)
            return naive_commands.release(world, command.contact_id, key, ask)
        case Forget():
            return naive_commands.forget(world, command.contact_id)
        case Info():
            given = command.identifier
            return naive_commands.info(world, command.contact_id, (given.kind, given.value) if given else None)
        case GiveResumeToken():
            return naive_commands.resume_token(world, command.channel_id, command.conversation_id)
        case _:
            assert_never(command)


def _identify_ask(command: Identify) -> Ask:
    email, phone = command.email, command.phone_number
    return Ask(
        at=command.accepted_at_ms,
        request_id=command.request_id,
        channel=command.channel_id,
        new_chat=command.new_id,
        external_id=command.external_id,
        email=(email.value, email.verified) if email else None,
        phone=(phone.value, phone.key, phone.verified) if phone else None,
        custom=[(custom.kind, value) for custom in command.identifiers for value in custom.values],
        metadata=None if command.metadata is None else dict(command.metadata),
        token=None if command.attach is None else (command.attach.conversation_id,),
        reject=command.on_conflict is OnConflict.REJECT,
        dry_run=command.dry_run,
    )


def row_of(person: Person, separated: set[frozenset[str]] | None = None) -> Contact:
    """Say a person of the model as the row that the core must have written; without separations unless they are given."""
    chats = [
        make.make_contact_conversation(id=chat[0], channel_id=chat[1], created_at_ms=chat[2]) for chat in person.chats
    ]
    pairs = [(a, b) for pair in separated or () for a in pair for b in pair if a != b and a in person.ids]
    return make.make_contact(
        id=person.id,
        created_at_ms=person.created,
        updated_at_ms=person.updated,
        known=person.ever_known,
        external_id=person.external_ids[0] if person.external_ids else None,
        former_external_ids=tuple(person.external_ids[1:]),
        email=_email(person.email),
        phone_number=_phone_number(person.phone),
        identifiers=make.make_custom({kind: person.values(kind) for kind in person.kinds}),
        metadata=person.metadata,
        conversations=tuple(chats),
        aliases=tuple(person.aliases),
        merge_count=len(person.journal),
        separations=tuple(make.make_separation(own, other) for own, other in sorted(pairs)),
    )


def _email(email: tuple[str, bool] | None) -> Any:
    return make.make_email(email[0], verified=email[1]) if email else None


def _phone_number(phone: tuple[str, str, bool] | None) -> Any:
    return make.make_phone_number(phone[0], key=phone[1], verified=phone[2]) if phone else None


def view_of(person: Person) -> ContactView:
    """Say a person of the model as an answer must show them."""
    unverified = [
        kind for kind, value in (("email", person.email), ("phone_number", person.phone)) if value and not value[-1]
    ]
    names = {
        name: person.metadata[name] if isinstance(person.metadata.get(name), str) else None
        for name in ("display_name", "first_name", "last_name", "avatar_url")
    }
    return make.make_contact_view(
        id=person.id,
        external_id=person.external_ids[0] if person.external_ids else None,
        email=person.email[0] if person.email else None,
        phone_number=person.phone[0] if person.phone else None,
        identifiers=row_of(person).identifiers,
        metadata=person.metadata,
        unverified=tuple(unverified),
        created_at_ms=person.created,
        updated_at_ms=person.updated,
        **names,
    )


def same(one: ContactView, other: ContactView) -> bool:
    return one == other and repr(sorted(one.metadata.items())) == repr(sorted(other.metadata.items()))


def plain(row: Any) -> bytes:
    """Return the bytes of a row, so that 1 is not true; separations in order, for the model has none."""
    return encode_identity_row(_in_order(row) if isinstance(row, Contact) else row)


def _in_order(contact: Contact) -> Contact:
    return dataclasses.replace(
        contact, separations=tuple(sorted(contact.separations, key=lambda each: (each.own, each.other)))
    )


def wanted_rows(tenant: TenantId, world: People) -> dict[Any, Any]:
    """Return all rows that there must be for a tenant."""
    rows: dict[Any, Any] = {}
    for person in world.people:
        owner = Owner(contact_id=ContactId(person.id))
        rows[ContactKey(tenant=tenant, contact_id=owner.contact_id)] = row_of(person, world.separated)
        rows |= {IdentifierKey(tenant=tenant, kind=kind, value=value): owner for kind, value in person.held()}
        rows |= {_chat_key(tenant, chat[0]): owner for chat in person.chats}
        rows |= {AliasKey(tenant=tenant, contact_id=ContactId(alias)): owner for alias in person.aliases}
    for person in everybody(world.people):
        for number, record in enumerate(person.journal):
            rows[JournalKey(tenant=tenant, contact_id=ContactId(person.id), number=number)] = _journal_row(record)
    for person in world.forgotten:
        rows[ContactKey(tenant=tenant, contact_id=ContactId(person.id))] = Forgotten()
        rows |= {AliasKey(tenant=tenant, contact_id=ContactId(alias)): Forgotten() for alias in person.aliases}
        rows |= {_chat_key(tenant, chat[0]): Forgotten() for chat in person.chats}
    return rows


def _journal_row(record: Record) -> Merged:
    return make.make_merged(
        survivor=row_of(record.survivor),
        merged=row_of(record.merged),
        merged_at_ms=record.at,
        why=record.why,
        request_id=record.request_id,
        offset=record.offset,
        alone=record.alone,
        replaced_email=_email(record.replaced_email),
        replaced_phone_number=_phone_number(record.replaced_phone),
    )


def _chat_key(tenant: TenantId, chat: str) -> ConversationOwnerKey:
    return ConversationOwnerKey(tenant=tenant, conversation_id=ConversationId(chat))


def to_bytes(table: InMemoryIdentityTable) -> dict[bytes, bytes]:
    return {encode_identity_key(key): encode_identity_row(row) for key, row in table.rows.items()}
