"""Rows of Airy's topic `contacts` as this service takes them: read, checked, values normalised as in requests.

- The key of a record is Airy's; a tombstone has nothing else, and is taken whatever its key stands for.
- A row is about `contact:<UUID>`. The keys of Airy's own contacts count; rows of others are passed over. A row `conversations.<no UUID>` is refused: Airy itself cannot read it.
- Values that cannot be used do not refuse a row, since it takes the place of the one before: an e-mail, a phone number
  or an external id that no request could name claims nothing, a history that is no JSON names nobody, what is too long
  is left out. Phone numbers without `+` are read as those of requests are.
- Of a merge history the newest `SOURCES_MAX` contacts are kept.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from airy_identify.core.airy_facts import (
    AVATAR_URL,
    CONVERSATIONS,
    CREATED_AT,
    DISPLAY_NAME,
    MERGE_HISTORY,
    VIA_EMAIL,
    VIA_EXTERNAL_ID,
    VIA_PHONE,
)
from airy_identify.core.commands import RULES_VERSION, ContactRowReceived
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import (
    AiryFact,
    AiryIdentifiers,
    AirySource,
    ContactId,
    Email,
    JsonValue,
    PhoneNumber,
    RequestId,
    TenantId,
)
from airy_identify.intake.email_address import email_address
from airy_identify.intake.identifiers import external_id
from airy_identify.intake.phone_numbers import phone_number
from airy_identify.wire.airy import LATEST_MS, ContactRow, decode_contact_row
from airy_identify.wire.confluent import WriterSchemas
from airy_identify.wire.errors import UndecodableError
from airy_identify.wire.json_text import read_strict

SOURCES_MAX = 200
TEXT_CHARACTERS_MAX = 2048
_KEY_CHARACTERS_MAX = 255
_EPOCH_MS_DIGITS_MAX = 15
_SUBJECT = "contact:"
_TEXTS = frozenset({DISPLAY_NAME, AVATAR_URL, "title", "gender", "timezone", "locale", "organizationName"}) | {
    f"address.{part}"
    for part in ("organizationName", "address_line1", "address_line2", "postal_code", "city", "state", "country")
}
_VIA = "via."
"""Airy lets people say anything under it; what is not ours says nothing to the rules."""
_COUNTING = _TEXTS | {CREATED_AT, MERGE_HISTORY, VIA_EXTERNAL_ID, VIA_EMAIL, VIA_PHONE}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""As Java writes them. Airy never finds a contact again whose id is written otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactRows:
    """How rows are taken. `writers` are the schemas that the registry has, null when there is no registry."""

    tenant: TenantId
    default_region: str | None = None
    writers: WriterSchemas | None = None

    def accept(
        self, key: bytes | None, value: bytes | None, *, request_id: RequestId, accepted_at_ms: int, own: bool
    ) -> ContactRowReceived | Rejected | None:
        """Return the command for the log, why the record is no row, or null when it says nothing that counts.

        `own`: this service wrote it.
        """
        try:
            record_key = _record_key(key)
            row = None if value is None else decode_contact_row(value, self.writers)
        except UndecodableError as error:
            return _refused(str(error))
        contact_id: str | None = None
        fact: AiryFact | None = None
        if row is not None:
            contact_id = row.subject.removeprefix(_SUBJECT)
            if not row.subject.startswith(_SUBJECT) or not _UUID.fullmatch(contact_id):
                return _refused("its subject is not contact:<UUID>")
            fact_key = _fact_key(row.key)
            if fact_key is None:
                return _refused("its key is conversations.<what is no UUID>") if _is_conversation(row.key) else None
            fact = self._fact(fact_key, row)
        return ContactRowReceived(
            request_id=request_id,
            tenant=self.tenant,
            accepted_at_ms=accepted_at_ms,
            rules_version=RULES_VERSION,
            record_key=record_key,
            contact_id=None if contact_id is None else ContactId(contact_id),
            fact=fact,
            own=own,
        )

    def _fact(self, key: str, row: ContactRow) -> AiryFact:
        if key == CREATED_AT:
            return AiryFact(key=key, at_ms=_time(row.value, otherwise=row.timestamp_ms))
        if key == MERGE_HISTORY:
            return AiryFact(key=key, merged=self._sources(row.value))
        if key in {VIA_EXTERNAL_ID, VIA_EMAIL, VIA_PHONE}:
            return AiryFact(key=key, identifiers=self._identifiers({key.removeprefix(_VIA): row.value}))
        return AiryFact(key=key, text=_text(row.value))

    def _sources(self, value: str) -> tuple[AirySource, ...]:
        """Return the contacts of a merge history: a list of contacts, their members in camel case."""
        try:
            listed = read_strict(value)
        except ValueError:
            return ()
        sources = []
        for given in listed if isinstance(listed, list) else []:
            if isinstance(given, dict) and isinstance(given.get("id"), str) and _UUID.fullmatch(str(given["id"])):
                via = given.get("via")
                sources.append(
                    AirySource(
                        id=ContactId(str(given["id"])),
                        created_at_ms=_time(str(given.get("createdAt")), otherwise=0),
                        identifiers=self._identifiers(via if isinstance(via, dict) else {}),
                    )
                )
        return tuple(sources[-SOURCES_MAX:])

    def _identifiers(self, via: dict[str, Any]) -> AiryIdentifiers:
        email = _usable(email_address, via.get("email"))
        return AiryIdentifiers(
            external_id=_usable(external_id, via.get("external_id")),
            email=None if email is None else Email(value=email),
            phone_number=self._phone_number(via.get("phone")),
        )

    def _phone_number(self, value: JsonValue) -> PhoneNumber | None:
        found = phone_number(value, verified=True, default_region=self.default_region)
        return None if isinstance(found, Rejected) else found


def _usable(read: Callable[[JsonValue], str | Rejected | None], value: JsonValue) -> str | None:
    found = read(value)
    return None if isinstance(found, Rejected) else found


def _record_key(key: bytes | None) -> str:
    """Return a record's key: it becomes part of a row key, which holds no control characters."""
    try:
        text = (key or b"").decode()
    except UnicodeDecodeError as error:
        raise UndecodableError("its key is not UTF-8") from error
    if not 0 < len(text) <= _KEY_CHARACTERS_MAX or not text.isprintable():
        raise UndecodableError("its key is empty, too long or not printable")
    return text


