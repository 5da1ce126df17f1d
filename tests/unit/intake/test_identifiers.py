from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.intake.identifiers import custom_identifiers, external_id, is_blocked
from tests import builders as make

IN_ANY_CASE = [
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
]
EXACT = ["[object Object]", "NaN", "None", "none", "null", "0", "-1"]
ZEROS_AND_DASHES = ["00", "-", "---", "00000000-0000-0000-0000-000000000000", "-0"]
BLOCKED = [*IN_ANY_CASE, *(word.upper() for word in IN_ANY_CASE), "GuEsT", *EXACT, *ZEROS_AND_DASHES]


def custom(value: Any) -> Any:
    return custom_identifiers(value)


def reason_of(result: Any) -> tuple[Reason, str | None]:
    assert isinstance(result, Rejected), result
    return result.reason, result.field


@pytest.mark.parametrize("value", BLOCKED)
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_placeholders_are_blocked_in_quotes_too(value: str, quote: str) -> None:
    quoted = f" {quote}{value}{quote} "
    assert reason_of(external_id(quoted)) == (Reason.BLOCKED_IDENTIFIER, "external_id")
    assert reason_of(custom({"device_id": quoted})) == (
        Reason.BLOCKED_IDENTIFIER,
        "identifiers.device_id",
    )


@pytest.mark.parametrize("value", ["''", '""'])
def test_empty_quotes_are_blocked(value: str) -> None:
    assert is_blocked(value)


@pytest.mark.parametrize(
    "value",
    [
        "nan",
        "NULL",
        "Null",
        "NONE",
        "[object object]",
        "1",
        "-2",
        "10",
        "0a",
        "guests",
        "guest1",
        "'guest\"",
        "'guest",
        "'",
        '"',
        "'x'",
        "user-0",
        "00000000-0000-0000-0000-000000000001",
    ],
)
def test_what_only_looks_like_a_placeholder_is_taken(value: str) -> None:
    assert external_id(value) == value


@pytest.mark.parametrize("value", ["a", "x" * 255, "User", "ü😀", "a b", "\u200b", "-1-", "é" * 255])
def test_values_stay_as_they_are(value: str) -> None:
    assert external_id(value) == value
    assert custom({"k": value}) == make.make_custom({"k": value})


@pytest.mark.parametrize("space", [" ", "\t", "\n", "\u00a0", "\u3000", "\u2028", "\x85"])
def test_outer_white_space_is_trimmed(space: str) -> None:
    assert external_id(f"{space}a{space}b{space}".replace(f"a{space}b", "a b")) == "a b"
    assert external_id(space) is None


@pytest.mark.parametrize("control", ["\x00", "\x1f", "\x1c", "\x7f", "\x80", "\x9f", "\ud800"])
def test_control_characters_are_refused_wherever_they_stand(control: str) -> None:
    for value in (f"a{control}b", f"{control}ab", f"ab{control}"):
        assert reason_of(external_id(value)) == (Reason.INVALID_FIELD, "external_id")
        assert reason_of(custom({"k": value})) == (Reason.INVALID_FIELD, "identifiers.k")


def test_a_line_break_within_is_a_control_character() -> None:
    assert reason_of(external_id("a\nb")) == (Reason.INVALID_FIELD, "external_id")


def test_length_counts_after_trimming() -> None:
    assert external_id(" " + "x" * 255 + " ") == "x" * 255
    assert reason_of(external_id("x" * 256)) == (Reason.INVALID_FIELD, "external_id")


@pytest.mark.parametrize("value", [1, 1.5, True, [], ["a"], {}])
def test_an_external_id_is_a_string(value: Any) -> None:
    assert reason_of(external_id(value)) == (Reason.INVALID_FIELD, "external_id")


def test_custom_kinds_are_sorted_and_their_values_are_not() -> None:
    given_kinds = {"z": "1", "device_id": ["b", " a ", "b"], "a_1": ["x"]}
    expected = make.make_custom({"a_1": "x", "device_id": ["b", "a"], "z": "1"})
    assert custom(given_kinds) == expected


def test_what_is_absent_is_left_out() -> None:
    assert custom({"a": None, "b": "", "c": [], "d": [None, " "], "e": [None, "x", ""]}) == make.make_custom({"e": "x"})
    assert custom(None) == custom({}) == custom(" ") == ()


@pytest.mark.parametrize("kind", ["a", "z9_", "a" * 32, "device_id", "emails", "phone"])
def test_kind_names_of_the_right_form_are_taken(kind: str) -> None:
    assert custom({kind: "x"}) == make.make_custom({kind: "x"})


@pytest.mark.parametrize("kind", ["external_id", "email", "phone_number"])
@pytest.mark.parametrize("value", ["x", None])
def test_built_in_kinds_are_refused(kind: str, value: str | None) -> None:
    assert reason_of(custom({kind: value})) == (Reason.INVALID_FIELD, f"identifiers.{kind}")


@pytest.mark.parametrize("kind", ["Device", "1a", "_a", "a-b", "a b", "a" * 33, "ä", "a.b", "EMAIL"])
def test_kind_names_of_another_form_are_refused_by_name(kind: str) -> None:
    assert reason_of(custom({kind: "x"})) == (Reason.INVALID_FIELD, f"identifiers.{kind}")


@pytest.mark.parametrize("kind", ["", "anna@example.org", "+491701234567", "491701234567", "a\nb", "x" * 65, "a\x1fb"])
def test_kind_names_that_may_be_values_are_refused_without_quoting_them(kind: str) -> None:
    assert reason_of(custom({kind: "x"})) == (Reason.INVALID_FIELD, "identifiers")


@pytest.mark.parametrize("value", [1, True, {}, {"a": "b"}, [1], ["a", ["b"]], ["a", {}], [False]])
def test_custom_values_are_strings(value: Any) -> None:
    assert reason_of(custom({"device_id": value})) == (Reason.INVALID_FIELD, "identifiers.device_id")


@pytest.mark.parametrize("value", [1, True, [], ["a"], "a"])
def test_custom_kinds_come_as_an_object(value: Any) -> None:
    assert reason_of(custom(value)) == (Reason.INVALID_FIELD, "identifiers")


def test_at_most_five_values_of_a_kind() -> None:
    five = ["a", "b", "c", "d", "e"]
    assert custom({"k": five}) == make.make_custom({"k": five})
    assert reason_of(custom({"k": [*five, "f"]})) == (Reason.INVALID_FIELD, "identifiers.k")


def test_at_most_eight_kinds() -> None:
    eight = {f"k{number}": "x" for number in range(8)}
    assert custom(eight) == make.make_custom(eight)
    assert custom(eight | {"absent": None}) == make.make_custom(eight)
    assert reason_of(custom(eight | {"k8": "x"})) == (Reason.INVALID_FIELD, "identifiers")


@given(st.text(max_size=10))
def test_a_taken_value_is_taken_as_it_is_the_second_time(value: str) -> None:
    taken = external_id(value)
    if isinstance(taken, str):
        assert external_id(taken) == taken
