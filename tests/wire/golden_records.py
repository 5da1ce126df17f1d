"""One record of every schema, with its bytes as they were when the schema was made: `golden/<record>-<fingerprint>.json`.

A golden file never changes. When a schema does, deliberately and compatibly:

1. copy the old schema to `schemas/earlier/<record>-<fingerprint>.avsc`, so that old bytes stay readable;
2. run `python -m tests.wire.golden_records`: it writes the missing files and leaves those that are there alone.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airy_identify.core.commands import OnConflict
from airy_identify.core.values import AiryClaims, AiryRecord, ContactId, Forgotten, Gone, GoneQueue
from airy_identify.wire import airy, answers, schemas
from airy_identify.wire.airy_rows import (
    AIRY_CLAIMS_ROW,
    AIRY_CONTACT_ROW,
    AIRY_RECORD_ROW,
    GONE_QUEUE_ROW,
    SEEN_CONVERSATION_ROW,
)
from airy_identify.wire.commands import (
    CONTACT_ROW_RECEIVED,
    CONVERSATION_SEEN,
    FORGET_COMMAND,
    IDENTIFY_COMMAND,
    INFO_COMMAND,
    MERGE_COMMAND,
    RELEASE_COMMAND,
    RESUME_TOKEN_COMMAND,
    UNMERGE_COMMAND,
    encode_command,
)
from airy_identify.wire.conversation_commands import (
    FORGET_CONVERSATION,
    MESSAGE_RECEIVED,
    RESUME_SLIP,
    TOKEN_SLIP,
    encode_conversation_command,
)
from airy_identify.wire.generations import GENERATION_RECORD, encode_generation
from airy_identify.wire.rows import (
    CONTACT_ROW,
    CONVERSATION_ROW,
    FORGOTTEN_ROW,
    GONE_ROW,
    MERGE_ROW,
    OWNER_ROW,
    PROGRESS_ROW,
    Progress,
    encode_conversation_row,
    encode_identity_row,
    encode_progress,
)
from airy_identify.wire.skips import SKIP_RECORD, encode_skip
from tests import builders as make

GOLDEN = Path(__file__).parent / "golden"

_EMAIL = make.make_email("anna@example.org", verified=False)
_PHONE_NUMBER = make.make_phone_number("+5215512345678", key="+525512345678", verified=False)
_IDENTIFIERS = make.make_custom({"device_id": ["d-1", "d-2"]})
_METADATA = {"plan": "pro", "deep": {"ä": [1, 2.5, True, None]}}
_MESSAGE = make.make_message(
    id="m-1",
    conversation_id="c-1",
    channel_id="ch-1",
    source="chatplugin",
    sender_id="s-1",
    is_from_contact=True,
    delivery_state="FAILED",
    content='{"text":"Grüße"}',
    sent_at_ms=1_700_000_000_123,
    updated_at_ms=1_700_000_000_456,
)
_CONVERSATION = make.make_contact_conversation(id="c-1", channel_id="ch-1", source="chatplugin", created_at_ms=1_001)
_REPLY_TO = make.make_reply_to(topic="t", partition=3, correlation_id=b"\x00\xff")
_VIEW = make.make_contact_view(
    id="k-1",
    external_id="e-1",
    email="anna@example.org",
    phone_number="+491701234567",
    identifiers=_IDENTIFIERS,
    display_name="display",
    first_name="first",
    last_name="last",
    avatar_url="avatar",
    metadata=_METADATA,
    unverified=("email",),
    created_at_ms=1_002,
    updated_at_ms=1_003,
)
COMMAND = make.make_identify_command(
    request_id="r-1",
    tenant="t-1",
    accepted_at_ms=1_700_000_000_000,
    new_id="n-1",
    rules_version=1,
    channel_id="ch-1",
    channel_source="chatplugin",
    reply_to=_REPLY_TO,
    external_id="e-1",
    email=_EMAIL,
    phone_number=_PHONE_NUMBER,
    identifiers=_IDENTIFIERS,
    metadata=_METADATA,
    attach=make.make_attach("c-1"),
    on_conflict=OnConflict.REJECT,
    dry_run=True,
    explain=False,
)
SLIP = make.make_resume_slip(
    request_id="r-1",
    tenant="t-1",
    accepted_at_ms=1_700_000_000_000,
    reply_to=_REPLY_TO,
    contact=_VIEW,
    created_contact=True,
    created_conversation=False,
    merged=("k-2",),
    warnings=(make.make_warned(message="words", field="phone_number"),),
    minted="c-2",
    pending=(make.make_contact_conversation(id="c-2"),),
    summaries=(make.make_conversation_summary(conversation=_CONVERSATION, last_message=_MESSAGE),),
    truncated=True,
    dry_run=False,
    explanation=make.make_explanation(),
    details=make.make_details(
        aliases=("k-3",),
        journal=(make.make_journal_entry(request_id="r-0", offset=2**40, survivor_before=_VIEW),),
    ),
)
CONTACT = make.make_contact(
    id="k-1",
    created_at_ms=1_002,
    updated_at_ms=1_003,
    known=True,
    external_id="e-1",
    former_external_ids=("e-0",),
    email=_EMAIL,
    phone_number=_PHONE_NUMBER,
    identifiers=_IDENTIFIERS,
    metadata=_METADATA,
    conversations=(_CONVERSATION,),
    aliases=("k-0",),
    merge_count=7,
    separations=(make.make_separation("k-0", "k-9"),),
)
MERGED = make.make_merged(
    survivor=CONTACT,
    merged=make.make_contact(id="k-2", phone_number="+491"),
    why="email",
    request_id="r-1",
    offset=2**40,
    alone=False,
    replaced_email=_EMAIL,
    replaced_phone_number=_PHONE_NUMBER,
)
ASKED = {"request_id": "r-1", "tenant": "t-1", "reply_to": _REPLY_TO}
INFO = make.make_contact_info(
    request_id="r-1",
    contact=_VIEW,
    conversations=(make.make_conversation_summary(conversation=_CONVERSATION, last_message=_MESSAGE),),
    details=SLIP.details,
    truncated=True,
)
CONVERSATION = make.make_conversation(
    id="c-1", channel_id="ch-1", source="chatplugin", created_at_ms=1_001, last_message=_MESSAGE, first_sent_at_ms=999
)
_FACT = make.make_fact(
    "via.email",
    "text",
    at_ms=1_002,
    identifiers=make.make_airy_identifiers(external_id="e-1", email=_EMAIL, phone_number=_PHONE_NUMBER),
    merged=(make.make_airy_source("k-0", created_at_ms=1_003, external_id="e-0"),),
    own=True,
)
_SEEN = make.make_seen_conversation(channel_id="ch-1", created_at_ms=1_001)
ANSWER = make.make_identified(
    request_id="r-1",
    contact=_VIEW,
    conversations=(
        make.make_conversation_summary(conversation=_CONVERSATION, last_message=_MESSAGE),
        make.make_conversation_summary(
            conversation=make.make_contact_conversation(id="c-2"), last_message=make.make_message(content=None)
        ),
    ),
    created_contact=False,
    created_conversation=True,
    merged=("k-2",),
    warnings=(make.make_warned(),),
    truncated=True,
    explanation=make.make_explanation(),
)


def _request() -> bytes:
    return schemas.encode(
        "airy_identify.IdentifyRequest",
        {
            "channel_id": "ch-1",
            "external_id": "e-1",
            "email": "Anna@Example.org",
            "phone_number": "+491701234567",
            "identifiers": {"device_id": ["d-1"], "cookie": "c"},
            "metadata": '{"plan":"pro"}',
            "unverified": ["email"],
            "attach": "token",
            "on_conflict": "reject",
            "dry_run": True,
            "explain": False,
            "tenant": "t-1",
            "request_id": "r-1",
        },
    )


def _response() -> bytes:
    """The answer in Avro is its JSON, with those fields as text whose schema says so."""
    return _avro(answers.identified_body(ANSWER, lambda *_: "token"))


def _avro(body: answers.AnswerBody) -> bytes:
    return schemas.encode(body.schema, _texts(json.loads(answers.encode_answer(body))))


def _texts(value: Any) -> Any:
    """Write the members as text that the schemas have as text: what a caller said, or what Airy wrote."""
    if isinstance(value, list):
        return [_texts(item) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {name: _texts(member) for name, member in value.items()}
    if "content" in value:
        plain["content"] = None if value["content"] is None else json.dumps(value["content"])
        plain.setdefault("truncated", False)
    elif isinstance(value.get("metadata"), dict):
        plain["metadata"] = json.dumps(value["metadata"], separators=(",", ":"))
    return plain


def _small_request(name: str, **fields: Any) -> Callable[[], bytes]:
    return lambda: schemas.encode(f"airy_identify.{name}", fields | {"tenant": "t-1", "request_id": "r-1"})


def _error() -> bytes:
    return schemas.encode(
        answers.ERROR_RESPONSE, {"message": "words", "code": "invalid_field", "field": "email", "request_id": "r-1"}
    )


def _metadata() -> bytes:
    return schemas.encode(
        "co.airy.avro.communication.Metadata",
        {"subject": "contact:k-1", "key": "displayName", "value": "Anna", "valueType": "text", "timestamp": 1_001},
    )


RECORDS: dict[str, Callable[[], bytes]] = {
    "airy_identify.IdentifyRequest": _request,
    IDENTIFY_COMMAND: lambda: encode_command(COMMAND),
    RESUME_SLIP: lambda: encode_conversation_command(SLIP),
    MESSAGE_RECEIVED: lambda: encode_conversation_command(make.make_again(_MESSAGE, tenant="t-1")),
    answers.IDENTIFY_RESPONSE: _response,
    answers.ERROR_RESPONSE: _error,
    "airy_identify.MergeRequest": _small_request("MergeRequest", source_id="k-1", destination_id="k-2"),
    "airy_identify.UnmergeRequest": _small_request("UnmergeRequest", contact_id="k-1"),
    "airy_identify.ReleaseRequest": _small_request("ReleaseRequest", contact_id="k-1", kind="email", value="a@b.cd"),
    "airy_identify.ForgetRequest": _small_request("ForgetRequest", contact_id="k-1"),
    "airy_identify.InfoRequest": _small_request(
        "InfoRequest",
        contact_id="k-1",
        external_id="e-1",
        email="a@b.cd",
        phone_number="+491701234567",
        identifiers={"device_id": "d-1"},
    ),
    "airy_identify.ResumeTokenRequest": _small_request("ResumeTokenRequest", channel_id="ch-1", conversation_id="c-1"),
    MERGE_COMMAND: lambda: encode_command(make.make_merge("k-1", "k-2", **ASKED)),
    UNMERGE_COMMAND: lambda: encode_command(make.make_unmerge("k-1", **ASKED)),
    RELEASE_COMMAND: lambda: encode_command(make.make_release("k-1", "email", "a@b.cd", **ASKED)),
    FORGET_COMMAND: lambda: encode_command(make.make_forget("k-1", **ASKED)),
    INFO_COMMAND: lambda: encode_command(make.make_info("k-1", ("email", "a@b.cd"), **ASKED)),
    RESUME_TOKEN_COMMAND: lambda: encode_command(
        make.make_give_token(channel_id="ch-1", conversation_id="c-1", **ASKED)
    ),
    CONTACT_ROW_RECEIVED: lambda: encode_command(
        make.make_row_received("k-1", _FACT, record_key="key", request_id="r-1", tenant="t-1", own=True)
    ),
    CONVERSATION_SEEN: lambda: encode_command(make.make_conversation_seen("c-1", tenant="t-1", channel_id="ch-1")),
    AIRY_CONTACT_ROW: lambda: encode_identity_row(make.make_airy_contact("k-1", _FACT)),
    AIRY_RECORD_ROW: lambda: encode_identity_row(AiryRecord(contact_id=ContactId("k-1"), key="via.email")),
    AIRY_CLAIMS_ROW: lambda: encode_identity_row(AiryClaims(contact_ids=(ContactId("k-1"), ContactId("k-2")))),
    SEEN_CONVERSATION_ROW: lambda: encode_identity_row(_SEEN),
    GONE_ROW: lambda: encode_identity_row(Gone(contact=CONTACT, gone_at_ms=1_004, next=ContactId("k-2"))),
    GONE_QUEUE_ROW: lambda: encode_identity_row(GoneQueue(first=ContactId("k-1"), last=ContactId("k-2"))),
    TOKEN_SLIP: lambda: encode_conversation_command(
        make.make_token_slip(request_id="r-1", reply_to=_REPLY_TO, channel_id="ch-1", conversation_id="c-1")
    ),
    FORGET_CONVERSATION: lambda: encode_conversation_command(make.make_forget_conversation("c-1")),
    answers.CONTACT_RESPONSE: lambda: _avro(answers.answered_body(make.make_contact_changed(contact=_VIEW))),
    answers.UNMERGE_RESPONSE: lambda: _avro(
        answers.answered_body(make.make_contact_restored(contact=_VIEW, restored=make.make_contact_view(id="k-2")))
    ),
    answers.FORGET_RESPONSE: lambda: _avro(answers.answered_body(make.make_contact_forgotten())),
    answers.INFO_RESPONSE: lambda: _avro(answers.info_body(INFO)),
    answers.RESUME_TOKEN_RESPONSE: lambda: _avro(answers.token_body(make.make_token_given(), lambda *_: "token")),
    MERGE_ROW: lambda: encode_identity_row(MERGED),
    FORGOTTEN_ROW: lambda: encode_identity_row(Forgotten()),
    CONTACT_ROW: lambda: encode_identity_row(CONTACT),
    OWNER_ROW: lambda: encode_identity_row(make.make_owner("k-1")),
    CONVERSATION_ROW: lambda: encode_conversation_row(CONVERSATION),
    PROGRESS_ROW: lambda: encode_progress(Progress(offset=2**40, fingerprint=b"\x01\x02", digest=bytes(range(32)))),
    GENERATION_RECORD: lambda: encode_generation(make.make_generation(handed_over_at=17)),
    SKIP_RECORD: lambda: encode_skip(make.make_skip(passed=True)),
    airy.MESSAGE: lambda: airy.encode_message(_MESSAGE),
    airy.CHANNEL: lambda: airy.encode_channel(make.make_channel()),
    "co.airy.avro.communication.Metadata": _metadata,
}


def plain(value: Any) -> Any:
    """Return a datum as JSON can hold it."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    return [plain(member) for member in value] if isinstance(value, list) else value


def golden_path(data: bytes) -> Path:
    """Return where the golden file of these bytes is: the schema's fingerprint is part of its name."""
    return GOLDEN / f"{schemas.decode(data)[0]}-{data[2:10].hex()}.json"


def write_missing() -> None:
    """Write a golden file for every schema that has none yet."""
    for produce in RECORDS.values():
        data = produce()
        path = golden_path(data)
        if not path.exists():
            record, datum = schemas.decode(data)
            golden = {"record": record, "hex": data.hex(), "datum": plain(datum)}
            path.write_text(json.dumps(golden, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_missing()
