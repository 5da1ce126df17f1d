"""What each route is for, which errors it knows, and examples of it: what the schemas do not say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airy_identify.core.reasons import Reason

CHANNEL_ID = "7f1ad1c5-0f0c-4d1f-8f3c-1d5f8a8a6f10"
CONTACT_ID = "e5fc97f1-2f2d-53c5-85c7-97a83b17e9ff"
OTHER_CONTACT_ID = "0b3a9a52-6d2b-5c3f-9a54-0f6b1c2d3e4f"
CONVERSATION_ID = "98ce13ef-5469-4db3-af62-579be61cfaa4"

EVERY_COMMAND = (
    Reason.MALFORMED_JSON,
    Reason.INVALID_FIELD,
    Reason.UNAUTHORIZED,
    Reason.FORBIDDEN,
    Reason.METHOD_NOT_ALLOWED,
    Reason.BODY_TOO_LARGE,
    Reason.UNSUPPORTED_MEDIA_TYPE,
    Reason.RATE_LIMITED,
    Reason.UNAVAILABLE,
    Reason.TIMEOUT,
)
"""What can go wrong with every request for a command."""
_CHANNEL = (Reason.MISSING_FIELD, Reason.UNKNOWN_CHANNEL, Reason.UNSUPPORTED_CHANNEL)
_VALUES = (Reason.INVALID_EMAIL, Reason.INVALID_PHONE_NUMBER, Reason.BLOCKED_IDENTIFIER)
_CONTACT = (Reason.MISSING_FIELD, Reason.UNKNOWN_CONTACT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One route. `request` and `answer` are Avro records without namespace; `examples` are bodies by name."""

    summary: str
    description: str
    request: str
    answer: str
    reasons: tuple[Reason, ...]
    examples: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    deprecated: bool = False


_RESUME_TOKEN = Operation(
    summary="Make a resume token for one conversation",
    description=(
        "Channel, conversation and tenant must belong together. The token is exactly Airy's: it works for seven days, "
        "and nothing can call it back."
    ),
    request="ResumeTokenRequest",
    answer="ResumeTokenResponse",
    reasons=(*_CHANNEL, Reason.UNKNOWN_CONVERSATION),
    examples={"one conversation": {"channel_id": CHANNEL_ID, "conversation_id": CONVERSATION_ID}},
)

OPERATIONS: dict[str, Operation] = {
    "/contacts.identify": Operation(
        summary="Say who a visitor is, and get their conversations",
        description=(
            "Finds or creates the contact with these identifiers and returns its conversations on the channel, each "
            "with a token that resumes it. Where there is none, exactly one is made. At least one identifier that is "
            "not `unverified` is needed. **An unverified e-mail sent as verified is a takeover**: it finds the person "
            "whose address it is. Custom identifiers say where, not who: they find anonymous contacts only, and an "
            "anonymous chat goes to whoever logs in next on that device. Unknown fields are ignored. A value that is "
            "somebody else's stays there: the answer carries the warning `identifier_conflict`, which reveals nothing "
            "of the other person. With the visitor's token as `attach` the running chat becomes the contact's, once; "
            "else the answer carries the warning `conversation_not_attached`."
        ),
        request="IdentifyRequest",
        answer="IdentifyResponse",
        reasons=(
            *_CHANNEL,
            *_VALUES,
            Reason.MISSING_IDENTIFIER,
            Reason.INVALID_METADATA,
            Reason.IDENTIFIER_CONFLICT,
        ),
        examples={
            "logged in": {
                "channel_id": CHANNEL_ID,
                "external_id": "user-4711",
                "email": "Anna@example.org",
                "phone_number": "+49 170 1234567",
                "identifiers": {"device_id": "d-1"},
                "metadata": {"first_name": "Anna", "plan": "pro"},
            },
            "logged in during a chat": {
                "channel_id": CHANNEL_ID,
                "external_id": "user-4711",
                "attach": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI5OGNlMTNlZiJ9.R5kq0bGmQJmHk0w1cC1sV8m6oE2nQyQm8m4rXb7yZ3A",
            },
            "an e-mail that nobody checked": {
                "channel_id": CHANNEL_ID,
                "identifiers": {"device_id": ["d-2", "d-3"]},
                "email": "somebody@example.org",
                "unverified": ["email"],
            },
            "what would happen, and why": {
                "channel_id": CHANNEL_ID,
                "external_id": "user-4711",
                "email": "anna@example.com",
                "on_conflict": "reject",
                "dry_run": True,
                "explain": True,
            },
        },
    ),
    "/identities.info": Operation(
        summary="Show a contact",
        description=(
            "By an id of it, old and merged ones too, or by exactly one identifier: the contact, its conversations "
            "without tokens, its other ids and the journal of its merges."
        ),
        request="InfoRequest",
        answer="InfoResponse",
        reasons=(*_VALUES, Reason.UNKNOWN_CONTACT),
        examples={
            "by external id": {"external_id": "user-4711"},
            "by a custom kind": {"identifiers": {"device_id": "d-1"}},
            "by id": {"contact_id": CONTACT_ID},
        },
    ),
    "/identities.merge": Operation(
        summary="Make one contact of two",
        description=(
            "The source ends in the destination, whose values win. Two people with external ids become one in this way "
            "only. A contact merged with itself changes nothing."
        ),
        request="MergeRequest",
        answer="ContactResponse",
        reasons=(*_CONTACT, Reason.TOO_LARGE_TO_MERGE),
        examples={"two contacts": {"source_id": OTHER_CONTACT_ID, "destination_id": CONTACT_ID}},
    ),
    "/identities.unmerge": Operation(
        summary="Undo the latest merge of a contact",
        description=(
            "The contact that ended in it comes back, and the two never merge by themselves again. Conversations begun "
            "after the merge stay with the survivor. Tokens that were handed out work on for their seven days."
        ),
        request="UnmergeRequest",
        answer="UnmergeResponse",
        reasons=(*_CONTACT, Reason.NOT_LATEST_MERGE),
        examples={"the one that ended": {"contact_id": OTHER_CONTACT_ID}},
    ),
    "/identities.release": Operation(
        summary="Take one identifier off a contact",
        description=(
            "Releasing what is not held changes nothing. Tokens that were handed out work on for their seven days."
        ),
        request="ReleaseRequest",
        answer="ContactResponse",
        reasons=(*_CONTACT, *_VALUES),
        examples={"a typo": {"contact_id": CONTACT_ID, "kind": "email", "value": "anna@example.org"}},
    ),
    "/identities.forget": Operation(
        summary="Erase a contact",
        description=(
            "The contact, its identifiers, its journal and its conversations are erased; bare markers stay, so that "
            "nothing late revives them. It cannot be undone. Forgetting again changes nothing. Tokens that were handed "
            "out work on for their seven days."
        ),
        request="ForgetRequest",
        answer="ForgetResponse",
        reasons=_CONTACT,
        examples={"for good": {"contact_id": CONTACT_ID}},
    ),
    "/conversations.resumeToken": _RESUME_TOKEN,
    "/chatplugin.resumeToken": Operation(
        summary="The old name of /conversations.resumeToken",
        description=_RESUME_TOKEN.description,
        request=_RESUME_TOKEN.request,
        answer=_RESUME_TOKEN.answer,
        reasons=_RESUME_TOKEN.reasons,
        examples=_RESUME_TOKEN.examples,
        deprecated=True,
    ),
}
