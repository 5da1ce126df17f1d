"""The identity rules once more, as plainly as they can be said: people in a list, and a search through all of them.

No index, no rows, nothing of the core's rules; it only shares the values that commands consist of. Slow on purpose.
"""

import copy
import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

from airy_identify.core.commands import Identify


def airy_id(name: str) -> str:
    return str(uuid.UUID(bytes=hashlib.sha1(name.encode()).digest()[:16], version=5))


@dataclass
class Person:
    id: str
    created: int
    updated: int
    ever_known: bool = False
    external_id: str | None = None
    email: tuple[str, bool] | None = None
    phone: tuple[str, str, bool] | None = None
    custom: list[tuple[str, str]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    chats: list[tuple[str, str, int]] = field(default_factory=list)

    def facts(self) -> list[Any]:
        """Everything that makes `updated` move."""
        return copy.deepcopy(
            [self.ever_known, self.external_id, self.email, self.phone, sorted(self.custom), repr(self.metadata)]
        )

    def has(self, kind: str, value: str) -> bool:
        if kind == "external_id":
            return self.external_id == value
        if kind == "email":
            return self.email == (value, True)
        if kind == "phone_number":
            return self.phone is not None and self.phone[1:] == (value, True)
        return (kind, value) in self.custom


@dataclass
class Expected:
    """What an applied command must lead to."""

    person: Person
    created_person: bool
    created_chat: bool
    warnings: list[str]
    chats: list[str]


@dataclass
class Refused:
    code: str
    field: str | None


class NaiveIdentity:
    """One tenant's people."""

    def __init__(self) -> None:
        self.people: list[Person] = []

    def identify(self, ask: Identify) -> Expected | Refused:
        keys = self.keys(ask)
        if not keys:
            return Refused("missing_identifier", None)
        before = copy.deepcopy(self.people)
        expected = self.decide(ask, keys)
        if isinstance(expected, Refused) or ask.dry_run:
            self.people = before
        return expected

    def keys(self, ask: Identify) -> list[tuple[str, str]]:
        keys = []
        if ask.external_id:
            keys.append(("external_id", ask.external_id))
        if ask.email and ask.email.verified:
            keys.append(("email", ask.email.value))
        if ask.phone_number and ask.phone_number.verified:
            keys.append(("phone_number", ask.phone_number.key))
        for custom in ask.identifiers:
            for value in custom.values:
                if (custom.kind, value) not in keys:
                    keys.append((custom.kind, value))
        return keys

    def holder(self, key: tuple[str, str]) -> Person | None:
        holders = [person for person in self.people if person.has(*key)]
        assert len(holders) < 2
        return holders[0] if holders else None

    def identifies(self, key: tuple[str, str], holder: Person, ask: Identify) -> bool:
        if key[0] in ("external_id", "email", "phone_number"):
            return True
        if holder.ever_known:
            return False
        return not (holder.email and ask.email and holder.email[0] != ask.email.value)

    def target(self, ask: Identify, keys: list[tuple[str, str]]) -> Person | None:
        for key in keys:
            holder = self.holder(key)
            if holder is None or not self.identifies(key, holder, ask):
                continue
            if key[0] == "external_id":
                return holder
            if ask.external_id and holder.external_id is not None:
                continue
            asked = ask.email.value if ask.email and ask.email.verified else None
            held = holder.email[0] if holder.email and holder.email[1] else None
            if asked and held and asked != held:
                continue
            return holder
        return None

    def decide(self, ask: Identify, keys: list[tuple[str, str]]) -> Expected | Refused:
        person = self.target(ask, keys)
        created_person = person is None
        chats = [] if person is None else [chat for chat in person.chats if chat[1] == ask.channel_id]
        chat_id = str(ask.new_id)
        while any(chat_id == chat[0] for somebody in self.people for chat in somebody.chats):
            chat_id = airy_id("conversation" + chat_id)
        if person is None:
            person = Person(airy_id(chat_id), ask.accepted_at_ms, ask.accepted_at_ms)
            self.people.append(person)
        facts = person.facts()
        warnings, gained = self.settle(ask, keys, person)
        if warnings and ask.on_conflict == "reject":
            return Refused("identifier_conflict", warnings[0])
        self.gain(ask, person, gained)
        if ask.metadata is not None:
            person.metadata = patched(person.metadata, ask.metadata)
        if person.facts() != facts:
            person.updated = max(person.updated, ask.accepted_at_ms)
        if not chats and not ask.dry_run:
            person.chats.append((chat_id, ask.channel_id, ask.accepted_at_ms))
        here = [chat[0] for chat in person.chats if chat[1] == ask.channel_id]
        return Expected(copy.deepcopy(person), created_person, not chats, warnings, here)

    def settle(
        self, ask: Identify, keys: list[tuple[str, str]], person: Person
    ) -> tuple[list[str], list[tuple[str, str]]]:
        warnings = []
        gained = []
        for key in keys:
            holder = self.holder(key)
            if holder is person:
                continue
            if holder is None:
                gained.append(key)
            elif not self.identifies(key, holder, ask):
                holder.custom.remove(key)
                holder.updated = max(holder.updated, ask.accepted_at_ms)
                gained.append(key)
            else:
                built_in = key[0] in ("email", "phone_number")
                warnings.append(key[0] if built_in else "identifiers." + key[0])
        return warnings, gained

    def gain(self, ask: Identify, person: Person, gained: list[tuple[str, str]]) -> None:
        for kind, value in gained:
            if kind == "external_id":
                person.external_id = value
            elif kind == "email":
                person.email = (value, True)
            elif kind == "phone_number":
                assert ask.phone_number
                person.phone = (ask.phone_number.value, ask.phone_number.key, True)
            else:
                person.custom.append((kind, value))
                continue
            person.ever_known = True
        if ask.email and not ask.email.verified and person.email is None:
            person.email = (ask.email.value, False)
        if ask.phone_number and not ask.phone_number.verified and person.phone is None:
            person.phone = (ask.phone_number.value, ask.phone_number.key, False)
        named = self.keys(ask)
        for kind in {key[0] for key in gained}:
            while len([own for own in person.custom if own[0] == kind]) > 5:
                person.custom.remove(next(own for own in person.custom if own[0] == kind and own not in named))


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
