"""The OpenAPI 3.1 document of the bridge."""

from typing import Any

from airy_identify.core.reasons import HTTP_STATUS, Reason
from airy_identify.intake.client_secrets import AUDIENCE, JWT_LIFETIME_S_MAX
from airy_identify.intake.json_schema import JsonSchema, answer_schemas, request_schema
from airy_identify.intake.requests import REQUEST_ID_CHARACTERS_MAX
from airy_identify.web.errors import INTERNAL_CODE, INTERNAL_STATUS, MALFORMED_CODE, MALFORMED_STATUS
from airy_identify.web.openapi.answers import ANSWERS, error_example
from airy_identify.web.openapi.operations import EVERY_COMMAND, OPERATIONS, Operation

INTERFACE_VERSION = "1.0.0"
"""Of the interface, not of the program: the second number grows with every addition."""

ERROR = "ErrorResponse"

_STATUS_TEXT = {
    200: "Done.",
    400: "Something about the request has to be mended; `field` names it.",
    401: "The header `Authorization` carries neither the system token nor a client's.",
    403: "The client may not use this command, tenant or channel; `field` names it. Nothing was looked up.",
    404: "What the request names is not there.",
    405: "Another method is needed; the header `Allow` says which.",
    409: "The rules do not allow it; nothing was written.",
    413: "The body is larger than 64 KiB.",
    415: "The body has to be `application/json` in UTF-8.",
    429: "Too many requests.",
    500: "A defect of the service; the log has the details under this request id.",
    503: "Kafka is down, state is being restored, or too many requests wait.",
    504: "No answer in time. It may still be applied: the same `Idempotency-Key` is safe to send again.",
}
_RETRY_AFTER = {
    "description": "Seconds after which to try again.",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
}
_SECURITY_SCHEMES: dict[str, JsonSchema] = {
    "systemToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "The system token, with the word Bearer in any case or without it. It may use everything.",
    },
    "clientSecret": {
        "type": "http",
        "scheme": "bearer",
        "description": "`<name>.<secret>` of a client that the service has been told of, with its own scope.",
    },
    "clientJwt": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": (
            f"A JWT that a client signs (RS256, ES256 or EdDSA): `iss` its name, `aud` `{AUDIENCE}`, `iat`, and `exp` "
            f"at most {JWT_LIFETIME_S_MAX} s later."
        ),
    },
}
_HEADERS: dict[int, JsonSchema] = {
    401: {
        "WWW-Authenticate": {
            "description": "Names the scheme Bearer.",
            "required": True,
            "schema": {"const": "Bearer"},
        },
    },
    405: {
        "Allow": {"description": "Lists the methods that are allowed.", "required": True, "schema": {"type": "string"}}
    },
    415: {
        "Accept": {
            "description": "Names the media type to send.",
            "required": True,
            "schema": {"const": "application/json"},
        },
    },
    429: {"Retry-After": _RETRY_AFTER},
    503: {"Retry-After": _RETRY_AFTER},
}
"""The headers of answers that say what to do next."""
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": (
        "Becomes the request id. A request that is repeated is decided anew and finds the same contact and "
        "conversations; only what it says was created may differ."
    ),
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": REQUEST_ID_CHARACTERS_MAX,
        "pattern": "^[ -~]+$",
    },
    "example": "login-2024-11-22-4711",
}


def openapi() -> JsonSchema:
    """Return the document: every route, every status with its codes, every field."""
    components: dict[str, JsonSchema] = answer_schemas(ERROR)
    for operation in OPERATIONS.values():
        components[operation.request] = request_schema(operation.request)
        components |= answer_schemas(operation.answer)
    commands = {path: {"post": _command(path, operation)} for path, operation in OPERATIONS.items()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "airy_identify",
            "version": INTERFACE_VERSION,
            "summary": "Who is this person, and which chats are theirs?",
            "description": (
                "For trusted backends that have just logged a user in. Every error has one shape: `message` for people, "
                "`code` for programs, `field` names what to mend, `request_id` is in the log. Of several faults the "
                "first is answered: route, token, rate, method, media type, size, `Idempotency-Key`, JSON, the client's "
                "commands, fields in their order, identifiers, the client's tenants and channels, channel. Ignore members of answers that you do not know: there may be more."
            ),
        },
        "servers": [{"url": "/"}],
        "security": [{scheme: []} for scheme in _SECURITY_SCHEMES],
        "paths": commands | _operators_routes(),
        "components": {
            "schemas": components,
            "securitySchemes": _SECURITY_SCHEMES,
        },
    }


