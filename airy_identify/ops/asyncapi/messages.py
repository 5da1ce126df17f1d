"""The messages of the AsyncAPI document: payloads, keys, headers and examples, record by record."""

from collections.abc import Iterable
from typing import Any, TypeAlias

from airy_identify.core.reasons import Reason
from airy_identify.intake.accept import IDENTIFY
from airy_identify.intake.json_schema import answer_schemas, avro_schema, request_schema
from airy_identify.wire.answers import ANSWER_SCHEMA_HEADER
from airy_identify.wire.headers import (
    CORRELATION_ID,
    DEAD_LETTER_CODE,
    DEAD_LETTER_OFFSET,
    DEAD_LETTER_PARTITION,
    DEAD_LETTER_TEXT,
    DEAD_LETTER_TIME,
    DEAD_LETTER_TOPIC,
    REPLY_PARTITION,
    REPLY_TOPIC,
)

Document: TypeAlias = dict[str, Any]

BINDING_VERSION = "0.5.0"
AVRO = "Avro"
"""Ends the names of messages and schemas in Avro; the same name without it is JSON."""
ERROR = "ErrorResponse"
DEAD_LETTER = "DeadLetter"

REQUESTS = {
    IDENTIFY: ("IdentifyRequest", "IdentifyResponse"),
    "info": ("InfoRequest", "InfoResponse"),
    "merge": ("MergeRequest", "ContactResponse"),
    "unmerge": ("UnmergeRequest", "UnmergeResponse"),
    "release": ("ReleaseRequest", "ContactResponse"),
    "forget": ("ForgetRequest", "ForgetResponse"),
    "resume_token": ("ResumeTokenRequest", "ResumeTokenResponse"),
}
"""The records that ask for each command, and that answer it."""

_OF_HTTP_ONLY = {
    Reason.UNAUTHORIZED,
    Reason.NOT_FOUND,
    Reason.METHOD_NOT_ALLOWED,
    Reason.BODY_TOO_LARGE,
    Reason.UNSUPPORTED_MEDIA_TYPE,
    Reason.RATE_LIMITED,
    Reason.UNAVAILABLE,
    Reason.TIMEOUT,
}
_AVRO_SCHEMA = "application/vnd.apache.avro+json;version=1.9.0"
_JSON_TYPE, _AVRO_TYPE = "application/json", "avro/binary"
_SINGLE_OBJECT = "Avro single-object encoding: C3 01, the schema's CRC-64-AVRO fingerprint, the datum."
_BYTES = {"type": "string", "format": "binary"}
_CORRELATION = {"location": f"$message.header#/{CORRELATION_ID}"}
_REQUEST_HEADERS = {
    "type": "object",
    "description": "As Spring's ReplyingKafkaTemplate 3.x writes them. Of doubled ones the last counts.",
    "properties": {
        REPLY_TOPIC: {
            "type": "string",
            "description": (
                "UTF-8. Where the answer goes; `identify-responses` when absent. A topic that the service does not "
                "allow (AIRY_IDENTIFY_REPLY_TOPICS): the request is not applied and goes to the dead letters."
            ),
        },
        REPLY_PARTITION: _BYTES
        | {
            "description": "4 bytes, big-endian, signed. As if absent when it has another length or is out of range.",
        },
        CORRELATION_ID: _BYTES | {"description": "Any bytes, usually 16 random ones. The answer carries them."},
    },
}
_EXAMPLES: dict[str, Document] = {
    "IdentifyRequest": {
        "channel_id": "7f1ad1c5-0f0c-4d1f-8f3c-1d5f8a8a6f10",
        "external_id": "user-4711",
        "email": "anna@example.org",
        "metadata": {"first_name": "Anna"},
        "request_id": "login-2024-11-22-4711",
    },
    "InfoRequest": {"command": "info", "external_id": "user-4711"},
    "MergeRequest": {
        "command": "merge",
        "source_id": "0b3a9a52-6d2b-5c3f-9a54-0f6b1c2d3e4f",
        "destination_id": "e5fc97f1-2f2d-53c5-85c7-97a83b17e9ff",
    },
    "UnmergeRequest": {"command": "unmerge", "contact_id": "0b3a9a52-6d2b-5c3f-9a54-0f6b1c2d3e4f"},
    "ReleaseRequest": {
        "command": "release",
        "contact_id": "e5fc97f1-2f2d-53c5-85c7-97a83b17e9ff",
        "kind": "email",
        "value": "anna@example.org",
    },
    "ForgetRequest": {"command": "forget", "contact_id": "e5fc97f1-2f2d-53c5-85c7-97a83b17e9ff"},
    "ResumeTokenRequest": {
        "command": "resume_token",
        "channel_id": "7f1ad1c5-0f0c-4d1f-8f3c-1d5f8a8a6f10",
        "conversation_id": "98ce13ef-5469-4db3-af62-579be61cfaa4",
    },
}
"""One good request of each kind, as JSON."""


