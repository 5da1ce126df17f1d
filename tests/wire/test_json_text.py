import json
from typing import Any

import pytest
from hypothesis import given

from airy_identify.wire import json_text
from airy_identify.wire.errors import UndecodableError
from tests.wire.strategies import JSON_OBJECTS, JSON_VALUES


@given(JSON_VALUES)
def test_any_json_is_read_as_the_standard_library_reads_it(value: Any) -> None:
    for ensure_ascii in (True, False):
        text = json.dumps(value, ensure_ascii=ensure_ascii)
        assert json_text.read_strict(text) == json.loads(text)


@given(JSON_OBJECTS)
def test_canonical_text_is_a_fixed_point(value: dict[str, Any]) -> None:
    text = json_text.canonical_json(value)
    assert json_text.read_object(text) == value
    assert json_text.canonical_json(json_text.read_object(text)) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"deep": [float("-inf")]}])
def test_what_json_lacks_is_not_written(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text.canonical_json({"a": value})
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text.plain_json({"a": value})


@pytest.mark.parametrize(
    ("value", "levels"),
    [(1, 0), ("[[", 0), (None, 0), ({}, 1), ([], 1), ([1], 1), ([[]], 2), ({"a": [{}], "b": 1}, 3), ([[], [[]]], 3)],
)
def test_nesting_counts_objects_and_arrays(value: Any, levels: int) -> None:
    assert json_text.nesting(value) == levels


def test_the_deepest_json_that_is_read() -> None:
    levels = json_text.NESTING_MAX
    assert json_text.nesting(json_text.read_strict("[" * levels + "]" * levels)) == levels
    with pytest.raises(ValueError, match="levels"):
        json_text.read_strict("[" * (levels + 1) + "]" * (levels + 1))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_bottomless_json_is_refused_like_any_other(text: str) -> None:
    with pytest.raises(ValueError, match="levels"):
        json_text.read_strict(text)
    with pytest.raises(UndecodableError):
        json_text.read_object(text)


@pytest.mark.parametrize("text", ["1" * 309, "-" + "9" * 308, "1e308", "1E-400", "0.1e1"])
def test_numbers_in_the_range_of_a_double_are_read(text: str) -> None:
    assert json_text.read_strict(text) == json.loads(text)


@pytest.mark.parametrize("text", ["2" * 309, "-" + "2" * 309, "1e309", "[-1e999]", "9" * 10_000, "NaN", "-Infinity"])
def test_numbers_beyond_a_double_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"double|no JSON"):
        json_text.read_strict(text)


@pytest.mark.parametrize("text", [r'"\ud800"', r'"\uDC00"', r'{"\ud800":1}', '"\ud800"', r'"\ude00\ud83d"'])
def test_halves_of_characters_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="surrogate"):
        json_text.read_strict(text)


@pytest.mark.parametrize(
    "text", ["", "secret", "{'secret': 1}", '{"secret": }', "[1,]", "secret\n" * 9, '{"a":1} secret']
)
def test_errors_quote_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="no JSON at line") as raised:
        json_text.read_strict(text)
    assert "secret" not in str(raised.value)
