import pytest

from airy_identify.core import custom_kinds
from airy_identify.core.custom_kinds import KINDS_MAX, add_values, remove_values
from airy_identify.core.reasons import Reason, Rejected
from tests.builders import make_custom


def test_nothing_added_returns_the_very_same_values() -> None:
    held = make_custom({"device": ["a"]})
    assert add_values(held, added={}, named=make_custom({"device": ["a"]})) is held


def test_new_values_go_to_the_end() -> None:
    held = make_custom({"device": ["a", "b"]})
    added = add_values(held, added={"device": ["c", "d"]}, named=make_custom({"device": ["c", "a", "d"]}))
    assert added == make_custom({"device": ["a", "b", "c", "d"]})


def test_kinds_are_in_alphabetical_order() -> None:
    named = make_custom({"cookie": "z", "account": "y"})
    added = add_values(make_custom({"device": ["a"]}), added={"cookie": ["z"], "account": ["y"]}, named=named)
    assert isinstance(added, tuple)
    assert [custom.kind for custom in added] == ["account", "cookie", "device"]


def test_a_kind_that_the_request_names_without_a_new_value_stays() -> None:
    held = make_custom({"device": ["a"]})
    named = make_custom({"cookie": "z", "device": "a"})
    assert add_values(held, added={"cookie": ["z"]}, named=named) == make_custom({"cookie": "z", "device": "a"})


def test_the_sixth_value_drops_the_first() -> None:
    held = make_custom({"device": ["a", "b", "c", "d", "e"]})
    added = add_values(held, added={"device": ["f"]}, named=make_custom({"device": ["f"]}))
    assert added == make_custom({"device": ["b", "c", "d", "e", "f"]})


def test_what_the_request_names_never_drops_out() -> None:
    held = make_custom({"device": ["a", "b", "c", "d", "e"]})
    added = add_values(held, added={"device": ["f"]}, named=make_custom({"device": ["a", "f", "b"]}))
    assert added == make_custom({"device": ["a", "b", "d", "e", "f"]})


def test_five_new_values_drop_five_old_ones() -> None:
    held = make_custom({"device": ["a", "b", "c", "d", "e"]})
    added = add_values(held, added={"device": list("vwxyz")}, named=make_custom({"device": list("vwxyz")}))
    assert added == make_custom({"device": list("vwxyz")})


def test_a_contact_has_so_many_kinds_and_no_more() -> None:
    held = make_custom({f"k{number:02}": "v" for number in range(KINDS_MAX - 1)})
    full = add_values(held, added={"z1": ["v"]}, named=make_custom({"z1": "v"}))
    assert isinstance(full, tuple)
    assert len(full) == KINDS_MAX
    rejected = add_values(full, added={"z3": ["v"], "z2": ["v"]}, named=make_custom({"z2": "v", "z3": "v"}))
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.field) == (Reason.INVALID_FIELD, "identifiers.z2")


def test_a_full_contact_still_takes_values_of_its_own_kinds() -> None:
    held = make_custom({f"k{number:02}": "v" for number in range(KINDS_MAX)})
    added = add_values(held, added={"k00": ["w"]}, named=make_custom({"k00": "w"}))
    assert isinstance(added, tuple)
    assert added[0] == make_custom({"k00": ["v", "w"]})[0]


def test_lost_values_leave_and_no_kind_stays_empty() -> None:
    held = make_custom({"cookie": ["a"], "device": ["a", "b"]})
    left = remove_values(held, lost={("cookie", "a"), ("device", "b")})
    assert left == make_custom({"device": ["a"]})


def test_whoever_has_more_kinds_than_newer_limits_allow_may_use_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(custom_kinds, "KINDS_MAX", 1)
    held = make_custom({"cookie": "c", "device": "d"})
    added = add_values(held, added={"device": ["e"]}, named=make_custom({"device": "e"}))
    assert added == make_custom({"cookie": "c", "device": ["d", "e"]})
