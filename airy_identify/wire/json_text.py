"""JSON as text: canonical where bytes must not depend on the order of keys, and strict where others wrote it."""

import json
import math
from collections.abc import Mapping
from typing import NoReturn

from airy_identify.core.values import JsonValue
from airy_identify.wire.errors import UndecodableError

NESTING_MAX = 64
"""Deeper JSON of others is refused: what we keep is at most 8 deep, and some JSON readers stop at 100 or less."""


def canonical_json(value: Mapping[str, JsonValue]) -> str:
    """Return the object as JSON: keys sorted, no spaces, characters as they are.

    Raises ValueError for NaN and infinities.
    """
    return _CANONICAL.encode(value)


def plain_json(value: Mapping[str, JsonValue]) -> bytes:
    """Return the object as JSON in UTF-8: members in their order, no spaces, characters as they are.

    Raises ValueError for NaN, infinities and lone surrogates.
    """
    return _PLAIN.encode(value).encode()


def plain_text(value: JsonValue) -> str:
    """Return any JSON value as text, as `plain_json` has it. Raises ValueError for NaN and infinities."""
    return _PLAIN.encode(value)


def read_object(text: str) -> dict[str, JsonValue]:
    """Return the object that `canonical_json` wrote. Raises `UndecodableError` for any other text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UndecodableError("a field that holds JSON text does not") from error
    if not isinstance(value, dict):
        raise UndecodableError("a field that holds a JSON object holds something else")
    return value


def read_strict(text: str) -> JsonValue:
    """Return the JSON value (RFC 8259) that the text is.

    Raises ValueError, with a message that quotes nothing, for anything else and for what could not be written again as
    JSON in UTF-8 or is read differently by others: NaN and infinities, numbers beyond a double, lone surrogates, more
    than `NESTING_MAX` levels.
    """
    try:
        value: JsonValue = _STRICT.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON at line {error.lineno}, column {error.colno}") from error
    except RecursionError as error:
        raise ValueError(f"nested more than {NESTING_MAX} levels deep") from error
    if nesting(value) > NESTING_MAX:
        raise ValueError(f"nested more than {NESTING_MAX} levels deep")
    if "\\u" in text or not text.isascii():
        _refuse_lone_surrogates(value)
    return value


def nesting(value: JsonValue) -> int:
    """Return how deep objects and arrays are nested: 0 for a plain value, 1 for `{}`. Never recurses."""
    levels = 0
    layer: list[JsonValue] = [value]
    while containers := [item for item in layer if isinstance(item, dict | list)]:
        levels += 1
        layer = [child for item in containers for child in (item.values() if isinstance(item, dict) else item)]
    return levels


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number beyond the range of a double")
    return number


def _finite_int(text: str) -> int:
    _finite_float(text)
    return int(text)


def _refuse_lone_surrogates(value: JsonValue) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("a lone surrogate, half of a character") from error


# Made once, after the functions they use: to make one takes longer than to use it.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_PLAIN = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_STRICT = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite_float, parse_int=_finite_int)
