import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.intake import email_address as module
from airy_identify.intake.email_address import canonical_email, checked_by_library, email_address


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ("anna@example.org", "anna@example.org"),
        (" Anna.Maria+tag@Example.ORG\n", "anna.maria+tag@example.org"),
        ("a@b.co", "a@b.co"),
        ("anna@sub.example.co.uk", "anna@sub.example.co.uk"),
        ("o'brien@example.org", "o'brien@example.org"),
        ("ANNA@BÜCHER.example", "anna@xn--bcher-kva.example"),
        ("anna@xn--bcher-kva.example", "anna@xn--bcher-kva.example"),
        ("anna@XN--BCHER-KVA.example", "anna@xn--bcher-kva.example"),
        ("anna@faß.de", "anna@xn--fa-hia.de"),
        ("anna@example。org", "anna@example.org"),
        ("JÜRGEN@example.org", "jürgen@example.org"),
        (unicodedata.normalize("NFD", "jürgen@example.org"), "jürgen@example.org"),
        ("anna@printer.local", "anna@printer.local"),
        ("o'brien@printer.local", "o'brien@printer.local"),
        ("jürgen@example.test", "jürgen@example.test"),
        ("anna@example.test", "anna@example.test"),
        ("anna@sub.localhost", "anna@sub.localhost"),
        ("anna@mail.invalid", "anna@mail.invalid"),
        ("x" * 64 + "@example.org", "x" * 64 + "@example.org"),
    ],
)
def test_addresses_are_answered_in_canonical_form(value: str, canonical: str) -> None:
    assert email_address(value) == canonical
    assert email_address(canonical) == canonical


def test_no_tricks_of_providers() -> None:
    assert email_address("a+b@gmail.com") != email_address("ab@gmail.com")
    assert email_address("a.b@gmail.com") != email_address("ab@gmail.com")


@pytest.mark.parametrize(
    "value",
    [
        "anna",
        "@example.org",
        "anna@",
        "anna@example",
        "anna@localhost",
        "anna@@example.org",
        "anna@example..org",
        "anna@.example.org",
        "anna@example.org.",
        ".anna@example.org",
        "anna.@example.org",
        "an..na@example.org",
        "an na@example.org",
        "anna@exa mple.org",
        "anna@ex_ample.org",
        "anna@-example.org",
        "anna@example-.org",
        "anna@1.2.3.4",
        "anna@[1.2.3.4]",
        '"an na"@example.org',
        "Anna <anna@example.org>",
        "mailto:anna@example.org",
        "anna@example.org,bob@example.org",
        "anna\x1f@example.org",
        "an\nna@example.org",
        "anna@xn--a.example",
        "anna@ab--cd.example",
        "\ud800@example.org",
        "anna@\ud800.org",
        "x" * 65 + "@example.org",
        "anna@" + "x" * 64 + ".org",
        "anna@" + "x." * 125 + "org",
        "anna@" + "x" * 5000,
        "İ" * 33 + "@example.org",
    ],
)
def test_what_is_no_address_is_refused(value: str) -> None:
    refusal = email_address(value)
    assert isinstance(refusal, Rejected), refusal
    assert (refusal.reason, refusal.field) == (Reason.INVALID_EMAIL, "email")


@pytest.mark.parametrize("value", [1, True, [], {}, ["anna@example.org"]])
def test_an_address_is_a_string(value: Any) -> None:
    refusal = email_address(value)
    assert isinstance(refusal, Rejected)
    assert (refusal.reason, refusal.field) == (Reason.INVALID_FIELD, "email")


@pytest.mark.parametrize("value", [None, "", " "])
def test_null_and_blank_are_absent(value: str | None) -> None:
    assert email_address(value) is None


@given(
    st.from_regex(module._PLAIN, fullmatch=True)
    | st.builds(
        "{}@{}.{}".format,
        st.text("aZ0_+-.", min_size=60, max_size=66),
        st.lists(st.text("aZ0-", min_size=1, max_size=33), min_size=1, max_size=9).map(".".join),
        st.text("aZ0-", min_size=1, max_size=31),
    )
)
def test_the_short_cut_says_what_the_library_says(value: str) -> None:
    assert canonical_email(value) == checked_by_library(value)


@given(
    st.emails()
    | st.builds("{}@{}.{}".format, st.text(max_size=8), st.text(max_size=8), st.sampled_from(["org", "ORG", "ελ"]))
)
def test_the_canonical_form_is_its_own(value: str) -> None:
    canonical = canonical_email(value)
    if canonical is not None:
        assert canonical_email(canonical) == canonical
        assert canonical == canonical.lower() == unicodedata.normalize("NFC", canonical)
        assert canonical.partition("@")[2].isascii()
