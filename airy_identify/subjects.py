"""The subjects under which the schema registry has our records, declared once: those of requests and of answers.

A topic has several records, so each has a subject of its own, `<topic>-<record>` (Confluent's TopicRecordNameStrategy).
`IdentifyRequest` is under `<topic>-value` besides, where serializers look that were told nothing.
"""

import functools
import json
from collections.abc import Mapping

from airy_identify.topics import TopicNames
from airy_identify.wire.answers import ANSWER_RECORDS
from airy_identify.wire.schemas import schema_directory

COMPATIBILITY = "FULL_TRANSITIVE"
"""What each of our subjects demands: readers and writers of every version understand each other."""

IDENTIFY_REQUEST = "airy_identify.IdentifyRequest"
REQUEST_RECORDS = (
    IDENTIFY_REQUEST,
    "airy_identify.InfoRequest",
    "airy_identify.MergeRequest",
    "airy_identify.UnmergeRequest",
    "airy_identify.ReleaseRequest",
    "airy_identify.ForgetRequest",
    "airy_identify.ResumeTokenRequest",
)


def subjects_of(names: TopicNames) -> Mapping[str, str]:
    """Return our subjects, and the full name of the record that each holds."""
    subjects = {f"{names.requests}-value": IDENTIFY_REQUEST}
    subjects |= {f"{names.requests}-{record}": record for record in REQUEST_RECORDS}
    return subjects | {answer_subject(names, record): record for record in ANSWER_RECORDS}


def answer_subject(names: TopicNames, record: str) -> str:
    """Return the subject of a record of answers. Answers on other reply topics have the same schema ids."""
    return f"{names.responses}-{record}"


def contacts_subject(names: TopicNames) -> str:
    """Return the subject of rows of Airy's contacts. It is Airy's: its serializers look there, and fill it too."""
    return f"{names.airy_contacts}-value"


def contacts_schema_text() -> str:
    """Return the schema of rows of Airy's contacts as the registry gets it from us."""
    return _text("AiryMetadata")


@functools.cache
def schema_text(record: str) -> str:
    """Return today's schema of a record as the registry gets it: always the same text."""
    return _text(record.rpartition(".")[2])


def _text(file: str) -> str:
    path = schema_directory() / f"{file}.avsc"
    return json.dumps(json.loads(path.read_text(encoding="utf-8")), ensure_ascii=False, separators=(",", ":"))
