"""docs/airy-contacts.md is run: every example, against the page's own words, through intake and both tables."""

import asyncio
import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from airy_identify.core.commands import ContactRowReceived
from airy_identify.core.erasing import airy_record_key
from airy_identify.core.reasons import HTTP_STATUS, Reason, Rejected
from airy_identify.core.values import AiryKey, ContactId, ConversationId, RequestId, TenantId
from airy_identify.intake.accept import accept
from airy_identify.intake.contact_rows import ContactRows
from airy_identify.intake.policy import IntakePolicy, Request, Stamp
from airy_identify.wire.airy import ContactRow, encode_contact_row
from airy_identify.wire.resume_token import ResumeTokenSigner
from airy_identify.wire.rows import decode_identity_key, decode_identity_row
from tests.builders import ACCEPTED_AT_MS, CHANNEL_ID, make_channel, make_channels, make_message, make_reply_to
from tests.kafka.rule_examples import TOLD, Example, Run, read_examples, texts_of
from tests.kafka.service import Answer, Tenant
from tests.model.service import InMemoryService

PAGE = Path(__file__).parents[2] / "docs" / "airy-contacts.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = read_examples(TEXT)
CHANNELS = make_channels(make_channel(id=CHANNEL_ID))
ROWS = ContactRows(tenant=TenantId("default"))


class InMemoryDoor:
    """Asks the agents, and tells them what Airy tells."""

    def __init__(self) -> None:
        self.service = InMemoryService()
        self._asked = 0

    async def ask(self, command: str, fields: Mapping[str, Any]) -> tuple[int, Answer]:
        self._asked += 1
        if command in TOLD:
            self._tell(command, {name: value for name, value in fields.items() if name != "tenant"})
            return 0, {}
        request_id = RequestId(f"request-{self._asked}")
        request = Request(
            fields=fields,
            request_id=request_id,
            stamp=Stamp(accepted_at_ms=ACCEPTED_AT_MS + self._asked, new_id=ConversationId(str(uuid.uuid4()))),
            reply_to=make_reply_to(),
            channels=CHANNELS,
            policy=IntakePolicy(),
        )
        accepted = accept(request, command)
        assert not isinstance(accepted, Rejected), accepted
        answer = json.loads(self.service.ask(accepted))
        return (HTTP_STATUS[Reason(answer["code"])] if "code" in answer else 200), answer

    def _tell(self, what: str, fields: dict[str, Any]) -> None:
        if what == "message":
            source = fields.get("source", "chatplugin")
            chat = fields["conversation"]
            message = make_message(conversation_id=chat, channel_id=CHANNEL_ID, source=source, tenant="default")
            self.service.tell(message, chat)
            return
        contact_id = fields.pop("contact")
        for key, value in fields.items():
            record = ContactRow(subject=f"contact:{contact_id}", key=key, value=value or "", timestamp_ms=1)
            received = ROWS.accept(
                airy_record_key(ContactId(contact_id), key).encode(),
                None if value is None else encode_contact_row(record),
                request_id=RequestId(f"contacts-0-{self._asked}"),
                accepted_at_ms=ACCEPTED_AT_MS,
                own=False,
            )
            assert isinstance(received, ContactRowReceived)
            self.service.observe(received)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_the_example_is_true(example: Example) -> None:
    run = Run(example, Tenant("default", CHANNEL_ID, "none"), ResumeTokenSigner(bytes(32)))
    for step in example.steps:
        if step.what in TOLD:
            texts = [*step.body, *texts_of(step.body)]
            names = [name for text in texts for name in re.findall(r"<([^<>]+)>", text)]
            run.ids |= {name: str(uuid.uuid4()) for name in names if name not in run.ids}
    door = InMemoryDoor()
    asyncio.run(run.through(door))
    rows = {decode_identity_key(key): decode_identity_row(row) for key, row in door.service.identity.items()}
    run.assert_table({key: row for key, row in rows.items() if not isinstance(key, AiryKey)})


def test_every_rule_has_its_example() -> None:
    headings = re.findall(r"^### (.+)$", TEXT, flags=re.MULTILINE)
    assert [example.rule for example in EXAMPLES] == headings
    assert len(headings) >= len(EXAMPLES) > 0
    assert TEXT.count("```") == 2 * len(EXAMPLES)
