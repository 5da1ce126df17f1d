"""What follows from a command: rows to write, slips on their way, answers. Also the values of `conversation-commands`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from airy_identify.core.commands import ReplyTo
from airy_identify.core.reasons import Warned
from airy_identify.core.values import (
    ChannelId,
    ContactConversation,
    ContactId,
    ConversationId,
    CustomIdentifiers,
    IdentityWrite,
    JsonValue,
    Level,
    Message,
    RequestId,
    TenantId,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactView:
    """The contact of an answer. `id` and the times are null for a person whom a dry run would create."""

    id: ContactId | None
    external_id: str | None
    email: str | None
    phone_number: str | None
    identifiers: tuple[CustomIdentifiers, ...]
    display_name: str | None
    first_name: str | None
    last_name: str | None
    avatar_url: str | None
    metadata: Mapping[str, JsonValue]
    unverified: tuple[str, ...]
    created_at_ms: int | None
    updated_at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationSummary:
    """A conversation of an answer, with its last message when it has one."""

    conversation: ContactConversation
    last_message: Message | None


class Outcome(StrEnum):
    """What became of a value of a request."""

    MATCHED = "matched"
    ADDED = "added"
    MERGED = "merged"
    TAKEN_OVER = "taken_over"
    CONFLICT = "conflict"
    UNVERIFIED = "unverified"


class TargetChoice(StrEnum):
    """How the contact of an answer came to be it."""

    FOUND = "found"
    PROMOTED = "promoted"
    CREATED = "created"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedKey:
    """What became of one value: its field, the level of the contact that had it before, and the rule in words."""

    field: str
    level: Level | None
    outcome: Outcome
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why an answer is about this contact: kinds and rules, never the id or data of another contact.

    `by` is the field that found or promoted it. `keys` are in rank order.
    """

    target: TargetChoice
    by: str | None
    keys: tuple[ExplainedKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """A merge as an answer shows it. The contacts as they were are null where they would make the answer too large."""

    merged_id: ContactId
    into_id: ContactId
    merged_at_ms: int
    why: str
    request_id: RequestId
    offset: int
    survivor_before: ContactView | None
    merged_before: ContactView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactDetails:
    """What `Info` shows besides the contact: its other ids, and its merges, the newest first."""

    aliases: tuple[ContactId, ...]
    journal: tuple[JournalEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeSlip:
    """A routing slip: it visits the partitions that hold the contact's conversations and collects their summaries.

    `minted` is the conversation this request created: the stop that holds it writes its row. `pending` are the
    conversations still to be looked up; `summaries` the best found so far, best first. `dry_run` answers get no tokens.
    `details` are there when it answers `Info`, which gets no tokens either.
    """

    request_id: RequestId
    tenant: TenantId
    accepted_at_ms: int
    reply_to: ReplyTo
    contact: ContactView
    created_contact: bool
    created_conversation: bool
    merged: tuple[ContactId, ...] = ()
    warnings: tuple[Warned, ...] = ()
    minted: ConversationId | None = None
    pending: tuple[ContactConversation, ...] = ()
    summaries: tuple[ConversationSummary, ...] = ()
    truncated: bool = False
    dry_run: bool = False
    explanation: Explanation | None = None
    details: ContactDetails | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSlip:
    """Asks the stop that holds a conversation for its resume token.

    `owned`: a contact of the tenant has it on this channel. Otherwise its row decides: what was said in it came through
    this channel.
    """

    request_id: RequestId
    accepted_at_ms: int
    reply_to: ReplyTo
    channel_id: ChannelId
    conversation_id: ConversationId
    owned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetConversation:
    """Its contact was forgotten: the stop that holds it leaves nothing but a marker."""

    conversation_id: ConversationId


ConversationCommand = ResumeSlip | TokenSlip | ForgetConversation | Message
"""The values of `conversation-commands`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """The answer to `Identify`: everything but the resume tokens, which are minted when it is written."""

    request_id: RequestId
    contact: ContactView
    conversations: tuple[ConversationSummary, ...]
    created_contact: bool
    created_conversation: bool
    merged: tuple[ContactId, ...] = ()
    warnings: tuple[Warned, ...] = ()
    truncated: bool = False
    dry_run: bool = False
    accepted_at_ms: int = 0
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactInfo:
    """The answer to `Info`."""

    request_id: RequestId
    contact: ContactView
    conversations: tuple[ConversationSummary, ...]
    details: ContactDetails
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactChanged:
    """The answer to `Merge` and `Release`: the contact after it."""

    request_id: RequestId
    contact: ContactView


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactRestored:
    """The answer to `Unmerge`: the survivor, and the contact that came back."""

    request_id: RequestId
    contact: ContactView
    restored: ContactView


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactForgotten:
    """The answer to `Forget`."""

    request_id: RequestId


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGiven:
    """The answer to `GiveResumeToken`; the token is minted when it is written."""

    request_id: RequestId
    accepted_at_ms: int
    channel_id: ChannelId
    conversation_id: ConversationId


Answered = ContactChanged | ContactRestored | ContactForgotten
"""What the table `contact-identity` alone can answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What an applied command leads to: changed rows, at most one a key, and how it is answered.

    One of the two is set: a `slip` that becomes the answer on its way, or the `answer` itself. `forgotten` are
    conversations to be erased.
    """

    writes: tuple[IdentityWrite, ...] = ()
    slip: ResumeSlip | TokenSlip | None = None
    answer: Answered | None = None
    forgotten: tuple[ConversationId, ...] = ()