def codes_by_status(operation: Operation) -> dict[int, list[str]]:
    """Return the codes of the errors that a route answers, by status."""
    codes: dict[int, list[str]] = {}
    for reason in Reason:
        if reason in EVERY_COMMAND or reason in operation.reasons:
            codes.setdefault(HTTP_STATUS[reason], []).append(reason.value)
    codes[MALFORMED_STATUS].append(MALFORMED_CODE)
    return codes | {INTERNAL_STATUS: [INTERNAL_CODE]}


def _command(path: str, operation: Operation) -> JsonSchema:
    answer = {"schema": _reference(operation.answer), "example": ANSWERS[operation.answer]}
    answers = {"200": {"description": _STATUS_TEXT[200], "content": {"application/json": answer}}}
    for status, codes in sorted(codes_by_status(operation).items()):
        answers[str(status)] = _error(status, codes)
    document: JsonSchema = {
        "operationId": path.removeprefix("/").replace(".", "_"),
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [_IDEMPOTENCY_KEY],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _reference(operation.request),
                    "examples": {name: {"value": body} for name, body in operation.examples.items()},
                }
            },
        },
        "responses": answers,
    }
    return document | ({"deprecated": True} if operation.deprecated else {})


def _error(status: int, codes: list[str]) -> JsonSchema:
    answer: JsonSchema = {
        "description": _STATUS_TEXT[status],
        "content": {
            "application/json": {
                "schema": {"allOf": [_reference(ERROR), {"properties": {"code": {"enum": codes}}}]},
                "example": error_example(codes[0], _STATUS_TEXT[status]),
            }
        },
    }
    return answer | ({"headers": _HEADERS[status]} if status in _HEADERS else {})


def _operators_routes() -> dict[str, Any]:
    status = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
    not_ready = _error(503, [Reason.UNAVAILABLE.value])
    reasons = {"type": "object", "required": ["reasons"], "properties": {"reasons": {"type": "array"}}}
    not_ready["content"]["application/json"]["schema"]["allOf"].append(reasons)
    why = ["command log: no answer from Kafka in 2 s"]
    not_ready["content"]["application/json"]["example"] |= {"status": "not ready", "reasons": why}
    return {
        "/healthz": _open_route("Whether the process is alive", {"200": _answer("It is.", _json(status))}),
        "/readyz": _open_route(
            "Whether requests can be answered, and why not",
            {"200": _answer("They can.", _json(status)), "503": not_ready},
        ),
        "/metrics": _open_route("Metrics for Prometheus", {"200": _answer("The metrics.", _text("text/plain"))}),
        "/openapi.json": _open_route(
            "This document", {"200": _answer("The document.", _json({"type": "object", "required": ["openapi"]}))}
        ),
        "/docs": _open_route("This document for people", {"200": _answer("A page.", _text("text/html"))}),
    }


def _open_route(summary: str, responses: dict[str, Any]) -> JsonSchema:
    operation = {"summary": summary, "security": [], "responses": responses | {"405": _method_not_allowed()}}
    return {"get": operation}


def _method_not_allowed() -> JsonSchema:
    return _error(405, [Reason.METHOD_NOT_ALLOWED.value])


def _answer(description: str, content: JsonSchema) -> JsonSchema:
    return {"description": description, "content": content}


def _json(schema: JsonSchema) -> JsonSchema:
    return {"application/json": {"schema": schema}}


def _text(media_type: str) -> JsonSchema:
    return {media_type: {"schema": {"type": "string"}}}


def _reference(name: str) -> JsonSchema:
    return {"$ref": f"#/components/schemas/{name}"}
