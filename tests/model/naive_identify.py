"""The naive model of an identify request: who is meant, who ends in them, what they gain."""

import copy
from dataclasses import dataclass
from typing import Any

from tests.model.naive_attach import Chat, brought_chat, brought_to, give_chat, is_new
from tests.model.people import BUILT_IN, Ask, Key, People, Person, Refused, airy_id, as_json, field_of, json_size

Matched = tuple[Person, Key]


@dataclass
class Expected:
    """What an applied identify must lead to. `keys` explains: field, level of its owner before, outcome."""

    person: Person
    created_person: bool
    created_chat: bool
    warnings: list[str]
    chats: list[str]
    merged: list[str]
    target: str
    by: str | None
    keys: list[tuple[str, str | None, str]]


def identify(world: People, ask: Ask, offset: int) -> Expected | Refused:
    keys = keys_of(ask)
    if not keys:
        return Refused("missing_identifier", None)
    before = copy.deepcopy(world.people)
    expected = decide(world, ask, keys, offset)
    if isinstance(expected, Refused) or ask.dry_run:
        world.people = before
    return expected


def keys_of(ask: Ask) -> list[Key]:
    keys = []
    if ask.external_id:
        keys.append(("external_id", ask.external_id))
    if ask.email and ask.email[1]:
        keys.append(("email", ask.email[0]))
    if ask.phone and ask.phone[2]:
        keys.append(("phone_number", ask.phone[1]))
    return keys + list(dict.fromkeys(ask.custom))


def identifies(key: Key, holder: Person, ask: Ask) -> bool:
    if key[0] in BUILT_IN:
        return True
    if holder.level != "anonymous":
        return False
    return not (holder.email and ask.email and holder.email[0] != ask.email[0])


def contradicts(person: Person, ask: Ask) -> bool:
    asked = ask.email[0] if ask.email and ask.email[1] else None
    return bool(asked and person.verified_email and asked != person.verified_email)


def matched_by(world: People, ask: Ask, keys: list[Key]) -> list[Matched]:
    """Return whom the request matches, each once with their best key, the best first."""
    found: list[Matched] = []
    for kind in dict.fromkeys(kind for kind, _ in keys):
        holders: list[Matched] = []
        for key in keys:
            holder = world.holder(key)
            new = not any(holder is other for other, _ in [*found, *holders])
            if new and key[0] == kind and holder and identifies(key, holder, ask):
                holders.append((holder, key))
        found += sorted(holders, key=lambda each: (each[0].created, each[0].id))
    return found


def choose(world: People, ask: Ask, matched: list[Matched]) -> tuple[str, Person | None, Key | None, Person | None]:
    """Return found, promoted or created; who; by which key; and who is to end in them first."""
    if ask.external_id:
        for person, key in matched:
            if key[0] == "external_id":
                return "found", person, key, None
        for person, key in matched:
            if person.level != "hard" and not contradicts(person, ask):
                return "promoted", person, key, None
        return "created", None, None, None
    free = [(person, key) for person, key in matched if not contradicts(person, ask)]
    if not free:
        return "created", None, None, None
    target, key = free[0]
    hard = [(person, by) for person, by in matched if person.level == "hard" and person is not target]
    if target.level != "hard" and len(hard) == 1:
        only, by = hard[0]
        emails = {target.verified_email, only.verified_email} - {None}
        allowed = not contradicts(only, ask) and not world.are_separated(target, only) and len(emails) < 2
        if allowed and world.fit(only, target):
            return "found", only, by, target
    return "found", target, key, None


def decide(world: People, ask: Ask, keys: list[Key], offset: int) -> Expected | Refused:
    owners = {key: copy.deepcopy(world.holder(key)) for key in keys}
    matched = matched_by(world, ask, keys)
    choice, person, by, first = choose(world, ask, matched)
    created_person = person is None
    chat_id = free_chat(world, ask.new_chat)
    brought = brought_chat(world, ask)
    if person is None:
        person = new_person(world, ask, chat_id, brought)
        world.people.append(person)
    before = copy.deepcopy(person)
    merged = merge_all(world, ask, person, matched, first=first, offset=offset)
    attached = brought_to(world, ask, person, brought)
    facts, kinds = person.facts(), person.kinds
    warnings, gained, outcomes = settle(world, ask, keys, person)
    if warnings and ask.reject:
        return Refused("identifier_conflict", warnings[0])
    gain(world, ask, person, gained)
    new_kinds = [kind for kind in person.kinds if kind not in kinds]
    if new_kinds and len(person.kinds) > world.limits.kinds:
        return Refused("invalid_field", "identifiers." + new_kinds[0])
    if not add_metadata(world, ask, person):
        return Refused("invalid_metadata", "metadata")
    if person.facts() != facts:
        person.updated = max(person.updated, ask.at)
    if brought and attached == "attached":
        give_chat(world, person, brought)
    here = [chat for chat in person.chats if chat[1] == ask.channel]
    if not here and not ask.dry_run:
        person.chats.append((chat_id, ask.channel, ask.at))
        if airy_id(chat_id) != person.id:
            person.aliases.append(airy_id(chat_id))
    for record in person.journal[len(person.journal) - len(merged) :]:
        record.alone = len(merged) == 1 and record.after_merge == person.everything()
        record.replaced_email = before.email if before.email != person.email else None
        record.replaced_phone = before.phone if before.phone != person.phone else None
    shown = sorted((-chat[2], chat[0]) for chat in person.chats if chat[1] == ask.channel)
    return Expected(
        person=copy.deepcopy(person),
        created_person=created_person,
        created_chat=not here,
        warnings=warnings + (["attach"] if attached == "refused" else []),
        chats=[chat_id for _, chat_id in shown],
        merged=merged,
        target=choice,
        by=None if by is None else field_of(by),
        keys=explained(ask, keys, owners, merged, outcomes),
    )


