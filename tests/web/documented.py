"""Checks answers against the OpenAPI document, more strictly than callers should: no member that it does not name."""

from typing import Any

import jsonschema

from airy_identify.web.openapi.document import openapi

DOCUMENT = openapi()
_OPEN = ("/readyz",)
"""Its answer has more members than the record of errors."""


def strict(schema: Any) -> Any:
    """Return the schema with every record closed to members that it does not name."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(member) for name, member in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        closed["additionalProperties"] = False
    return closed


_STRICT = strict(DOCUMENT["components"])


def assert_documented(path: str, method: str, status: int, answer: Any) -> None:
    """Check that a JSON answer is one that the document has for this route and status."""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    assert str(status) in responses, f"{method} {path} answers {status}, which is not in the document: {answer}"
    content = responses[str(status)]["content"]["application/json"]
    components = DOCUMENT["components"] if path in _OPEN else _STRICT
    check(content["schema"], answer, components)


def check(schema: Any, value: Any, components: Any = _STRICT) -> None:
    """Check a value against a schema that may refer to the document's components."""
    jsonschema.Draft202012Validator(schema | {"components": components}).validate(value)


def request_examples() -> list[tuple[str, str, dict[str, Any]]]:
    """Return every example of a request: its path, its name, its body."""
    return [
        (path, name, example["value"])
        for path, methods in DOCUMENT["paths"].items()
        if "post" in methods
        for name, example in methods["post"]["requestBody"]["content"]["application/json"]["examples"].items()
    ]
