import logging
from typing import Any

import pytest

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import RequestId
from airy_identify.stream.agents import trail
from airy_identify.stream.batch import Batch
from tests.records import make_record

REJECTED = Rejected(reason=Reason.INVALID_EMAIL, message="quotes jane@example.org", field="identifiers.jane")
RECORD = make_record(offset=7)
PLACE = f"{RECORD.topic}:{RECORD.partition}:7"


def batch() -> Batch:
    made = Batch([RECORD], {}, {})
    made.current = RECORD
    return made


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, dict[str, Any]]]:
    names = ("request_id", "code", "record")
    return [
        (line.levelname, line.getMessage(), {name: vars(line)[name] for name in names if name in vars(line)})
        for line in caplog.records
    ]


def test_what_goes_well_is_told_at_debug_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trail.passed(batch(), RequestId("r-1"), "answer sent")
    assert told(caplog) == []

    caplog.set_level(logging.DEBUG)
    trail.passed(batch(), RequestId("r-1"), "answer sent")
    assert told(caplog) == [("DEBUG", "answer sent", {"request_id": "r-1", "record": PLACE})]


def test_refusals_and_dead_letters_tell_their_code_and_place_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trail.refused(batch(), RequestId("r-1"), REJECTED)
    trail.dead_lettered(RECORD, REJECTED.reason.value)

    where = {"code": "invalid_email", "record": PLACE}
    assert told(caplog) == [
        ("INFO", "request refused", {"request_id": "r-1", **where}),
        ("WARNING", "record put on the dead letters", {"request_id": PLACE.replace(":", "-"), **where}),
    ]
    assert "jane" not in str([vars(line) for line in caplog.records])
