"""What answers say: the 200 of every request and every error, over HTTP and Kafka alike, and how that becomes bytes.

Whatever was stored, what leaves here is proper: content that is no JSON is answered as the text it is. An answer is
written as its question was: as JSON in UTF-8, in Avro single-object encoding or in the Confluent wire format.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from airy_identify.core.answers import (
    Answered,
    ContactChanged,
    ContactForgotten,
    ContactInfo,
    ContactRestored,
    ContactView,
    ConversationSummary,
    Explanation,
    Identified,
    JournalEntry,
    TokenGiven,
)
from airy_identify.core.commands import AnswerFormat
from airy_identify.core.reasons import Rejected
from airy_identify.core.values import ChannelId, ConversationId, JsonValue, Message, RequestId
from airy_identify.wire import json_text, schemas
from airy_identify.wire.confluent import frame
from airy_identify.wire.plain_form import to_datum

ANSWER_SCHEMA_HEADER = "airy_identify_schema"
"""Kafka header of an answer in either format: the full name of its record, since JSON does not say it."""
IDENTIFY_RESPONSE = "airy_identify.IdentifyResponse"
CONTACT_RESPONSE = "airy_identify.ContactResponse"
UNMERGE_RESPONSE = "airy_identify.UnmergeResponse"
FORGET_RESPONSE = "airy_identify.ForgetResponse"
INFO_RESPONSE = "airy_identify.InfoResponse"
RESUME_TOKEN_RESPONSE = "airy_identify.ResumeTokenResponse"  # noqa: S105 - the name of a record
ERROR_RESPONSE = "airy_identify.ErrorResponse"
ACCEPTED_SCHEMAS = frozenset(
    {
        IDENTIFY_RESPONSE,
        CONTACT_RESPONSE,
        UNMERGE_RESPONSE,
        FORGET_RESPONSE,
        INFO_RESPONSE,
        RESUME_TOKEN_RESPONSE,
    }
)
"""The records of answers that are no error."""

ANSWER_RECORDS = (*sorted(ACCEPTED_SCHEMAS), ERROR_RESPONSE)
"""The records of all answers."""

SchemaIds = Mapping[str, int]
"""Full names of records, and their ids in the schema registry."""
NO_SCHEMA_IDS: SchemaIds = MappingProxyType({})

SignToken = Callable[[ConversationId, ChannelId, int], str]
"""Makes the resume token of a conversation on a channel, issued at that second."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class AnswerBody:
    """What an answer says: the full name of its record, and its members in their JSON form."""

    schema: str
    members: dict[str, JsonValue]


def encode_answer(
    body: AnswerBody, answer_format: AnswerFormat = AnswerFormat.JSON, schema_ids: SchemaIds = NO_SCHEMA_IDS
) -> bytes:
    """Return an answer as bytes, in the format of its question.

    `schema_ids` are the registry's ids of the records of answers. Where there is none (the registry was taken out of
    the settings while a question was under way) the answer is JSON.
    """
    schema_id = schema_ids.get(body.schema)
    if answer_format is AnswerFormat.CONFLUENT and schema_id is not None:
        datum = to_datum(body.schema, body.members)
        return frame(schema_id, schemas.our_schemas().encode_body(body.schema, datum))
    if answer_format is AnswerFormat.AVRO:
        return schemas.encode(body.schema, to_datum(body.schema, body.members))
    return json_text.plain_json(body.members)


def encode_error(rejected: Rejected, request_id: RequestId) -> bytes:
    """Return an error as JSON; `message` is where Airy's clients look for it."""
    return encode_answer(error_body(rejected, request_id))


def error_body(rejected: Rejected, request_id: RequestId) -> AnswerBody:
    """Return what the answer to a refused request says."""
    return AnswerBody(
        ERROR_RESPONSE,
        {
            "message": rejected.message,
            "code": rejected.reason.value,
            "field": rejected.field,
            "request_id": request_id,
        },
    )


def identified_body(identified: Identified, sign: SignToken) -> AnswerBody:
    """Return what an identify request is answered. Tokens are issued at the second it was accepted; a dry run has none."""
    issued_at_s = identified.accepted_at_ms // 1000
    conversations: list[JsonValue] = []
    for summary in identified.conversations:
        conversation = summary.conversation
        token = None if identified.dry_run else sign(conversation.id, conversation.channel_id, issued_at_s)
        conversations.append(_conversation(summary, token))
    members: dict[str, JsonValue] = {
        "request_id": identified.request_id,
        "contact": _contact(identified.contact),
        "conversations": conversations,
        "created": {
            "contact": identified.created_contact,
            "conversation": identified.created_conversation,
        },
        "merged": list(identified.merged),
        "warnings": [
            {"code": warning.code.value, "message": warning.message, "field": warning.field}
            for warning in identified.warnings
        ],
        "truncated": identified.truncated,
    }
    if identified.explanation is not None:
        members["explanation"] = _explanation(identified.explanation)
    return AnswerBody(IDENTIFY_RESPONSE, members)


