"""Phone numbers: E.164 as given, to be answered, and a canonical key, to match.

Numbers must be possible by libphonenumber, in their canonical form, which must be its own canonical form; whether they
are in use is not the question. The
canonical key undoes what callers write or leave out in three countries: Mexico's 1 and Argentina's 9 after the country
code, and the ninth digit that Brazil put before its mobile numbers.
"""

import re

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import PHONE_NUMBER, JsonValue, PhoneNumber
from airy_identify.intake import fields as read

_CANONICAL = (
    (re.compile(r"\+521(\d{10})"), r"+52\1"),
    (re.compile(r"\+549(\d+)"), r"+54\1"),
    (re.compile(r"\+55(\d\d)9([6-9]\d{7})"), r"+55\1\2"),
)


def phone_number(value: JsonValue, *, verified: bool, default_region: str | None) -> PhoneNumber | Rejected | None:
    """Return the number, null when absent, or `invalid_phone_number`; `invalid_field` for another type.

    Without a leading `+` the number is read as one of the default region (`DE`, say), and refused when there is none.
    """
    given = read.text(value, PHONE_NUMBER)
    if given is None or isinstance(given, Rejected):
        return given
    number = _parse(given, default_region)
    if number is None:
        return _refusal(default_region)
    e164 = _e164(number)
    key = canonical_key(e164)
    canonical = number if key == given else _parse(key, None)
    if canonical is None or _e164(canonical) != key or canonical_key(key) != key or not _is_possible(canonical):
        return _refusal(default_region)
    return PhoneNumber(value=e164, key=key, verified=verified)


def canonical_key(e164: str) -> str:
    """Return the form of an E.164 number that matches; every other spelling of the number has the same."""
    for pattern, canonical in _CANONICAL:
        match = pattern.fullmatch(e164)
        if match:
            return match.expand(canonical)
    return e164


def _parse(text: str, default_region: str | None) -> phonenumbers.PhoneNumber | None:
    """Return the number that libphonenumber reads; null for none, and for one with an extension, which E.164 lacks."""
    try:
        number = phonenumbers.parse(text, default_region)
    except NumberParseException:
        return None
    return None if number.extension else number


def _e164(number: phonenumbers.PhoneNumber) -> str:
    text: str = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    return text


def _is_possible(number: phonenumbers.PhoneNumber) -> bool:
    """Return whether the whole number, with its area code, has a length that occurs."""
    return bool(phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE)


def _refusal(default_region: str | None) -> Rejected:
    how = "with + and country code" if default_region is None else f"with + and country code, or as in {default_region}"
    return Rejected(
        reason=Reason.INVALID_PHONE_NUMBER,
        message=f"phone_number is no possible phone number: it must be given {how}, without an extension.",
        field=PHONE_NUMBER,
    )
