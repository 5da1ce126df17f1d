"""E-mail addresses in canonical form: NFC, lower case, the domain in IDNA A-labels.

Only the syntax is checked, with a dot in the domain: no DNS, and names reserved for special use (`.test`, `.local`) are
as good as others, for whether mail arrives is not the question here. No provider's tricks: `a+b@` is not `ab@`.
"""

import functools
import re
import unicodedata
from collections.abc import Callable

import email_validator

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import EMAIL, JsonValue
from airy_identify.intake import fields as read

_LOCAL_CHARACTERS_MAX = 64
_ADDRESS_CHARACTERS_MAX = 254

_PLAIN = re.compile(
    r"(?P<local>[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)"
    r"@(?:[A-Za-z0-9](?:-?[A-Za-z0-9]){0,30}\.)+[A-Za-z]{2,30}",
)
"""Most addresses: they need no library to be found right, which takes 50 times as long. A test compares the two."""


def email_address(value: JsonValue) -> str | Rejected | None:
    """Return the address in canonical form, null when absent, or `invalid_email`; `invalid_field` for another type."""
    given = read.text(value, EMAIL)
    if given is None or isinstance(given, Rejected):
        return given
    canonical = canonical_email(given)
    if canonical is None:
        return Rejected(
            reason=Reason.INVALID_EMAIL,
            message="email is no e-mail address: it must look like name@domain.example, without quotes or brackets.",
            field=EMAIL,
        )
    return canonical


def canonical_email(value: str) -> str | None:
    """Return the canonical form of the address, which is its own canonical form; null when the syntax is wrong."""
    plain = _PLAIN.fullmatch(value)
    if plain and len(value) <= _ADDRESS_CHARACTERS_MAX and len(plain["local"]) <= _LOCAL_CHARACTERS_MAX:
        return value.lower()
    canonical = checked_by_library(value)
    if canonical is None or value.isascii() or checked_by_library(canonical) == canonical:
        return canonical
    return None  # in lower case or A-labels it became too long, or something else


def checked_by_library(value: str) -> str | None:
    """Return what email-validator makes of the address, in lower case, or null when it refuses it."""
    try:
        parts = _validator()(value)
    except (email_validator.EmailNotValidError, ValueError):
        return None
    local = unicodedata.normalize("NFC", parts.local_part.lower())
    return f"{local}@{parts.ascii_domain}"


@functools.cache
def _validator() -> Callable[[str], email_validator.ValidatedEmail]:
    """Return the library's check, told to take the domains that it knows as special: its documented way is this list."""
    email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()
    return functools.partial(
        email_validator.validate_email,
        allow_smtputf8=True,
        allow_empty_local=False,
        allow_quoted_local=False,
        allow_domain_literal=False,
        allow_display_name=False,
        strict=True,
        check_deliverability=False,
        test_environment=False,
        globally_deliverable=True,
    )
