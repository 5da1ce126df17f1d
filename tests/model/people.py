"""The naive model's people: a list, and a search through all of them. No index and no rows; slow on purpose.

Neither this module nor the others of the model import anything of the service: they say the identity rules once more,
as plainly as they can be said.
"""

import copy
import hashlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, str]
BUILT_IN = ("external_id", "email", "phone_number")


@dataclass
class Ask:
    """What is asked: an identify, unless it is given to another rule. E-mail and phone end with whether verified.

    `token` has the conversation of a token that came along, nothing if it did not count.
    """

    at: int
    request_id: str = ""
    channel: str = ""
    new_chat: str = ""
    external_id: str | None = None
    email: tuple[str, bool] | None = None
    phone: tuple[str, str, bool] | None = None
    custom: list[Key] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    token: tuple[str | None] | None = None
    reject: bool = False
    dry_run: bool = False


@dataclass
class Limits:
    """How much there may be of one person."""

    chats: int = 1000
    aliases: int = 1000
    metadata_bytes: int = 64 * 1024
    kinds: int = 64
    values: int = 5


@dataclass
class Refused:
    """A refusal, and the field that it names."""

    code: str
    field: str | None


@dataclass
class Person:
    """Somebody. `chats` are (id, channel, begun at); `phone` is (as given, key, verified)."""

    id: str
    created: int
    updated: int
    ever_known: bool = False
    external_ids: list[str] = field(default_factory=list)
    email: tuple[str, bool] | None = None
    phone: tuple[str, str, bool] | None = None
    custom: list[Key] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    chats: list[tuple[str, str, int]] = field(default_factory=list)
    aliases: list[str] = field(default_factory=list)
    journal: list["Record"] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [self.id, *self.aliases]

    @property
    def level(self) -> str:
        if self.external_ids:
            return "hard"
        return "known" if self.ever_known else "anonymous"

    @property
    def verified_email(self) -> str | None:
        return self.email[0] if self.email and self.email[1] else None

    @property
    def kinds(self) -> list[str]:
        return sorted({kind for kind, _ in self.custom})

    def values(self, kind: str) -> list[str]:
        return [value for own, value in self.custom if own == kind]

    def facts(self) -> str:
        """Everything that makes `updated` move."""
        facts = [self.external_ids, self.email, self.phone, sorted(self.custom), as_json(self.metadata)]
        return repr(facts)

    def everything(self) -> str:
        """Everything that a merge has to find as it left it."""
        custom = [(kind, self.values(kind)) for kind in self.kinds]
        return repr(
            [self.facts(), custom, self.id, self.created, self.updated, self.chats, self.aliases, len(self.journal)]
        )

    def held(self) -> list[Key]:
        keys = [("external_id", value) for value in self.external_ids]
        if self.email and self.email[1]:
            keys.append(("email", self.email[0]))
        if self.phone and self.phone[2]:
            keys.append(("phone_number", self.phone[1]))
        return keys + self.custom

    def lose(self, key: Key) -> None:
        """Take a value off, verified or not."""
        if key[0] == "external_id":
            self.external_ids = [value for value in self.external_ids if value != key[1]]
        elif key[0] == "email":
            self.email = None if self.email and self.email[0] == key[1] else self.email
        elif key[0] == "phone_number":
            self.phone = None if self.phone and self.phone[1] == key[1] else self.phone
        else:
            self.custom = [own for own in self.custom if own != key]


@dataclass
class Record:
    """One merge: both as they were, and what unmerging has to know."""

    survivor: Person
    merged: Person
    why: str
    offset: int
    at: int
    request_id: str
    after_merge: str
    alone: bool = False
    replaced_email: tuple[str, bool] | None = None
    replaced_phone: tuple[str, str, bool] | None = None


class People:
    """One tenant's people, those who were forgotten, and who was parted from whom."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.people: list[Person] = []
        self.forgotten: list[Person] = []
        self.separated: set[frozenset[str]] = set()

    def holder(self, key: Key) -> Person | None:
        holders = [person for person in self.people if key in person.held()]
        assert len(holders) < 2
        return holders[0] if holders else None

    def find(self, contact_id: str) -> Person | None:
        found = [person for person in self.people if contact_id in person.ids]
        assert len(found) < 2
        return found[0] if found else None

    def was_forgotten(self, contact_id: str) -> bool:
        return any(contact_id in person.ids for person in self.forgotten)

    def are_separated(self, one: Person, other: Person) -> bool:
        return any(frozenset({a, b}) in self.separated for a in one.ids for b in other.ids)

    def fit(self, one: Person, other: Person) -> bool:
        """Tell whether the two together are within the limits."""
        both = copy.deepcopy(one)
        take_in(both, other, self.limits)
        return (
            len(both.chats) <= self.limits.chats
            and len(both.aliases) <= self.limits.aliases
            and len(both.kinds) <= self.limits.kinds
            and json_size(both.metadata) <= self.limits.metadata_bytes
        )

    def unite(self, person: Person, other: Person, *, why: str, offset: int, ask: Ask) -> None:
        """Let the other end in the person."""
        survivor, merged = copy.deepcopy(person), copy.deepcopy(other)
        take_in(person, other, self.limits)
        person.updated = max(person.updated, ask.at)
        record = Record(survivor, merged, why, offset, ask.at, ask.request_id, after_merge="")
        person.journal.append(record)
        record.after_merge = person.everything()
        self.people = [each for each in self.people if each is not other]


def take_in(person: Person, other: Person, limits: Limits) -> None:
    """Fill the person's blanks from the other."""
    person.created = min(person.created, other.created)
    person.ever_known = person.ever_known or other.ever_known
    person.external_ids = person.external_ids + other.external_ids
    if other.email and other.email[1] and not (person.email and person.email[1]):
        person.email = other.email
    if other.phone and other.phone[2] and not (person.phone and person.phone[2]):
        person.phone = other.phone
    for own in other.custom:
        if len(person.values(own[0])) < limits.values:
            person.custom.append(own)
    person.metadata = {**other.metadata, **person.metadata}
    person.chats = person.chats + other.chats
    person.aliases = person.aliases + other.ids


def airy_id(name: str) -> str:
    return str(uuid.UUID(bytes=hashlib.sha1(name.encode()).digest()[:16], version=5))


def field_of(key: Key) -> str:
    return key[0] if key[0] in BUILT_IN else "identifiers." + key[0]


def as_json(value: Any) -> str:
    """Tell 1 and 1.0 and true apart, as JSON does."""
    return json.dumps(value, sort_keys=True)


def json_size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def everybody(people: list[Person]) -> Iterator[Person]:
    """Yield these people and, inside their journals, those whom they took in, as they were."""
    for person in people:
        yield person
        yield from everybody([record.merged for record in person.journal])
