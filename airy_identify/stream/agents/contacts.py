"""The agent of Airy's topic `contacts`: re-keys each row by tenant, into the log. It must not look into state.

The rows of one key are in one partition, so they reach the log in their order; those of one contact are spread over all
of them, and reach it in any.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aiokafka.structs import ConsumerRecord

from airy_identify.core.reasons import Rejected
from airy_identify.core.values import RequestId
from airy_identify.intake.contact_rows import ContactRows
from airy_identify.stream.agents import trail
from airy_identify.stream.agents.replies import DeadLetters
from airy_identify.stream.batch import Batch
from airy_identify.topics import TopicNames
from airy_identify.wire.commands import encode_command
from airy_identify.wire.headers import is_own_row


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactsAgent:
    """Processes rows of Airy's contacts."""

    names: TopicNames
    rows: ContactRows
    dead_letters: DeadLetters
    now_ms: Callable[[], int]

    def process(self, record: ConsumerRecord, batch: Batch) -> None:
        """Append what the row says to the log; a row that says nothing that counts is passed over."""
        request_id = RequestId(f"{record.topic}-{record.partition}-{record.offset}")
        accepted = self.rows.accept(
            record.key,
            record.value,
            request_id=request_id,
            accepted_at_ms=self.now_ms(),
            own=is_own_row(record.headers),
        )
        if accepted is None:
            return
        if isinstance(accepted, Rejected):
            self.dead_letters.send(batch, record, accepted, self.now_ms())
            return
        trail.passed(batch, request_id, "contact row accepted")
        batch.send(self.names.identity_commands, accepted.tenant.encode(), encode_command(accepted))
