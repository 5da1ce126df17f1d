"""A model of Airy's contacts component, as it behaves at efa19b2b (`components/contacts/.../Stores.java`, Kafka Streams 2.7).

It reads the contacts topic uncommitted, each partition in order, in four stages with queues between them. No stage waits
for another, and each hands on what it has when it commits: so the test says when.

1. `read`: a partition's table of rows. A row with the bytes that are there already is passed over.
2. `flush_rows`: the changes of a partition go to the contacts that they are about, several of one row as one.
3. `flush_contact`: a contact takes its changes in; each of its conversations is told what it is now.
4. `flush_conversation`: the map of conversations to contacts. Nothing is ever taken out, the last one told wins.

A message is joined with that map: without a contact one is made. `delete`, `merge` and `update` work on what stage 3 has,
and give the rows to be sent one after the other.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airy_identify.core.ids import from_name

_JAVA_UUID = re.compile(r"[0-9a-fA-F]+(-[0-9a-fA-F]+){4}")
_ATTRIBUTES = ("displayName", "avatarUrl", "title", "gender", "timezone", "locale", "organizationName")
_ADDRESS = ("organizationName", "address_line1", "address_line2", "postal_code", "city", "state", "country")


class AiryCrashedError(Exception):
    """A stream thread has died, and will die again wherever the rows are read."""


class AiryRefusedError(Exception):
    """The HTTP API answers 404 or 500; nothing was sent."""


@dataclass(frozen=True)
class Row:
    """A record of Airy's contacts topic."""

    subject: str
    key: str
    value: str
    timestamp: int

    @property
    def contact_id(self) -> str:
        return self.subject.rpartition(":")[2]

    @property
    def record_key(self) -> str:
        return from_name(self.key, namespace=self.subject)


Sent = tuple[str, Row | None]
"""A record's key, and its value or null."""
Rows = Mapping[str, Row]


@dataclass(frozen=True)
class Contact:
    """What Airy makes of the rows of a contact. Values of keys that it does not know are not there."""

    id: str
    created_at: int | None
    attributes: Mapping[str, str]
    via: Mapping[str, str]
    conversations: Mapping[str, str]
    address: Mapping[str, str]
    merge_history: str | None

    @property
    def keys(self) -> dict[str, str]:
        """The rows that Airy writes of it, and tombstones when it deletes it."""
        found = dict(self.attributes)
        if self.created_at is not None:
            found["created_at"] = str(self.created_at)
        found |= {f"via.{name}": value for name, value in self.via.items()}
        found |= {f"conversations.{name}": value for name, value in self.conversations.items()}
        found |= {f"address.{name}": value for name, value in self.address.items()}
        if self.merge_history is not None:
            found["mergeHistory"] = self.merge_history
        return found


def parse(rows: Rows | None) -> Contact | None:
    """Make a contact of rows. Raises `AiryCrashedError` for those that Airy cannot take."""
    if not rows:
        return None
    conversations: dict[str, str] = {}
    via: dict[str, str] = {}
    for key, row in rows.items():
        last = key.rpartition(".")[2]
        if key.startswith("conversations"):
            if not _JAVA_UUID.fullmatch(last) or last.lower() in conversations:
                raise AiryCrashedError(key)
            conversations[last.lower()] = row.value
        if key.startswith("via"):
            if last in via:
                raise AiryCrashedError(key)
            via[last] = row.value
    created = rows.get("created_at")
    history = rows.get("mergeHistory")
    return Contact(
        id=next(iter(rows.values())).contact_id,
        created_at=None if created is None else created.timestamp,
        attributes={name: rows[name].value for name in _ATTRIBUTES if name in rows},
        via=via,
        conversations=conversations,
        address={name: rows[f"address.{name}"].value for name in _ADDRESS if f"address.{name}" in rows},
        merge_history=None if history is None else history.value,
    )


