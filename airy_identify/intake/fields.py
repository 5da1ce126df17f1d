"""How fields of a request are read: what counts as absent, which type they have, which refusal comes first.

For every field, null and blank strings count as absent, and outer white space is trimmed.
"""

from collections.abc import Mapping
from typing import TypeVar

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import JsonValue

_T = TypeVar("_T")

Fields = Mapping[str, JsonValue]
"""The members of a request, of any type still."""

_WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
"""Unicode's property White_Space. `str.strip` would take the control characters U+001C to U+001F too."""


class Refusals:
    """Collects what is wrong with a request; the first one, in the order of the fields, is the answer."""

    def __init__(self) -> None:
        self.first: Rejected | None = None

    def keep(self, result: _T | Rejected, otherwise: _T) -> _T:
        """Return the result, or `otherwise` when it is a refusal, which is remembered."""
        if not isinstance(result, Rejected):
            return result
        self.add(result)
        return otherwise

    def add(self, refusal: Rejected) -> None:
        """Remember the refusal unless an earlier field was refused."""
        if self.first is None:
            self.first = refusal


def given(value: JsonValue) -> JsonValue:
    """Return the value, strings trimmed; null when it counts as absent."""
    if isinstance(value, str):
        return value.strip(_WHITE_SPACE) or None
    return value


def text(value: JsonValue, field: str) -> str | Rejected | None:
    """Return the trimmed string, null when absent, `invalid_field` for another type."""
    value = given(value)
    if value is None or isinstance(value, str):
        return value
    return invalid(field, "must be a string")


def flag(value: JsonValue, field: str) -> bool | Rejected:
    """Return the boolean, false when absent, `invalid_field` for another type."""
    value = given(value)
    if value is None or isinstance(value, bool):
        return bool(value)
    return invalid(field, "must be true or false")


def invalid(field: str, must: str) -> Rejected:
    """Return the refusal `invalid_field` that names the field and says what it must be."""
    return Rejected(reason=Reason.INVALID_FIELD, message=f"{field} {must}.", field=field)
