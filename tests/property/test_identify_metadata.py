"""Merge patches: the examples of RFC 7396, appendix A, and its laws."""

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from airy_identify.core.metadata import merge_patch, patch_metadata

RFC_7396_APPENDIX_A = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('["a","b"]', '["c","d"]', '["c","d"]'),
    ('{"a":"b"}', '["c"]', '["c"]'),
    ('{"a":"foo"}', "null", "null"),
    ('{"a":"foo"}', '"bar"', '"bar"'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]


def patched(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2, word for word."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = patched(result.get(name), value)
    return result


names = st.sampled_from("abc")
leaves = st.none() | st.booleans() | st.integers(-1, 1) | st.sampled_from([0.0, 1.0, "", "x"])
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=12
)
objects = st.dictionaries(names, anything, max_size=3)


def text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def has_null_member(value: Any) -> bool:
    return isinstance(value, dict) and any(member is None or has_null_member(member) for member in value.values())


@pytest.mark.parametrize(("target", "patch", "result"), RFC_7396_APPENDIX_A)
def test_the_examples_of_the_rfc(target: str, patch: str, result: str) -> None:
    assert text(merge_patch(json.loads(target), json.loads(patch))) == text(json.loads(result))


@given(objects, objects)
def test_a_patch_applied_twice_changes_nothing_more(first: dict[str, Any], patch: dict[str, Any]) -> None:
    once = patch_metadata(patch_metadata({}, first), patch)  # type: ignore[arg-type]
    assert patch_metadata(once, patch) is once  # type: ignore[arg-type]


@given(objects, objects)
def test_no_member_is_ever_null(first: dict[str, Any], patch: dict[str, Any]) -> None:
    assert not has_null_member(merge_patch(merge_patch({}, first), patch))


@given(objects, objects)
@example({"a": 1}, {"a": True})
@example({"a": [1]}, {"a": [1.0]})
def test_it_does_what_the_rfc_says_word_for_word(target: dict[str, Any], patch: dict[str, Any]) -> None:
    assert text(merge_patch(target, patch)) == text(patched(target, patch))


@given(objects, objects)
def test_the_arguments_are_left_alone(target: dict[str, Any], patch: dict[str, Any]) -> None:
    before = (text(target), text(patch))
    merged = merge_patch(target, patch)
    assert (text(target), text(patch)) == before
    assert (merged is target) == (text(merged) == text(target))
