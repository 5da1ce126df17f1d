"""The trail of a request through the log of the process: a line wherever it passes, found by its request id.

What goes well is told at DEBUG, since a line for each record costs more than the record; what is refused or put aside
is told at INFO and above. No line says more of a request than its id, its place and a code.

A line is written when a record is processed. A batch that is rolled back comes again, and its lines with it.
"""

import logging

from aiokafka.structs import ConsumerRecord

from airy_identify.core.reasons import Rejected
from airy_identify.core.values import RequestId
from airy_identify.stream.batch import Batch

logger = logging.getLogger(__name__)


def passed(batch: Batch, request_id: RequestId, what: str) -> None:
    """Tell at DEBUG that the request has come through here."""
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug(what, extra={"request_id": request_id, "record": _place(batch.current)})


def refused(batch: Batch, request_id: RequestId, rejected: Rejected) -> None:
    """Tell at INFO that the request was refused. Not why in words: those may quote what the caller sent."""
    logger.info(
        "request refused",
        extra={"request_id": request_id, "code": rejected.reason.value, "record": _place(batch.current)},
    )


def dead_lettered(record: ConsumerRecord, code: str) -> None:
    """Tell, as a warning, of a dead letter. The id of a request that could not be read is its place."""
    request_id = f"{record.topic}-{record.partition}-{record.offset}"
    logger.warning(
        "record put on the dead letters",
        extra={"request_id": request_id, "code": code, "record": _place(record)},
    )


def _place(record: ConsumerRecord | None) -> str | None:
    return None if record is None else f"{record.topic}:{record.partition}:{record.offset}"
