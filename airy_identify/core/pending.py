"""The table as the steps of one command leave it: their writes first, then the rows before the command."""

from collections.abc import Iterable

from airy_identify.core.contacts import IdentityReader
from airy_identify.core.values import (
    AiryKey,
    AiryRow,
    AliasKey,
    Contact,
    ContactKey,
    ConversationOwnerKey,
    Forgotten,
    IdentifierKey,
    IdentityKey,
    IdentityRow,
    IdentityWrite,
    JournalKey,
    Merged,
    Owner,
)


class PendingTable:
    """Reads through its own writes. Of several writes of a row the last one counts."""

    def __init__(self, table: IdentityReader, writes: Iterable[IdentityWrite] = ()) -> None:
        self._table = table
        self._writes: dict[IdentityKey, IdentityRow | None] = dict(writes)

    @property
    def writes(self) -> tuple[IdentityWrite, ...]:
        """The rows that were written."""
        return tuple(self._writes.items())

    def write(self, writes: Iterable[IdentityWrite]) -> None:
        """Write rows; null deletes."""
        self._writes.update(writes)

    def contact(self, key: ContactKey, /) -> Contact | Forgotten | None:
        """Return a contact by its id."""
        if key not in self._writes:
            return self._table.contact(key)
        row = self._writes[key]
        return row if isinstance(row, Contact | Forgotten) else None

    def is_stored(self, key: ContactKey, /) -> bool:
        """Tell whether a contact has a row."""
        return self.contact(key) is not None

    def owner(self, key: IdentifierKey | AliasKey | ConversationOwnerKey, /) -> Owner | Forgotten | None:
        """Return who holds an identifier, an alias or a conversation."""
        if key not in self._writes:
            return self._table.owner(key)
        row = self._writes[key]
        return row if isinstance(row, Owner | Forgotten) else None

    def journal(self, key: JournalKey, /) -> Merged | None:
        """Return a merge."""
        if key not in self._writes:
            return self._table.journal(key)
        row = self._writes[key]
        return row if isinstance(row, Merged) else None

    def airy(self, key: AiryKey, /) -> AiryRow | None:
        """Return what is known from Airy."""
        if key not in self._writes:
            return self._table.airy(key)
        row = self._writes[key]
        return row if isinstance(row, AiryRow) else None
