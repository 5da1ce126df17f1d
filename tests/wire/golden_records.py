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
from airy_identify.wire import airy, answers, schemas
from airy_identify.wire.commands import IDENTIFY_COMMAND, encode_command
from airy_identify.wire.conversation_commands import MESSAGE_RECEIVED, RESUME_SLIP, encode_conversation_command
from airy_identify.wire.rows import (
    CONTACT_ROW,
    CONVERSATION_ROW,
    OWNER_ROW,
    PROGRESS_ROW,
    Progress,
    encode_conversation_row,
    encode_identity_row,
    encode_progress,
)
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
)
CONVERSATION = make.make_conversation(
    id="c-1", channel_id="ch-1", source="chatplugin", created_at_ms=1_001, last_message=_MESSAGE
)
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
            "on_conflict": "reject",
            "dry_run": True,
            "explain": False,
            "tenant": "t-1",
            "request_id": "r-1",
        },
    )


def _response() -> bytes:
    """The answer in Avro is its JSON, with those fields as text whose schema says so."""
    answer = json.loads(answers.encode_identified(ANSWER, lambda *_: "token"))
    answer["contact"]["metadata"] = json.dumps(answer["contact"]["metadata"], separators=(",", ":"))
    for conversation in answer["conversations"]:
        message = conversation["last_message"]
        message["content"] = None if message["content"] is None else json.dumps(message["content"])
        message.setdefault("truncated", False)
    return schemas.encode(answers.IDENTIFY_RESPONSE, answer)


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
    MESSAGE_RECEIVED: lambda: encode_conversation_command(_MESSAGE),
    answers.IDENTIFY_RESPONSE: _response,
    answers.ERROR_RESPONSE: _error,
    CONTACT_ROW: lambda: encode_identity_row(CONTACT),
    OWNER_ROW: lambda: encode_identity_row(make.make_owner("k-1")),
    CONVERSATION_ROW: lambda: encode_conversation_row(CONVERSATION),
    PROGRESS_ROW: lambda: encode_progress(Progress(offset=2**40, fingerprint=b"\x01\x02")),
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
