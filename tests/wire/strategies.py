"""Hypothesis strategies for the values that are written as bytes: any such value, not only sensible ones."""

import dataclasses
from typing import Any

from hypothesis import strategies as st

from airy_identify.core.answers import (
    ContactDetails,
    ContactInfo,
    ContactView,
    ConversationSummary,
    ExplainedKey,
    Explanation,
    ForgetConversation,
    Identified,
    JournalEntry,
    Outcome,
    ResumeSlip,
    TargetChoice,
    TokenSlip,
)
from airy_identify.core.commands import (
    AnswerFormat,
    Attach,
    ContactRowReceived,
    ConversationSeen,
    Forget,
    GiveResumeToken,
    Identify,
    Info,
    Merge,
    OnConflict,
    Release,
    ReplyTo,
    Unmerge,
)
from airy_identify.core.reasons import Warned, WarningCode
from airy_identify.core.values import (
    AiryClaims,
    AiryContact,
    AiryFact,
    AiryIdentifiers,
    AiryRecord,
    AirySource,
    Contact,
    ContactConversation,
    Conversation,
    CustomIdentifiers,
    Email,
    Forgotten,
    Gone,
    GoneQueue,
    Identifier,
    Level,
    Merged,
    Message,
    Owner,
    PhoneNumber,
    SeenConversation,
    Separation,
)

TEXT = st.text(max_size=20)
TIME_MS = st.integers(min_value=0, max_value=253_402_300_799_999)
OPTIONAL_TEXT = st.none() | TEXT

JSON_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**30), max_value=10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    JSON_SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
JSON_OBJECTS = st.dictionaries(TEXT, JSON_VALUES, max_size=4)

_EMAIL = st.builds(Email, value=TEXT, verified=st.booleans())
_PHONE_NUMBER = st.builds(PhoneNumber, value=TEXT, key=TEXT, verified=st.booleans())
_IDENTIFIERS = st.lists(
    st.builds(CustomIdentifiers, kind=TEXT, values=st.lists(TEXT, max_size=5).map(tuple)), max_size=3
).map(tuple)
_CONVERSATION = st.builds(ContactConversation, id=TEXT, channel_id=TEXT, source=TEXT, created_at_ms=TIME_MS)
_REPLY_TO = st.builds(
    ReplyTo,
    topic=TEXT,
    partition=st.none() | st.integers(min_value=0, max_value=2**31 - 1),
    correlation_id=st.binary(max_size=20),
    format=st.sampled_from(AnswerFormat),
)
_TEXTS = st.lists(TEXT, max_size=3).map(tuple)
_WARNINGS = st.lists(st.builds(Warned, code=st.sampled_from(WarningCode), message=TEXT, field=TEXT), max_size=2).map(
    tuple
)

_NUMBER = st.integers(min_value=0, max_value=2**40)

MESSAGES = st.builds(
    Message,
    id=TEXT,
    conversation_id=TEXT,
    channel_id=TEXT,
    source=TEXT,
    sender_id=TEXT,
    is_from_contact=st.booleans(),
    delivery_state=st.sampled_from(["PENDING", "FAILED", "DELIVERED"]),
    content=OPTIONAL_TEXT,
    sent_at_ms=TIME_MS,
    updated_at_ms=st.none() | TIME_MS,
)

IDENTIFY_COMMANDS = st.builds(
    Identify,
    request_id=TEXT,
    tenant=TEXT,
    accepted_at_ms=TIME_MS,
    new_id=TEXT,
    rules_version=st.integers(min_value=1, max_value=2**31 - 1),
    channel_id=TEXT,
    channel_source=TEXT,
    reply_to=_REPLY_TO,
    external_id=OPTIONAL_TEXT,
    email=st.none() | _EMAIL,
    phone_number=st.none() | _PHONE_NUMBER,
    identifiers=_IDENTIFIERS,
    metadata=st.none() | JSON_OBJECTS,
    attach=st.none() | st.builds(Attach, conversation_id=OPTIONAL_TEXT),
    on_conflict=st.sampled_from(OnConflict),
    dry_run=st.booleans(),
    explain=st.booleans(),
)

