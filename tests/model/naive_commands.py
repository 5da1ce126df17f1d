"""The naive model of the commands that name a contact or a conversation."""

import copy
from typing import Any

from tests.model.people import Ask, Key, People, Person, Record, Refused, as_json, field_of


def merge(world: People, source_id: str, destination_id: str, ask: Ask, offset: int) -> Person | Refused:
    source, destination = world.find(source_id), world.find(destination_id)
    if source is None:
        return Refused("unknown_contact", "source_id")
    if destination is None:
        return Refused("unknown_contact", "destination_id")
    if source is destination:
        return destination
    if not world.fit(destination, source):
        return Refused("too_large_to_merge", None)
    world.unite(destination, source, why="command", offset=offset, ask=ask)
    record = destination.journal[-1]
    record.alone = True
    record.replaced_email = None if record.survivor.email == destination.email else record.survivor.email
    record.replaced_phone = None if record.survivor.phone == destination.phone else record.survivor.phone
    return destination


def unmerge(world: People, contact_id: str, ask: Ask) -> tuple[Person, Person] | Refused:
    person = world.find(contact_id)
    if person is None:
        return Refused("unknown_contact", "contact_id")
    if not person.journal or person.journal[-1].merged.id != contact_id:
        return Refused("not_latest_merge", "contact_id")
    record = person.journal[-1]
    before = [*record.survivor.held(), *record.merged.held()]
    free = all(world.holder(key) in (None, person) for key in before)
    was_known = person.ever_known
    if record.alone and record.after_merge == person.everything() and free:
        survivor, restored = copy.deepcopy(record.survivor), copy.deepcopy(record.merged)
    else:
        survivor, restored = part(world, person, record, ask.at)
    survivor.ever_known, restored.ever_known = was_known, True
    world.people = [each for each in world.people if each is not person] + [survivor, restored]
    world.separated.add(frozenset({survivor.id, restored.id}))
    return survivor, restored


def part(world: People, person: Person, record: Record, at: int) -> tuple[Person, Person]:
    """Undo a merge by value."""
    survivor, restored = copy.deepcopy(person), copy.deepcopy(record.merged)
    for key in record.merged.held():
        if key in person.held():
            survivor.lose(key)
        else:
            restored.lose(key)
    email, phone = record.replaced_email, record.replaced_phone
    if survivor.email is None and email and world.holder(("email", email[0])) is None:
        survivor.email = email
    if survivor.phone is None and phone and world.holder(("phone_number", phone[1])) is None:
        survivor.phone = phone
    for name, brought in record.merged.metadata.items():
        if name not in record.survivor.metadata:
            leave(survivor.metadata, name, brought)
    survivor.created = record.survivor.created
    survivor.updated = max(survivor.updated, at)
    survivor.chats = [chat for chat in survivor.chats if chat not in record.merged.chats]
    restored.chats = [chat for chat in restored.chats if chat in person.chats]
    survivor.aliases = [alias for alias in survivor.aliases if alias not in record.merged.ids]
    survivor.journal = survivor.journal[:-1]
    return survivor, restored


def release(world: People, contact_id: str, key: Key, ask: Ask) -> Person | Refused:
    person = world.find(contact_id)
    if person is None:
        return Refused("unknown_contact", "contact_id")
    facts = person.facts()
    person.lose(key)
    if person.facts() != facts:
        person.updated = max(person.updated, ask.at)
    return person


def forget(world: People, contact_id: str) -> list[str] | Refused:
    """Return the conversations to be erased."""
    if world.was_forgotten(contact_id):
        return []
    person = world.find(contact_id)
    if person is None:
        return Refused("unknown_contact", "contact_id")
    world.people = [each for each in world.people if each is not person]
    world.forgotten.append(person)
    world.separated = {pair for pair in world.separated if not pair & set(person.ids)}
    return [chat[0] for chat in person.chats]


def info(world: People, contact_id: str | None, key: Key | None) -> Person | Refused:
    if contact_id is not None:
        return world.find(contact_id) or Refused("unknown_contact", "contact_id")
    assert key
    return world.holder(key) or Refused("unknown_contact", field_of(key))


def resume_token(world: People, channel: str, chat_id: str) -> bool | Refused:
    """Return whether somebody has the conversation; if nobody has it, it may be Airy's own."""
    chats = {chat[0]: chat[1] for person in world.people for chat in person.chats}
    gone = {chat[0] for person in world.forgotten for chat in person.chats}
    if chat_id in gone or chats.get(chat_id, channel) != channel:
        return Refused("unknown_conversation", "conversation_id")
    return chat_id in chats


def leave(members: dict[str, Any], name: str, brought: Any) -> None:
    """Take out what was brought and still has its value, and objects that this leaves empty."""
    if name not in members:
        return
    if as_json(members[name]) == as_json(brought):
        del members[name]
    elif isinstance(members[name], dict) and isinstance(brought, dict) and members[name]:
        for inner, value in brought.items():
            leave(members[name], inner, value)
        if not members[name]:
            del members[name]