def request_messages() -> tuple[dict[str, Document], dict[str, Document]]:
    """Return the messages that may be put on `identify-requests`, in both formats, and their schemas, by name."""
    messages: dict[str, Document] = {}
    schemas: dict[str, Document] = {}
    for command, (record, _) in REQUESTS.items():
        schema = request_schema(record, over_kafka=True)
        named = {"const": command, "description": "Names the command; without it, `identify` is meant."}
        schema["properties"] = {"command": named} | schema["properties"]
        if command != IDENTIFY:
            schema["required"] = ["command", *schema["required"]]
        common = {"headers": _REQUEST_HEADERS, "correlationId": _CORRELATION, "bindings": _key("Any key, or none.")}
        example = {"name": command, "payload": _EXAMPLES[record]}
        messages[record] = _json_message(record, schema["description"]) | common | {"examples": [example]}
        messages[record + AVRO] = _avro_message(record, schema["description"]) | common
        schemas |= {record: schema, record + AVRO: _avro_schema(record)}
    return messages, schemas


def answer_messages() -> tuple[dict[str, Document], dict[str, Document]]:
    """Return the messages that answer requests, in both formats, and their schemas, by name."""
    messages: dict[str, Document] = {}
    schemas: dict[str, Document] = {}
    for record in (*dict.fromkeys(answer for _, answer in REQUESTS.values()), ERROR):
        parts = answer_schemas(record)
        if record == ERROR:
            codes = [reason.value for reason in Reason if reason not in _OF_HTTP_ONLY]
            parts[ERROR]["properties"]["code"] |= {"enum": codes}
        schemas |= parts | {record + AVRO: _avro_schema(record)}
        described = avro_schema(record)["doc"]
        common = {
            "headers": _answer_headers(record),
            "correlationId": _CORRELATION,
            "bindings": _key("The request id."),
        }
        messages[record] = _json_message(record, described) | common
        messages[record + AVRO] = _avro_message(record, described) | common
    return messages, schemas


def avro_messages(records: Iterable[str], key: str) -> tuple[dict[str, Document], dict[str, Document]]:
    """Return messages of our own topics, which are always Avro, and their schemas; `key` describes their keys."""
    messages = {
        record + AVRO: _avro_message(record, avro_schema(record)["doc"]) | {"bindings": _key(key)} for record in records
    }
    return messages, {record + AVRO: _avro_schema(record) for record in records}


def airy_message(record: str, key: str) -> Document:
    """Return a message of Airy's topics."""
    told = f"{avro_schema(record)['doc']} In Confluent's wire format, as Airy writes it."
    return _avro_message(record, told) | {"bindings": _key(key)}


def dead_letter_message() -> Document:
    """Return the message of the dead letters: any bytes, and where they came from and why in the headers."""
    told = {
        DEAD_LETTER_TOPIC: "The topic that the record came from.",
        DEAD_LETTER_PARTITION: "Its partition there, in decimal.",
        DEAD_LETTER_OFFSET: "Its offset there, in decimal.",
        DEAD_LETTER_CODE: "Why it could not be processed: a code, as in errors.",
        DEAD_LETTER_TEXT: "The same for people.",
        DEAD_LETTER_TIME: "When, in ISO 8601 with milliseconds and Z.",
    }
    return {
        "name": DEAD_LETTER,
        "summary": "A record that could not be processed, byte for byte.",
        "contentType": "application/octet-stream",
        "payload": _BYTES,
        "headers": {
            "type": "object",
            "description": "The record's own headers, and after them ours.",
            "required": list(told),
            "properties": {name: {"type": "string", "description": text} for name, text in told.items()},
        },
        "bindings": _key("The key of the record."),
    }


def _answer_headers(record: str) -> Document:
    return {
        "type": "object",
        "required": [CORRELATION_ID, ANSWER_SCHEMA_HEADER],
        "properties": {
            CORRELATION_ID: _BYTES
            | {"description": "That of the request, unchanged; without one, the bytes of the request id."},
            ANSWER_SCHEMA_HEADER: {
                "const": f"{avro_schema(record)['namespace']}.{record}",
                "description": "The full name of the record.",
            },
        },
    }


def _json_message(record: str, summary: str) -> Document:
    return _message(record, summary, _JSON_TYPE, "JSON: the plain form of the Avro record.")


def _avro_message(record: str, summary: str) -> Document:
    return _message(record + AVRO, summary, _AVRO_TYPE, _SINGLE_OBJECT)


def _message(name: str, summary: str, content_type: str, description: str) -> Document:
    return {
        "name": name,
        "summary": summary,
        "description": description,
        "contentType": content_type,
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }


def _avro_schema(record: str) -> Document:
    return {"schemaFormat": _AVRO_SCHEMA, "schema": avro_schema(record)}


def _key(description: str) -> Document:
    return {"kafka": {"key": {"type": "string", "description": description}, "bindingVersion": BINDING_VERSION}}
