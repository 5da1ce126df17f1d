"""What is asked of the tables: the values of the logs `identity-commands` and `conversation-commands`.

A command holds everything that must not be decided later: the time it was accepted, a random id for what may have
to be made, normalised identifiers, the version of the rules. So the same log always gives the same rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from airy_identify.core.reasons import Warned
from airy_identify.core.values import (
    ChannelId,
    ContactConversation,
    ContactId,
    ConversationId,
    CustomIdentifiers,
    Email,
    JsonValue,
    Message,
    PhoneNumber,
    RequestId,
    TenantId,
)

RULES_VERSION = 1


class AnswerFormat(StrEnum):
    """How the answer is written: as the question was."""

    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyTo:
    """Where the answer goes. `partition` is null when the request id decides. `correlation_id` is returned unchanged.

    `topic` is the full name of the topic, already checked against the allow-list.
    """

    topic: str
    partition: int | None
    correlation_id: bytes
    format: AnswerFormat = AnswerFormat.JSON


class OnConflict(StrEnum):
    """What to do when an e-mail or phone number belongs to somebody else."""

    WARN = "warn"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identify:
    """Find or create the contact with these identifiers, and its conversations on the channel.

    `new_id` is a random UUID made by intake: the id of the conversation, if one is minted. `channel_source` is the
    channel's source, always `chatplugin` today. `identifiers` are in alphabetical order of kind.
    `metadata` is an RFC 7396 patch, null when absent.
    """

    request_id: RequestId
    tenant: TenantId
    accepted_at_ms: int
    new_id: ConversationId
    rules_version: int
    channel_id: ChannelId
    channel_source: str
    reply_to: ReplyTo
    external_id: str | None = None
    email: Email | None = None
    phone_number: PhoneNumber | None = None
    identifiers: tuple[CustomIdentifiers, ...] = ()
    metadata: Mapping[str, JsonValue] | None = None
    on_conflict: OnConflict = OnConflict.WARN
    dry_run: bool = False
    explain: bool = False


Command = Identify
"""The values of `identity-commands`; more kinds follow."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeSlip:
    """A routing slip: it visits the partitions that hold the contact's conversations and collects their summaries.

    `minted` is the conversation this request created: the stop that holds it writes its row. `pending` are the
    conversations still to be looked up; `summaries` the best found so far, best first. `dry_run` answers get no tokens.
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


ConversationCommand = ResumeSlip | Message
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