def _fact_key(key: str) -> str | None:
    """Return a key that counts, the id of a conversation in lower case as messages have it; null for any other."""
    if key in _COUNTING or (key.startswith(_VIA) and len(key) <= _KEY_CHARACTERS_MAX):
        return key
    conversation_id = key.removeprefix(CONVERSATIONS)
    is_conversation = conversation_id != key and _UUID.fullmatch(conversation_id.lower())
    return f"{CONVERSATIONS}{conversation_id.lower()}" if is_conversation else None


def _is_conversation(key: str) -> bool:
    """Tell whether Airy takes a key for that of a conversation (airyhq/airy, `Contact.fromMetadataMap`)."""
    return key.startswith(CONVERSATIONS.rstrip("."))


def _time(value: str, *, otherwise: int) -> int:
    """Return a time in milliseconds since the epoch; `otherwise` for what is none, as near as a time may be."""
    if value.isascii() and value.isdigit() and len(value) <= _EPOCH_MS_DIGITS_MAX:
        return min(int(value), LATEST_MS)
    return max(0, min(otherwise, LATEST_MS))


def _text(value: str) -> str | None:
    text = value.strip()
    return text if 0 < len(text) <= TEXT_CHARACTERS_MAX else None


def _refused(why: str) -> Rejected:
    return Rejected(reason=Reason.INVALID_FIELD, message=f"not a row of Airy's contacts: {why}")
