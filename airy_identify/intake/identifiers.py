"""External ids and custom identifiers: which values are taken, and which are blocked for they name nobody.

Values are case-sensitive and stay as they are, trimmed. Blocked values are what broken callers send for "no id"; two
people must never become one because both are `undefined`.
"""

import re
import unicodedata

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import BUILT_IN_KINDS, EXTERNAL_ID, CustomIdentifiers, JsonValue
from airy_identify.intake import fields as read

VALUE_CHARACTERS_MAX = 255
KINDS_MAX = 8
VALUES_OF_A_KIND_MAX = 5

_KIND = re.compile("[a-z][a-z0-9_]{0,31}")
_KIND_CHARACTERS_NAMED_MAX = 64
_DIGITS_NAMED_MAX = 6

_BLOCKED_IN_ANY_CASE = frozenset(
    {
        "anonymous",
        "guest",
        "distinctid",
        "distinct_id",
        "id",
        "not_authenticated",
        "email",
        "undefined",
        "true",
        "false",
    }
)
_BLOCKED = frozenset({"[object Object]", "NaN", "None", "none", "null", "0", "-1"})
_ZEROS_AND_DASHES = re.compile("[0-]*")
_QUOTES = ("'", '"')


def external_id(value: JsonValue) -> str | Rejected | None:
    """Return the external id, null when absent, or why it is refused."""
    return _value(value, EXTERNAL_ID)


def custom_value(value: JsonValue, field: str) -> str | Rejected | None:
    """Return one external id or custom value, null when absent, or why it is refused; `field` is how errors name it."""
    return _value(value, field)


def is_custom_kind(kind: str) -> bool:
    """Return whether this can be the name of a custom kind."""
    return kind not in BUILT_IN_KINDS and bool(_KIND.fullmatch(kind))


def custom_identifiers(value: JsonValue) -> tuple[CustomIdentifiers, ...] | Rejected:
    """Return the custom kinds in alphabetical order, each with its values in the order given, or why they are refused.

    Kinds without a value are left out, doubled values count once. Of several faults the first as given is named.
    """
    value = read.given(value)
    if value is None:
        return ()
    if not isinstance(value, dict):
        return read.invalid("identifiers", "must be an object of kinds to a string or a list of strings")
    kinds = []
    for kind, values in value.items():
        custom = _kind(kind, values)
        if isinstance(custom, Rejected):
            return custom
        if custom.values:
            kinds.append(custom)
    if len(kinds) > KINDS_MAX:
        return read.invalid("identifiers", f"must have at most {KINDS_MAX} kinds")
    return tuple(sorted(kinds, key=lambda custom: custom.kind))


def is_blocked(value: str) -> bool:
    """Return whether the value names nobody, as it is or wrapped in quotes."""
    if len(value) > 1 and value[0] in _QUOTES and value[-1] == value[0] and is_blocked(value[1:-1]):
        return True
    return value in _BLOCKED or value.lower() in _BLOCKED_IN_ANY_CASE or bool(_ZEROS_AND_DASHES.fullmatch(value))


def _kind(kind: str, value: JsonValue) -> CustomIdentifiers | Rejected:
    field = _field_of(kind)
    if kind in BUILT_IN_KINDS:
        return read.invalid(field, "must stand at the top level of the request, not among custom kinds")
    if not _KIND.fullmatch(kind):
        return read.invalid(field, "is no name of a kind: a lower-case letter, then up to 31 of a-z, 0-9 and _")
    listed = value if isinstance(value, list) else [value]
    if len(listed) > VALUES_OF_A_KIND_MAX:
        return read.invalid(field, f"must have at most {VALUES_OF_A_KIND_MAX} values")
    values: list[str] = []
    for item in listed:
        result = _value(item, field)
        if isinstance(result, Rejected):
            return result
        if result is not None and result not in values:
            values.append(result)
    return CustomIdentifiers(kind=kind, values=tuple(values))


def _field_of(kind: str) -> str:
    """Return how an error names the kind: not by a name that may be a value, an e-mail address say, sent as a key."""
    digits = sum(character.isdigit() for character in kind)
    if not 0 < len(kind) <= _KIND_CHARACTERS_NAMED_MAX or not kind.isprintable() or "@" in kind:
        return "identifiers"
    return "identifiers" if digits > _DIGITS_NAMED_MAX and not _KIND.fullmatch(kind) else f"identifiers.{kind}"


def _value(value: JsonValue, field: str) -> str | Rejected | None:
    given = read.text(value, field)
    if given is None or isinstance(given, Rejected):
        return given
    if len(given) > VALUE_CHARACTERS_MAX:
        return read.invalid(field, f"must have at most {VALUE_CHARACTERS_MAX} characters")
    if not given.isprintable() and any(unicodedata.category(character) in {"Cc", "Cs"} for character in given):
        return read.invalid(field, "must not hold control characters or halves of characters")
    if is_blocked(given):
        return Rejected(
            reason=Reason.BLOCKED_IDENTIFIER,
            message=f"{field} holds a placeholder, such as undefined or 0, that would make different people one.",
            field=field,
        )
    return given
