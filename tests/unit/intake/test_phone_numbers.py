from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import PhoneNumber
from airy_identify.intake.phone_numbers import canonical_key, phone_number
from tests import builders as make


def read(value: Any, region: str | None = None) -> PhoneNumber | Rejected | None:
    return phone_number(value, verified=True, default_region=region)


@pytest.mark.parametrize(
    ("given_number", "e164", "key"),
    [
        ("+491701234567", "+491701234567", "+491701234567"),
        (" +49 (170) 123-4567 ", "+491701234567", "+491701234567"),
        ("+49 0170 1234567", "+491701234567", "+491701234567"),
        ("+1 650 253 0000", "+16502530000", "+16502530000"),
        ("+39 06 1234567", "+39061234567", "+39061234567"),
        ("tel:+49-170-1234567", "+491701234567", "+491701234567"),
        ("\uff0b491701234567", "+491701234567", "+491701234567"),
        # Possible, though not valid: nobody has it.
        ("+491111111111", "+491111111111", "+491111111111"),
        # Mexico: the 1 of mobile numbers until 2019.
        ("+5215512345678", "+5215512345678", "+525512345678"),
        ("+525512345678", "+525512345678", "+525512345678"),
        # Argentina: the 9 of mobile numbers; within the country a 15 after the area code.
        ("+5491123456789", "+5491123456789", "+541123456789"),
        ("+541123456789", "+541123456789", "+541123456789"),
        ("+54 11 15 2345 6789", "+5491123456789", "+541123456789"),
        # Brazil: the ninth digit of mobile numbers; landlines start 2 to 5.
        ("+5511987654321", "+5511987654321", "+551187654321"),
        ("+551187654321", "+551187654321", "+551187654321"),
        ("+5511967654321", "+5511967654321", "+551167654321"),
        ("+551132345678", "+551132345678", "+551132345678"),
        ("+5511951234567", "+5511951234567", "+5511951234567"),
    ],
)
def test_numbers_are_answered_as_given_and_match_by_key(given_number: str, e164: str, key: str) -> None:
    assert read(given_number) == make.make_phone_number(e164, key=key)


@pytest.mark.parametrize(
    ("given_number", "region", "e164"),
    [
        ("0170 1234567", "DE", "+491701234567"),
        ("0049 170 1234567", "DE", "+491701234567"),
        ("+1 650 253 0000", "DE", "+16502530000"),
        ("(650) 253-0000", "US", "+16502530000"),
        ("011 15 2345 6789", "AR", "+5491123456789"),
    ],
)
def test_without_plus_a_number_is_of_the_default_region(given_number: str, region: str, e164: str) -> None:
    number = read(given_number, region)
    assert isinstance(number, PhoneNumber)
    assert number.value == e164
    if not given_number.startswith("+"):
        assert isinstance(read(given_number), Rejected)


@pytest.mark.parametrize(
    "value",
    [
        "0170 1234567",
        "491701234567",
        "+",
        "+0",
        "+49",
        "+4912",
        "+49000000",
        "+12530000",
        "+999123456789",
        "+491701234567 ext. 12",
        "tel:+491701234567;ext=12",
        "+49170123456789012345",
        "+" + "1" * 300,
        "anna@example.org",
        "+5499112345678",
        "+521123456789012",
        "\ud800",
        "+49\x00",
    ],
)
def test_impossible_numbers_are_refused(value: str) -> None:
    refusal = read(value)
    assert isinstance(refusal, Rejected), refusal
    assert (refusal.reason, refusal.field) == (Reason.INVALID_PHONE_NUMBER, "phone_number")


def test_a_number_without_area_code_is_not_enough() -> None:
    assert isinstance(read("253-0000", "US"), Rejected)


@pytest.mark.parametrize("value", [491701234567, True, [], {}, 0.5])
def test_a_number_is_a_string(value: Any) -> None:
    refusal = read(value)
    assert isinstance(refusal, Rejected)
    assert (refusal.reason, refusal.field) == (Reason.INVALID_FIELD, "phone_number")


@pytest.mark.parametrize("value", [None, "", " "])
def test_null_and_blank_are_absent(value: str | None) -> None:
    assert read(value) is None


def test_an_unverified_number_is_marked() -> None:
    number = phone_number("+491701234567", verified=False, default_region=None)
    assert number == make.make_phone_number("+491701234567", verified=False)


@pytest.mark.parametrize(
    ("e164", "key"),
    [
        ("+521551234567", "+521551234567"),
        ("+52155123456789", "+52155123456789"),
        ("+55119876543210", "+55119876543210"),
        ("+551198765432", "+551198765432"),
        ("+5411987654321", "+5411987654321"),
    ],
)
def test_numbers_of_another_length_keep_their_form(e164: str, key: str) -> None:
    assert canonical_key(e164) == key


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_example_numbers_of_every_region_are_taken(region: str) -> None:
    for kind in (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE):
        example = phonenumbers.example_number_for_type(region, kind)
        if example is not None:
            e164 = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
            number = read(e164)
            assert isinstance(number, PhoneNumber), (region, kind)
            assert number.value == e164
            assert read(number.key) == make.make_phone_number(number.key)


@given(st.from_regex(r"\+(1|7|39|49|52|54|55|521|549|5511)[0-9]{6,11}", fullmatch=True))
def test_the_canonical_key_is_its_own(value: str) -> None:
    number = read(value)
    if isinstance(number, PhoneNumber):
        assert read(number.key) == make.make_phone_number(number.key)
        assert canonical_key(number.value) == number.key
        again = read(number.value)
        assert again == number