@dataclass
class AiryContacts:
    """The component. `now` is its clock, which goes on by one with each row that it makes."""

    now: int = 1_800_000_000_000
    tables: dict[int, dict[str, Row]] = field(default_factory=dict)
    contacts: dict[str, dict[str, Row]] = field(default_factory=dict)
    map: dict[str, Rows] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Display names of conversations, from Airy's topic `metadata`."""
    _dirty: dict[int, dict[str, Row | None]] = field(default_factory=dict)
    _changes: dict[str, deque[tuple[str, Row | None]]] = field(default_factory=dict)
    _told: dict[str, deque[Rows]] = field(default_factory=dict)

    # What arrives

    def read(self, partition: int, record_key: str, row: Row | None) -> None:
        """Apply one record of the contacts topic."""
        table = self.tables.setdefault(partition, {})
        before = table.get(record_key)
        if before == row:
            return
        self._dirty.setdefault(partition, {}).setdefault(record_key, before)
        if row is None:
            del table[record_key]
        else:
            table[record_key] = row

    def message(self, conversation_id: str, source: str = "chatplugin") -> list[Sent]:
        """Join a message with the map; return what is sent, each to a partition of its own."""
        prettified = source.rpartition(".")[2]
        default = f"{prettified[:1].upper()}{prettified[1:]} {conversation_id[31:]}"
        name = self.names.get(conversation_id, default)
        contact = parse(self.map.get(conversation_id))
        if contact is None:
            keys = {"displayName": name, "created_at": "", f"conversations.{conversation_id}": source}
            return [self._row(from_name(conversation_id), key, value or str(self.now)) for key, value in keys.items()]
        shown = contact.attributes.get("displayName")
        if shown is None or (shown == default and name != default):
            return [self._row(contact.id, "displayName", name)]
        return []

    # What goes on inside

    def steps(self) -> list[Callable[[], None]]:
        """Return everything that can happen next."""
        return [
            *(lambda partition=partition: self.flush_rows(partition) for partition in sorted(self._dirty)),
            *(lambda contact_id=contact_id: self.flush_contact(contact_id) for contact_id in sorted(self._changes)),
            *(lambda each=each: self.flush_conversation(each) for each in sorted(self._told)),
        ]

    def settle(self) -> None:
        """Let everything happen that has to, in any order."""
        while steps := self.steps():
            steps[0]()

    def flush_rows(self, partition: int) -> None:
        """Hand the changes of a partition to the contacts: what a row was is taken out, what it is put in."""
        table = self.tables[partition]
        for record_key, before in self._dirty.pop(partition).items():
            now = table.get(record_key)
            if before is not None:
                self._changes.setdefault(before.contact_id, deque()).append((before.key, None))
            if now is not None:
                self._changes.setdefault(now.contact_id, deque()).append((now.key, now))

    def flush_contact(self, contact_id: str) -> None:
        """Let a contact take in its changes, and tell its conversations."""
        rows = dict(self.contacts.get(contact_id, {}))
        for key, row in self._changes.pop(contact_id):
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        if not rows:
            self.contacts.pop(contact_id, None)
            return
        self.contacts[contact_id] = rows
        contact = parse(rows)
        assert contact is not None
        for conversation_id in contact.conversations:
            self._told.setdefault(conversation_id, deque()).append(rows)

    def flush_conversation(self, conversation_id: str) -> None:
        """Put what a conversation was told first into the map."""
        told = self._told[conversation_id]
        self.map[conversation_id] = told.popleft()
        if not told:
            del self._told[conversation_id]

    # What people do

    def info(self, *, contact_id: str | None = None, conversation_id: str | None = None) -> Contact | None:
        """Return what `contacts.info` answers, null for 404."""
        rows = self.contacts.get(contact_id) if contact_id is not None else self.map.get(conversation_id or "")
        return parse(rows)

    def delete(self, contact_id: str) -> list[Sent]:
        """Return what `contacts.delete` sends."""
        return _tombstones(self._contact(contact_id))

    def update(self, contact_id: str, **attributes: str) -> list[Sent]:
        """Return what `contacts.update` sends: every row anew."""
        contact = self._contact(contact_id)
        return self._all(replace(contact, attributes={**contact.attributes, **attributes}))

    def merge(self, *, source_id: str, destination_id: str) -> list[Sent]:
        """Return what `contacts.merge` sends: the destination's rows anew, then tombstones of the source's."""
        source, destination = self._contact(source_id), self._contact(destination_id)
        if set(source.conversations) & set(destination.conversations):
            raise AiryRefusedError("500: duplicate key")
        history = [each for contact in (destination, source) for each in json.loads(contact.merge_history or "[]")]
        merged = replace(
            destination,
            attributes={**source.attributes, **destination.attributes},
            via=destination.via or source.via,
            conversations={**destination.conversations, **source.conversations},
            address={**destination.address, **source.address},
            merge_history=json.dumps([*history, _history_entry(source)]),
        )
        return [*self._all(merged), *_tombstones(source)]

    def _contact(self, contact_id: str) -> Contact:
        contact = self.info(contact_id=contact_id)
        if contact is None:
            raise AiryRefusedError("404")
        return contact

    def _all(self, contact: Contact) -> list[Sent]:
        return [self._row(contact.id, key, value) for key, value in contact.keys.items()]

    def _row(self, contact_id: str, key: str, value: str) -> Sent:
        self.now += 1
        row = Row(f"contact:{contact_id}", key, value, self.now)
        return row.record_key, row if value else None


def _tombstones(contact: Contact) -> list[Sent]:
    return [(Row(f"contact:{contact.id}", key, "", 0).record_key, None) for key in contact.keys]


def _history_entry(contact: Contact) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": contact.id, **contact.attributes, "conversations": dict(contact.conversations)}
    if contact.via:
        entry["via"] = dict(contact.via)
    if contact.created_at is not None:
        entry["createdAt"] = contact.created_at
    return entry
