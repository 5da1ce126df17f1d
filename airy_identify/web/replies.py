"""The bridge's two ends of Kafka: commands go into the log, their answers come back on a partition of its own."""

import asyncio
import json
import logging
import secrets
from dataclasses import dataclass

from aiokafka.structs import ConsumerRecord

from airy_identify.core.commands import Command, ReplyTo
from airy_identify.core.reasons import HTTP_STATUS, Reason, Rejected
from airy_identify.kafka import KafkaClients
from airy_identify.topics import TopicNames
from airy_identify.web.answer_reader import AnswerReader
from airy_identify.web.asking import Answer
from airy_identify.web.command_log import CommandLog
from airy_identify.web.errors import INTERNAL_CODE, INTERNAL_STATUS
from airy_identify.web.kafka_link import KafkaLinkError
from airy_identify.web.pending import PendingAnswers
from airy_identify.wire.answers import ACCEPTED_SCHEMAS, ANSWER_SCHEMA_HEADER
from airy_identify.wire.commands import encode_command
from airy_identify.wire.headers import CORRELATION_ID

logger = logging.getLogger(__name__)

_CORRELATION_ID_BYTES = 16
_RETRY_S = 0.5
_OUTAGE_BACKOFF_MS = 100
"""How often aiokafka tries again: seldom enough that an outage does not fill the log with its own lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskLimits:
    """How many requests may wait for an answer, and how long.

    `append_timeout_s` is the part of it that Kafka may take to accept the command: a caller learns in this time that
    Kafka is down, not only after `answer_timeout_s`.
    """

    pending_max: int = 1000
    answer_timeout_s: float = 5.0
    append_timeout_s: float = 2.0


class KafkaAsker:
    """An `Asker` through real topics.

    It starts without Kafka, is `unavailable` while either end has a problem, and mends itself. No command is sent
    before the place in the partition of the answers is known, so no answer can be missed.
    """

    def __init__(
        self,
        clients: KafkaClients,
        topics: TopicNames,
        *,
        limits: AskLimits,
        retry_s: float = _RETRY_S,
    ) -> None:
        """Append to `identity-commands` and await answers on `identify-bridge-responses`."""
        self._limits = limits
        self._responses_topic = topics.bridge_responses
        self._pending = PendingAnswers(limits.pending_max)
        append_timeout_s = min(limits.append_timeout_s, limits.answer_timeout_s)
        self._log = CommandLog(
            lambda: clients.idempotent_producer(request_timeout_ms=round(append_timeout_s * 1000)),
            topics.identity_commands,
            append_timeout_s=append_timeout_s,
            retry_s=retry_s,
        )
        self._reader = AnswerReader(
            lambda: clients.consumer(read_committed=False, retry_backoff_ms=_OUTAGE_BACKOFF_MS),
            topics.bridge_responses,
            self._deliver,
            retry_s=retry_s,
        )

    def start(self) -> None:
        """Start both ends. They connect by themselves, now or when Kafka is there."""
        self._reader.start()
        self._log.start()

    async def stop(self) -> None:
        """Close both ends within bounded time. Whoever still waits runs into its time-out; stop the server first."""
        await asyncio.gather(self._log.stop(), self._reader.stop())

    def problems(self) -> list[str]:
        """Return why nothing can be asked now; empty when all is well."""
        return [link.problem for link in (self._reader, self._log) if link.problem is not None]

    @property
    def pending(self) -> int:
        """How many requests wait for an answer."""
        return len(self._pending)

    def reply_to(self) -> ReplyTo:
        """Return a fresh address; without a partition while there is none, and then `ask` refuses it."""
        return ReplyTo(
            topic=self._responses_topic,
            partition=self._reader.partition,
            correlation_id=secrets.token_bytes(_CORRELATION_ID_BYTES),
        )

    async def ask(self, command: Command) -> Answer | Rejected:
        """Append the command and return its answer; see `Asker`."""
        deadline = asyncio.get_running_loop().time() + self._limits.answer_timeout_s
        if self._pending.full:
            return _unavailable(f"Already {len(self._pending)} requests wait for an answer. Try again later.")
        if self.problems() or command.reply_to.partition is None:
            return _unavailable("Kafka does not answer, so the request was not accepted. Try again later.")
        with self._pending.expect(command.reply_to.correlation_id) as answer:
            try:
                await self._log.append(command.tenant.encode(), encode_command(command))
            except KafkaLinkError:
                if not answer.done():
                    return _unavailable("Kafka did not confirm the request. It is safe to send it again.")
            left_s = deadline - asyncio.get_running_loop().time()
            await asyncio.wait({answer}, timeout=max(0.0, left_s))
            return answer.result() if answer.done() else _timeout(self._limits.answer_timeout_s)

    def _deliver(self, record: ConsumerRecord) -> None:
        headers = dict(record.headers)  # of doubled headers the last counts
        waiting = self._pending.find(headers.get(CORRELATION_ID))
        if waiting is None:  # a duplicate, a late one, another bridge's
            return
        body = record.value or b""
        waiting.set_result(_answer(headers.get(ANSWER_SCHEMA_HEADER), body))


def _answer(schema: bytes | None, body: bytes) -> Answer:
    """Return the answer with its HTTP status. Only an error has to be read for it, and errors are short.

    A code that this bridge does not know yet (its workers may be newer) is passed on as an internal error.
    """
    if (schema or b"").decode(errors="replace") in ACCEPTED_SCHEMAS:
        return Answer(body=body, status=200)
    try:
        reason = Reason(json.loads(body)["code"])
    except (ValueError, KeyError, TypeError):
        logger.warning("an answer has an error code that this version does not know")
        return Answer(body=body, status=INTERNAL_STATUS, code=INTERNAL_CODE)
    return Answer(body=body, status=HTTP_STATUS[reason], code=reason.value)


def _unavailable(message: str) -> Rejected:
    return Rejected(reason=Reason.UNAVAILABLE, message=message)


def _timeout(timeout_s: float) -> Rejected:
    message = (
        f"No answer within {timeout_s:g} s. The request may still be applied; "
        "it is safe to send it again with the same Idempotency-Key."
    )
    return Rejected(reason=Reason.TIMEOUT, message=message)