def answered_body(answered: Answered) -> AnswerBody:
    """Return what the answer to merge, release, unmerge and forget says."""
    members: dict[str, JsonValue] = {"request_id": answered.request_id}
    match answered:
        case ContactChanged():
            return AnswerBody(CONTACT_RESPONSE, members | {"contact": _contact(answered.contact)})
        case ContactRestored():
            members |= {"contact": _contact(answered.contact), "restored": _contact(answered.restored)}
            return AnswerBody(UNMERGE_RESPONSE, members)
        case ContactForgotten():
            return AnswerBody(FORGET_RESPONSE, members)


def info_body(info: ContactInfo) -> AnswerBody:
    """Return what an info request is answered: no tokens."""
    members: dict[str, JsonValue] = {
        "request_id": info.request_id,
        "contact": _contact(info.contact),
        "conversations": [_conversation(summary, None) for summary in info.conversations],
        "aliases": list(info.details.aliases),
        "journal": [_merge(entry) for entry in info.details.journal],
        "truncated": info.truncated,
    }
    return AnswerBody(INFO_RESPONSE, members)


def token_body(given: TokenGiven, sign: SignToken) -> AnswerBody:
    """Return what a request for a resume token is answered."""
    token = sign(given.conversation_id, given.channel_id, given.accepted_at_ms // 1000)
    return AnswerBody(RESUME_TOKEN_RESPONSE, {"request_id": given.request_id, "resume_token": token})


def iso_time(time_ms: int) -> str:
    """Return milliseconds since the epoch as ISO 8601 with milliseconds and Z."""
    return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _contact(contact: ContactView) -> dict[str, JsonValue]:
    return {
        "id": contact.id,
        "external_id": contact.external_id,
        "email": contact.email,
        "phone_number": contact.phone_number,
        "identifiers": {custom.kind: list(custom.values) for custom in contact.identifiers},
        "display_name": contact.display_name,
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "avatar_url": contact.avatar_url,
        "metadata": dict(contact.metadata),
        "unverified": list(contact.unverified),
        "created_at": None if contact.created_at_ms is None else iso_time(contact.created_at_ms),
        "updated_at": None if contact.updated_at_ms is None else iso_time(contact.updated_at_ms),
    }


def _conversation(summary: ConversationSummary, token: str | None) -> dict[str, JsonValue]:
    conversation = summary.conversation
    return {
        "id": conversation.id,
        "created_at": iso_time(conversation.created_at_ms),
        "channel": {"id": conversation.channel_id, "source": conversation.source},
        "resume_token": token,
        "last_message": None if summary.last_message is None else _message(summary.last_message),
    }


def _message(message: Message) -> dict[str, JsonValue]:
    """Return Airy's payload of a message (its `MessageResponsePayload.fromMessage`), `truncated` if the text is gone."""
    payload: dict[str, JsonValue] = {
        "id": message.id,
        "content": None if message.content is None else _content(message.content),
        "sent_at": iso_time(message.sent_at_ms),
        "delivery_state": message.delivery_state.lower(),
        "from_contact": message.is_from_contact,
        "source": message.source,
        "metadata": None,
        "sender": {"id": message.sender_id, "name": None, "avatar_url": None},
    }
    if message.content is None:
        payload["truncated"] = True
    return payload


def _content(text: str) -> JsonValue:
    """Return the JSON value that the text is, or the text when it is none that can be passed on unharmed."""
    try:
        return json_text.read_strict(text)
    except ValueError:
        return text


def _explanation(explanation: Explanation) -> dict[str, JsonValue]:
    return {
        "target": explanation.target.value,
        "by": explanation.by,
        "keys": [
            {
                "field": key.field,
                "level": None if key.level is None else key.level.value,
                "outcome": key.outcome.value,
                "why": key.why,
            }
            for key in explanation.keys
        ],
    }


def _merge(entry: JournalEntry) -> dict[str, JsonValue]:
    return {
        "merged_id": entry.merged_id,
        "into_id": entry.into_id,
        "merged_at": iso_time(entry.merged_at_ms),
        "why": entry.why,
        "request_id": entry.request_id,
        "offset": entry.offset,
        "survivor_before": None if entry.survivor_before is None else _contact(entry.survivor_before),
        "merged_before": None if entry.merged_before is None else _contact(entry.merged_before),
    }