_IDENTIFIER = st.builds(Identifier, kind=TEXT, value=TEXT)
_ASKED: dict[str, st.SearchStrategy[Any]] = {
    "request_id": TEXT,
    "tenant": TEXT,
    "accepted_at_ms": TIME_MS,
    "rules_version": st.integers(min_value=1, max_value=2**31 - 1),
    "reply_to": _REPLY_TO,
}
COMMANDS = (
    IDENTIFY_COMMANDS
    | st.builds(Merge, **_ASKED, source_id=TEXT, destination_id=TEXT)
    | st.builds(Unmerge, **_ASKED, contact_id=TEXT)
    | st.builds(Release, **_ASKED, contact_id=TEXT, identifier=_IDENTIFIER)
    | st.builds(Forget, **_ASKED, contact_id=TEXT)
    | st.builds(Info, **_ASKED, contact_id=OPTIONAL_TEXT, identifier=st.none() | _IDENTIFIER)
    | st.builds(GiveResumeToken, **_ASKED, channel_id=TEXT, conversation_id=TEXT)
)

CONTACTS = st.builds(
    Contact,
    id=TEXT,
    created_at_ms=TIME_MS,
    updated_at_ms=TIME_MS,
    known=st.booleans(),
    external_id=OPTIONAL_TEXT,
    former_external_ids=_TEXTS,
    email=st.none() | _EMAIL,
    phone_number=st.none() | _PHONE_NUMBER,
    identifiers=_IDENTIFIERS,
    metadata=JSON_OBJECTS,
    conversations=st.lists(_CONVERSATION, max_size=2).map(tuple),
    aliases=_TEXTS,
    merge_count=st.integers(min_value=0, max_value=1000),
    separations=st.lists(st.builds(Separation, own=TEXT, other=TEXT), max_size=2).map(tuple),
)
CONTACT_ROWS = (
    CONTACTS
    | st.builds(Owner, contact_id=TEXT)
    | st.just(Forgotten())
    | st.builds(
        Merged,
        survivor=CONTACTS,
        merged=CONTACTS,
        merged_at_ms=TIME_MS,
        why=TEXT,
        request_id=TEXT,
        offset=_NUMBER,
        alone=st.booleans(),
        replaced_email=st.none() | _EMAIL,
        replaced_phone_number=st.none() | _PHONE_NUMBER,
    )
)

_AIRY_IDENTIFIERS = st.builds(
    AiryIdentifiers,
    external_id=OPTIONAL_TEXT,
    email=st.none() | _EMAIL,
    phone_number=st.none() | _PHONE_NUMBER,
)
_FACTS = st.builds(
    AiryFact,
    key=TEXT,
    text=OPTIONAL_TEXT,
    at_ms=st.none() | TIME_MS,
    identifiers=st.none() | _AIRY_IDENTIFIERS,
    merged=st.lists(
        st.builds(AirySource, id=TEXT, created_at_ms=TIME_MS, identifiers=_AIRY_IDENTIFIERS), max_size=2
    ).map(tuple),
    own=st.booleans(),
)
AIRY_ROWS = (
    st.builds(AiryContact, id=TEXT, facts=st.lists(_FACTS, max_size=2).map(tuple))
    | st.builds(AiryRecord, contact_id=TEXT, key=TEXT)
    | st.builds(AiryClaims, contact_ids=_TEXTS)
    | st.builds(SeenConversation, channel_id=TEXT, source=TEXT, created_at_ms=TIME_MS)
    | st.builds(Gone, contact=st.none() | CONTACTS, gone_at_ms=TIME_MS, next=OPTIONAL_TEXT)
    | st.builds(GoneQueue, first=TEXT, last=TEXT)
)
IDENTITY_ROWS = CONTACT_ROWS | AIRY_ROWS
OBSERVATIONS = st.builds(
    ContactRowReceived,
    request_id=TEXT,
    tenant=TEXT,
    accepted_at_ms=TIME_MS,
    rules_version=st.integers(min_value=1, max_value=2**31 - 1),
    record_key=TEXT,
    contact_id=OPTIONAL_TEXT,
    fact=st.none() | _FACTS,
    own=st.booleans(),
) | st.builds(
    ConversationSeen,
    tenant=TEXT,
    rules_version=st.integers(min_value=1, max_value=2**31 - 1),
    conversation_id=TEXT,
    channel_id=TEXT,
    source=TEXT,
    created_at_ms=TIME_MS,
)

