"""The values the rules speak about: contacts, identifiers, conversations, messages and the keys of their rows.

All values are frozen; a step returns new ones. Times are milliseconds since the epoch, UTC. It must not know how a
value is written as bytes (that is `wire`) nor how a given identifier was normalised (that is `intake`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType, TypeAlias

TenantId = NewType("TenantId", str)
ContactId = NewType("ContactId", str)
ConversationId = NewType("ConversationId", str)
ChannelId = NewType("ChannelId", str)
MessageId = NewType("MessageId", str)
RequestId = NewType("RequestId", str)

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

EXTERNAL_ID = "external_id"
EMAIL = "email"
PHONE_NUMBER = "phone_number"
BUILT_IN_KINDS = (EXTERNAL_ID, EMAIL, PHONE_NUMBER)
"""The built-in identifier kinds in rank order; custom kinds follow, alphabetically."""


class Level(StrEnum):
    """How much is known of a contact: hard has an external id, known a verified e-mail or phone now or ever."""

    ANONYMOUS = "anonymous"
    KNOWN = "known"
    HARD = "hard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """An e-mail address in canonical form, and whether the caller vouched for it."""

    value: str
    verified: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneNumber:
    """A phone number: `value` is E.164 as given (it is answered), `key` the canonical form (it matches)."""

    value: str
    key: str
    verified: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomIdentifiers:
    """The values of one custom kind, oldest first, at most five on a contact."""

    kind: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """One indexed key of a contact: its kind and the value that matches (a phone's canonical key)."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactConversation:
    """A conversation as its contact knows it; what was said in it is in the table `conversation`."""

    id: ConversationId
    channel_id: ChannelId
    source: str
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """An unmerge parted two contacts: `own` is an id of the contact that holds this, `other` one of the other contact.

    Both hold it, each from its side.
    """

    own: ContactId
    other: ContactId


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """A person as known to one tenant.

    `known` is the level mark: the contact has, or ever had, a verified e-mail, a verified phone or an external id, or
    came back by an unmerge. `former_external_ids` are those taken in by merges; they resolve to this contact too.
    `identifiers` are in alphabetical order of kind and hold no empty kind. `aliases` are other ids that resolve to this
    contact. `merge_count` is the number of its journal rows. `separations` keep it from merging automatically.
    """

    id: ContactId
    created_at_ms: int
    updated_at_ms: int
    known: bool = False
    external_id: str | None = None
    former_external_ids: tuple[str, ...] = ()
    email: Email | None = None
    phone_number: PhoneNumber | None = None
    identifiers: tuple[CustomIdentifiers, ...] = ()
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)
    conversations: tuple[ContactConversation, ...] = ()
    aliases: tuple[ContactId, ...] = ()
    merge_count: int = 0
    separations: tuple[Separation, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The contact that an identifier, an alias or a conversation belongs to: always a live one, in one hop."""

    contact_id: ContactId


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """The bare marker that a forgotten contact, alias or conversation leaves, so that nothing late can revive it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A journal row: `merged` ended in `survivor`, both as they were before.

    `why` is `command`, or the field whose value brought them together. `offset` is the command's place in the log of
    the tenant. `alone`: the command wrote nothing but this merge. `replaced_email` and `replaced_phone_number` are what
    the survivor lost because the command gave it another.
    """

    survivor: Contact
    merged: Contact
    merged_at_ms: int
    why: str
    request_id: RequestId
    offset: int
    alone: bool
    replaced_email: Email | None = None
    replaced_phone_number: PhoneNumber | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactKey:
    """Key of a `Contact` row."""

    tenant: TenantId
    contact_id: ContactId


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifierKey:
    """Key of the `Owner` row of an identifier."""

    tenant: TenantId
    kind: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasKey:
    """Key of the `Owner` row of a former or derived contact id."""

    tenant: TenantId
    contact_id: ContactId


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationOwnerKey:
    """Key of the `Owner` row of a conversation."""

    tenant: TenantId
    conversation_id: ConversationId


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalKey:
    """Key of a `Merged` row: the survivor of that merge, and the number of the merge, from 0."""

    tenant: TenantId
    contact_id: ContactId
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AiryIdentifiers:
    """What a contact of Airy can be found by, normalised; e-mail and phone number count as verified."""

    external_id: str | None = None
    email: Email | None = None
    phone_number: PhoneNumber | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AirySource:
    """A contact that Airy merged into another, as the other's `mergeHistory` has it."""

    id: ContactId
    created_at_ms: int
    identifiers: AiryIdentifiers = AiryIdentifiers()


@dataclass(frozen=True, slots=True, kw_only=True)
class AiryFact:
    """What one row of Airy's topic `contacts` says of a contact. `key` is Airy's: `displayName`, `via.email`, ….

    `text` is a name, the address of a picture, or the source of a conversation. The other members belong to one key
    each: `at_ms` to `created_at`, `identifiers` to `via.…`, `merged` to `mergeHistory`. What is of no use is absent.
    `own`: this service wrote the row, so it says nothing new.
    """

    key: str
    text: str | None = None
    at_ms: int | None = None
    identifiers: AiryIdentifiers | None = None
    merged: tuple[AirySource, ...] = ()
    own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AiryContact:
    """All that Airy's rows say of one contact now, in the order of their keys; `airy_facts` reads it."""

    id: ContactId
    facts: tuple[AiryFact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AiryRecord:
    """Which fact a key of Airy's topic stands for: a tombstone has nothing else."""

    contact_id: ContactId
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AiryClaims:
    """The contacts of Airy that name an identifier, a conversation or a merged contact, in ascending order."""

    contact_ids: tuple[ContactId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenConversation:
    """A conversation that began outside this service. `created_at_ms`: its earliest message as far as it is known."""

    channel_id: ChannelId
    source: str
    created_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A contact that Airy deleted, or merged: until that is clear it is kept where nobody finds it.

    `contact` is null when it came back. `next` is the contact that went after it.
    """

    contact: Contact | None
    gone_at_ms: int
    next: ContactId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GoneQueue:
    """The contacts of a tenant that are gone, the earliest first."""

    first: ContactId
    last: ContactId


@dataclass(frozen=True, slots=True, kw_only=True)
class AiryContactKey:
    """Key of an `AiryContact` row, by Airy's contact id."""

    tenant: TenantId
    contact_id: ContactId


@dataclass(frozen=True, slots=True, kw_only=True)
class AiryRecordKey:
    """Key of an `AiryRecord` row, by the record's key on Airy's topic."""

    tenant: TenantId
    record_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AiryClaimKey:
    """Key of an `AiryClaims` row: a built-in kind and value, or `conversation` or `merged` and an id."""

    tenant: TenantId
    kind: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenConversationKey:
    """Key of a `SeenConversation` row."""

    tenant: TenantId
    conversation_id: ConversationId


@dataclass(frozen=True, slots=True, kw_only=True)
class GoneKey:
    """Key of a `Gone` row."""

    tenant: TenantId
    contact_id: ContactId


@dataclass(frozen=True, slots=True, kw_only=True)
class GoneQueueKey:
    """Key of the `GoneQueue` row of a tenant."""

    tenant: TenantId


AiryKey = AiryContactKey | AiryRecordKey | AiryClaimKey | SeenConversationKey | GoneKey | GoneQueueKey
AiryRow = AiryContact | AiryRecord | AiryClaims | SeenConversation | Gone | GoneQueue
IdentityKey = ContactKey | IdentifierKey | AliasKey | ConversationOwnerKey | JournalKey | AiryKey
IdentityRow = Contact | Owner | Merged | Forgotten | AiryRow
IdentityWrite = tuple[IdentityKey, IdentityRow | None]
"""A changed row of the table `contact-identity`; `None` deletes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation, as Airy's topic `messages` has it.

    `content` is the text as Airy stores it: JSON or plain text; null when it was too long to be kept (see
    `conversation.shorten`). `updated_at_ms` is null for a new message. `tenant` is that of its channel; messages that
    are kept with their conversation have none.
    """

    id: MessageId
    conversation_id: ConversationId
    channel_id: ChannelId
    source: str
    sender_id: str
    is_from_contact: bool
    delivery_state: str
    content: str | None
    sent_at_ms: int
    updated_at_ms: int | None = None
    tenant: TenantId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A row of the table `conversation`, keyed by conversation id. `created_at_ms` is null unless it was minted here.

    `first_sent_at_ms`: when the earliest message known was sent.
    """

    id: ConversationId
    channel_id: ChannelId
    source: str
    created_at_ms: int | None = None
    last_message: Message | None = None
    first_sent_at_ms: int | None = None


ConversationRow = Conversation | Forgotten
"""The rows of the table `conversation`."""
