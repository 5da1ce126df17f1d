"""What is asked of the tables: the values of the log `identity-commands`.

A command holds everything that must not be decided later: the time it was accepted, a random id for what may have
to be made, normalised identifiers, the version of the rules. So the same log always gives the same rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from airy_identify.core.values import (
    AiryFact,
    ChannelId,
    ContactId,
    ConversationId,
    CustomIdentifiers,
    Email,
    Identifier,
    JsonValue,
    PhoneNumber,
    RequestId,
    TenantId,
)

RULES_VERSION = 1


class AnswerFormat(StrEnum):
    """How the answer is written: as the question was."""

    JSON = "json"
    AVRO = "avro"
    CONFLUENT = "confluent"


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
class Attach:
    """A token came with the request: the conversation that it names, null when intake did not accept it.

    An accepted one is genuine, is of the request's channel, and had not expired at `accepted_at_ms`. The token itself
    is not in the log.
    """

    conversation_id: ConversationId | None


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
    attach: Attach | None = None
    on_conflict: OnConflict = OnConflict.WARN
    dry_run: bool = False
    explain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Make one contact of two: `source_id` ends in `destination_id`. Any ids of theirs will do, old ones too."""

    request_id: RequestId
    tenant: TenantId
    accepted_at_ms: int
    rules_version: int
    reply_to: ReplyTo
    source_id: ContactId
    destination_id: ContactId


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmerge:
    """Undo the latest merge of a survivor: `contact_id` is the id of the contact that ended in it."""

    request_id: RequestId
    tenant: TenantId
    accepted_at_ms: int
    rules_version: int
    reply_to: ReplyTo
    contact_id: ContactId


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Take one identifier off a contact. `identifier` holds the canonical value, a phone's key."""

    request_id: RequestId
    tenant: TenantId
    accepted_at_ms: int
    rules_version: int
    reply_to: ReplyTo
    contact_id: ContactId
    identifier: Identifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Erase a contact and its conversations."""

    request_id: RequestId
    tenant: TenantId
    accepted_at_ms: int
    rules_version: int
    reply_to: ReplyTo
    contact_id: ContactId


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """Show what is known of a contact, chosen by an id of it or by an identifier: exactly one of the two is set."""

    request_id: RequestId
    tenant: TenantId
    accepted_at_ms: int
    rules_version: int
    reply_to: ReplyTo
    contact_id: ContactId | None = None
    identifier: Identifier | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveResumeToken:
    """Make a resume token for one conversation on its channel, which is connected and of this tenant."""

    request_id: RequestId
    tenant: TenantId
    accepted_at_ms: int
    rules_version: int
    reply_to: ReplyTo
    channel_id: ChannelId
    conversation_id: ConversationId


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactRowReceived:
    """A row of Airy's topic `contacts`: a fact about a contact, or a tombstone, which has nothing but its key.

    `request_id` says where it lay. `own`: this service wrote it.
    """

    request_id: RequestId
    tenant: TenantId
    accepted_at_ms: int
    rules_version: int
    record_key: str
    contact_id: ContactId | None = None
    fact: AiryFact | None = None
    own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationSeen:
    """A conversation began outside this service, on this channel. `created_at_ms`: its earliest message so far."""

    tenant: TenantId
    rules_version: int
    conversation_id: ConversationId
    channel_id: ChannelId
    source: str
    created_at_ms: int


Observation = ContactRowReceived | ConversationSeen
"""What is told and not asked: nobody is answered."""

Command = Identify | Merge | Unmerge | Release | Forget | Info | GiveResumeToken
"""What is asked, and answered. With `Observation`, the values of `identity-commands`."""