CONVERSATIONS = st.builds(
    Conversation,
    id=TEXT,
    channel_id=TEXT,
    source=TEXT,
    created_at_ms=st.none() | TIME_MS,
    last_message=st.none() | MESSAGES,
    first_sent_at_ms=st.none() | TIME_MS,
)
CONVERSATION_ROWS = CONVERSATIONS | st.just(Forgotten())

_VIEWS = st.builds(
    ContactView,
    id=OPTIONAL_TEXT,
    external_id=OPTIONAL_TEXT,
    email=OPTIONAL_TEXT,
    phone_number=OPTIONAL_TEXT,
    identifiers=_IDENTIFIERS,
    display_name=OPTIONAL_TEXT,
    first_name=OPTIONAL_TEXT,
    last_name=OPTIONAL_TEXT,
    avatar_url=OPTIONAL_TEXT,
    metadata=JSON_OBJECTS,
    unverified=_TEXTS,
    created_at_ms=st.none() | TIME_MS,
    updated_at_ms=st.none() | TIME_MS,
)
_SUMMARIES = st.lists(
    st.builds(ConversationSummary, conversation=_CONVERSATION, last_message=st.none() | MESSAGES), max_size=2
).map(tuple)

_EXPLANATIONS = st.builds(
    Explanation,
    target=st.sampled_from(TargetChoice),
    by=OPTIONAL_TEXT,
    keys=st.lists(
        st.builds(
            ExplainedKey,
            field=TEXT,
            level=st.none() | st.sampled_from(Level),
            outcome=st.sampled_from(Outcome),
            why=TEXT,
        ),
        max_size=2,
    ).map(tuple),
)
_DETAILS = st.builds(
    ContactDetails,
    aliases=_TEXTS,
    journal=st.lists(
        st.builds(
            JournalEntry,
            merged_id=TEXT,
            into_id=TEXT,
            merged_at_ms=TIME_MS,
            why=TEXT,
            request_id=TEXT,
            offset=_NUMBER,
            survivor_before=st.none() | _VIEWS,
            merged_before=st.none() | _VIEWS,
        ),
        max_size=2,
    ).map(tuple),
)

SLIPS = st.builds(
    ResumeSlip,
    request_id=TEXT,
    tenant=TEXT,
    accepted_at_ms=TIME_MS,
    reply_to=_REPLY_TO,
    contact=_VIEWS,
    created_contact=st.booleans(),
    created_conversation=st.booleans(),
    merged=_TEXTS,
    warnings=_WARNINGS,
    minted=OPTIONAL_TEXT,
    pending=st.lists(_CONVERSATION, max_size=2).map(tuple),
    summaries=_SUMMARIES,
    truncated=st.booleans(),
    dry_run=st.booleans(),
    explanation=st.none() | _EXPLANATIONS,
    details=st.none() | _DETAILS,
)
CONVERSATION_COMMANDS = (
    SLIPS
    | st.builds(dataclasses.replace, MESSAGES, tenant=OPTIONAL_TEXT)
    | st.builds(ForgetConversation, conversation_id=TEXT)
    | st.builds(
        TokenSlip,
        request_id=TEXT,
        accepted_at_ms=TIME_MS,
        reply_to=_REPLY_TO,
        channel_id=TEXT,
        conversation_id=TEXT,
        owned=st.booleans(),
    )
)

ANSWERS = st.builds(
    Identified,
    request_id=TEXT,
    contact=_VIEWS,
    conversations=_SUMMARIES,
    created_contact=st.booleans(),
    created_conversation=st.booleans(),
    merged=_TEXTS,
    warnings=_WARNINGS,
    truncated=st.booleans(),
    dry_run=st.booleans(),
    accepted_at_ms=TIME_MS,
    explanation=st.none() | _EXPLANATIONS,
)

INFO_ANSWERS = st.builds(
    ContactInfo,
    request_id=TEXT,
    contact=_VIEWS,
    conversations=_SUMMARIES,
    details=_DETAILS,
    truncated=st.booleans(),
)