def new_person(world: People, ask: Ask, chat_id: str, brought: Chat | None) -> Person:
    """Return somebody new: their id is that of the conversation they bring, or else of a new one."""
    person = Person(airy_id(chat_id), ask.at, ask.at)
    if brought and brought_to(world, ask, person, brought) == "attached" and is_new(world, airy_id(brought[0])):
        person.id = airy_id(brought[0])
    return person


def free_chat(world: People, chat_id: str) -> str:
    taken = {chat[0] for somebody in [*world.people, *world.forgotten] for chat in somebody.chats}
    while chat_id in taken or not is_new(world, airy_id(chat_id)):
        chat_id = airy_id("conversation" + chat_id)
    return chat_id


def merge_all(
    world: People, ask: Ask, person: Person, matched: list[Matched], *, first: Person | None, offset: int
) -> list[str]:
    merged = []
    queue = [each for each in matched if each[0] is first] + [each for each in matched if each[0] is not first]
    for other, key in queue:
        if other is person:
            continue
        if other is not first:
            if other.level == "hard" or contradicts(other, ask) or world.are_separated(other, person):
                continue
            email_fits = key[0] == "email" or other.verified_email is None
            if not email_fits and person.verified_email not in {None, other.verified_email}:
                continue
            if not world.fit(person, other):
                continue
        world.unite(person, other, why=field_of(key), offset=offset, ask=ask)
        merged.append(other.id)
    return merged


def settle(world: People, ask: Ask, keys: list[Key], person: Person) -> tuple[list[str], list[Key], dict[Key, str]]:
    warnings, gained = [], []
    outcomes: dict[Key, str] = {}
    for key in keys:
        holder = world.holder(key)
        if holder is person:
            outcomes[key] = "matched"
        elif holder is None:
            gained.append(key)
            outcomes[key] = "added"
        elif key[0] in BUILT_IN:
            warnings.append(key[0])
            outcomes[key] = "conflict"
        else:
            holder.lose(key)
            holder.updated = max(holder.updated, ask.at)
            gained.append(key)
            outcomes[key] = "taken_over"
    return warnings, gained, outcomes


def explained(
    ask: Ask, keys: list[Key], owners: dict[Key, Person | None], merged: list[str], outcomes: dict[Key, str]
) -> list[tuple[str, str | None, str]]:
    told = []
    for key in keys:
        owner = owners[key]
        outcome = "merged" if owner and owner.id in merged else outcomes[key]
        told.append((field_of(key), owner.level if owner else None, outcome))
    if ask.email and not ask.email[1]:
        told.append(("email", None, "unverified"))
    if ask.phone and not ask.phone[2]:
        told.append(("phone_number", None, "unverified"))
    return sorted(told, key=lambda each: BUILT_IN.index(each[0]) if each[0] in BUILT_IN else 3)


def gain(world: People, ask: Ask, person: Person, gained: list[Key]) -> None:
    for kind, value in gained:
        if kind == "external_id":
            person.external_ids = [value, *person.external_ids]
        elif kind == "email":
            person.email = (value, True)
        elif kind == "phone_number":
            assert ask.phone
            person.phone = ask.phone
        else:
            person.custom.append((kind, value))
            continue
        person.ever_known = True
    if ask.email and not ask.email[1] and person.email is None:
        person.email = ask.email
    if ask.phone and not ask.phone[2] and person.phone is None:
        person.phone = ask.phone
    named = keys_of(ask)
    for kind in {key[0] for key in gained}:
        while len(person.values(kind)) > world.limits.values:
            oldest = [own for own in person.custom if own[0] == kind and own not in named]
            if not oldest:
                break
            person.custom.remove(oldest[0])


def add_metadata(world: People, ask: Ask, person: Person) -> bool:
    """Patch the metadata, and tell whether it is within the limit, or as it was."""
    before = person.metadata
    person.metadata = before if ask.metadata is None else patched(before, ask.metadata)
    return as_json(person.metadata) == as_json(before) or json_size(person.metadata) <= world.limits.metadata_bytes


def patched(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2, word for word."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = patched(result.get(name), value)
    return result
