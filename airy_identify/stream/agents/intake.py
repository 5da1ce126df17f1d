"""The agent of `identify-requests`: one request becomes one command, one refusal or one dead letter.

It must not decide about identity. What must not be decided later is stamped here: the time, a random id.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiokafka.structs import ConsumerRecord

from airy_identify.core.reasons import Rejected
from airy_identify.core.values import RequestId
from airy_identify.intake.accept import accept
from airy_identify.intake.channels import Channels
from airy_identify.intake.policy import IntakePolicy, Request, Stamp
from airy_identify.intake.requests import format_of, is_request_id, parse_request, request_id_of
from airy_identify.stream.agents import trail
from airy_identify.stream.agents.replies import DeadLetters, send_error
from airy_identify.stream.batch import Batch
from airy_identify.topics import TopicNames
from airy_identify.wire.answers import SchemaIds
from airy_identify.wire.commands import encode_command
from airy_identify.wire.confluent import WriterSchemas
from airy_identify.wire.headers import read_reply, read_request_id


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeAgent:
    """Processes requests. `partitions` are the numbers of partitions of the topics that answers may go to.

    `writers` are the schemas that the registry has, null when there is no registry; `schema_ids` are the registry's ids of the records of answers.
    """

    names: TopicNames
    channels: Channels
    policy: IntakePolicy
    reply_topics: frozenset[str]
    dead_letters: DeadLetters
    partitions: Mapping[str, int]
    stamp: Callable[[], Stamp]
    writers: WriterSchemas | None = None
    schema_ids: SchemaIds = field(default_factory=dict)

    def process(self, record: ConsumerRecord, batch: Batch) -> None:
        """Append the command to the log, or refuse the request."""
        origin = _default_request_id(record)
        stamp = self.stamp()
        headers = read_reply(
            record.headers,
            default_topic=self.names.responses,
            allowed_topics=self.reply_topics,
            partition_counts=self.partitions,
        )
        if isinstance(headers, Rejected):
            self.dead_letters.send(batch, record, headers, stamp.accepted_at_ms)
            return
        answer_format = format_of(record.value, self.writers)
        parsed = parse_request(record.value, self.writers)
        if isinstance(parsed, Rejected):
            self.dead_letters.send(batch, record, parsed, stamp.accepted_at_ms)
            if headers.correlation_id is not None:  # somebody waits
                send_error(batch, headers.reply_to(origin, answer_format), origin, parsed, self.schema_ids)
            return
        given_id = request_id_of(parsed.fields)
        request_id = origin if given_id is None or isinstance(given_id, Rejected) else RequestId(given_id)
        reply_to = headers.reply_to(request_id, answer_format)
        if isinstance(given_id, Rejected):
            send_error(batch, reply_to, request_id, given_id, self.schema_ids)
            return
        request = Request(
            fields=parsed.fields,
            request_id=request_id,
            stamp=stamp,
            reply_to=reply_to,
            channels=self.channels,
            policy=self.policy,
        )
        command = accept(request, parsed.command)
        if isinstance(command, Rejected):
            send_error(batch, reply_to, request_id, command, self.schema_ids)
        else:
            trail.passed(batch, request_id, "request accepted")
            batch.send(self.names.identity_commands, command.tenant.encode(), encode_command(command))


def _default_request_id(record: ConsumerRecord) -> RequestId:
    """Return the id of a request that does not say its own: where it lies, or lay when it was first read."""
    before = read_request_id(record.headers)
    if before is not None and is_request_id(before):
        return RequestId(before)
    return RequestId(f"{record.topic}-{record.partition}-{record.offset}")
