from typing import Any

import pytest

from airy_identify.core.reasons import Reason, Rejected
from airy_identify.intake.metadata import METADATA_BYTES_MAX, metadata_patch


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize("value", [{}, {"a": None}, {"a": [1, 2.5, True, "x", {"b": []}]}, {"": {"ü": 10**300}}])
def test_objects_are_taken_as_they_are(value: Any) -> None:
    assert metadata_patch(value) == value


@pytest.mark.parametrize("value", [None, "", " "])
def test_null_and_blank_are_absent(value: str | None) -> None:
    assert metadata_patch(value) is None


def test_it_may_have_16_kib_as_utf_8_json() -> None:
    frame = len('{"a":""}')
    assert isinstance(metadata_patch({"a": "x" * (METADATA_BYTES_MAX - frame)}), dict)
    assert isinstance(metadata_patch({"a": "ü" * ((METADATA_BYTES_MAX - frame) // 2)}), dict)


def test_it_may_be_8_levels_deep() -> None:
    assert metadata_patch(nested(8)) == nested(8)
    assert metadata_patch({"a": [[[[[[[1]]]]]]]}) == {"a": [[[[[[[1]]]]]]]}


@pytest.mark.parametrize(
    "value",
    [
        "text",
        1,
        True,
        [],
        [{"a": 1}],
        nested(9),
        {"a": [[[[[[[[1]]]]]]]]},
        {"a": "x" * (METADATA_BYTES_MAX - 7)},
        {"a": "ü" * (METADATA_BYTES_MAX // 2 - 3)},
        {"a": '"' * (METADATA_BYTES_MAX // 2)},
        {"a": float("nan")},
        {"a": [float("inf")]},
        {"a": "\ud800"},
        {"\ud800": 1},
    ],
)
def test_anything_else_is_refused(value: Any) -> None:
    refusal = metadata_patch(value)
    assert isinstance(refusal, Rejected)
    assert (refusal.reason, refusal.field) == (Reason.INVALID_METADATA, "metadata")
