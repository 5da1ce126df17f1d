from airy_identify.core.metadata import METADATA_BYTES_MAX, canonical_json, merge_patch, patch_metadata
from airy_identify.core.reasons import Reason, Rejected
from airy_identify.core.values import JsonValue


def test_the_patch_wins_member_by_member() -> None:
    assert patch_metadata({"plan": "free", "age": 3}, {"plan": "pro"}) == {"plan": "pro", "age": 3}


def test_null_deletes_a_member_and_does_nothing_where_there_is_none() -> None:
    assert patch_metadata({"plan": "free"}, {"plan": None, "age": None}) == {}


def test_no_member_is_null_however_deep() -> None:
    assert patch_metadata({}, {"address": {"city": None, "zip": {"code": None}}}) == {"address": {"zip": {}}}


def test_arrays_are_kept_as_given() -> None:
    assert patch_metadata({"tags": [1, 2]}, {"tags": [None, {"a": None}]}) == {"tags": [None, {"a": None}]}


def test_no_change_returns_the_very_same_object() -> None:
    metadata: dict[str, JsonValue] = {"a": {"b": [1, {"c": "d"}]}, "e": 1.5}
    assert patch_metadata(metadata, {"a": {"b": [1, {"c": "d"}], "x": None}, "e": 1.5}) is metadata


def test_true_is_not_one() -> None:
    assert repr(patch_metadata({"a": 1}, {"a": True})) == "{'a': True}"
    assert repr(patch_metadata({"a": [1]}, {"a": [1.0]})) == "{'a': [1.0]}"
    assert repr(patch_metadata({"a": [{"b": 1}]}, {"a": [{"b": True}]})) == "{'a': [{'b': True}]}"


def test_arrays_and_objects_within_them_differ_by_size_and_names() -> None:
    assert patch_metadata({"a": [1]}, {"a": [1, 2]}) == {"a": [1, 2]}
    assert patch_metadata({"a": [{"b": 1}]}, {"a": [{"c": 1}]}) == {"a": [{"c": 1}]}


def test_neither_argument_is_changed() -> None:
    metadata: dict[str, JsonValue] = {"a": {"b": 1, "c": 2}}
    patch: dict[str, JsonValue] = {"a": {"b": None, "d": 3}}
    assert patch_metadata(metadata, patch) == {"a": {"c": 2, "d": 3}}
    assert metadata == {"a": {"b": 1, "c": 2}}
    assert patch == {"a": {"b": None, "d": 3}}


def test_a_patch_that_is_no_object_replaces_everything() -> None:
    assert merge_patch({"a": 1}, [2]) == [2]


def test_the_merged_result_may_be_64_kib_of_utf8_and_no_more() -> None:
    frame = len('{"text":""}')
    fits = "é" * ((METADATA_BYTES_MAX - frame - 1) // 2) + "x"
    assert patch_metadata({}, {"text": fits}) == {"text": fits}
    rejected = patch_metadata({}, {"text": fits + "x"})
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.field) == (Reason.INVALID_METADATA, "metadata")


def test_the_limit_is_on_the_merged_result_not_on_the_patch() -> None:
    half = "x" * (METADATA_BYTES_MAX // 2)
    assert isinstance(patch_metadata({"a": half}, {"b": half}), Rejected)
    assert patch_metadata({"a": half}, {"a": None, "b": half}) == {"b": half}


def test_canonical_json_sorts_and_keeps_utf8() -> None:
    assert (
        canonical_json({"b": "é", "a": [1, {"d": None, "c": True}]}) == '{"a":[1,{"c":true,"d":null}],"b":"é"}'.encode()
    )
