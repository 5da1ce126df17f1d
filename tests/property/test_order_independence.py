"""Which groups of people a set of identify requests ends in, whatever their order.

Two requests are *linked* when they name the same verified e-mail, phone number or external id. A *person* is a set of
requests that links hold together. **Known people** are those in which every request names a verified e-mail, phone
number or external id, and all together name at most one of each. **Visitors** are requests that name custom
identifiers only, held together by those, at most five values a kind. A set of requests is *merge-compatible* when each
request is of a known person or of a visitor, and no custom identifier of a visitor is named by a known person. Nothing
is said of dry runs, and the limits of one contact must not be reached.

From an empty tenant, the requests of a merge-compatible set end in exactly these people, in any order: all values of a
person lead to one contact, and those of two to two. Known people may share devices: what is on a device then leads to
the one who used it last. Names, numbers of conversations and metadata may depend on the order.

Just outside it is not so: the last four tests show how.
"""

import itertools
import os
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from airy_identify.core.answers import Decision
from airy_identify.core.commands import Identify
from airy_identify.core.values import IdentifierKey, Owner
from tests.builders import make_again, make_email, make_identify_command, make_phone_number
from tests.tables import InMemoryIdentityTable

BUILT_IN = ("external_id", "email", "phone_number")
EXAMPLES = int(os.environ.get("LAW_SEQUENCES", "40")) * 5
Asked = list[dict[str, Any]]
Groups = set[frozenset[tuple[str, str]]]

unverified = st.none() | st.sampled_from(["x@b.cd", "y@b.cd"])


@st.composite
def requests_of_known_people(draw: st.DrawFn) -> Asked:
    asked = []
    for person in range(draw(st.integers(0, 3))):
        own = draw(st.sampled_from([BUILT_IN, BUILT_IN, BUILT_IN[1:], BUILT_IN[:2], BUILT_IN[:1]]))
        for _ in range(draw(st.integers(1, 5))):
            named = draw(st.lists(st.sampled_from(own), min_size=1, max_size=2, unique=True))
            fields: dict[str, Any] = {kind: f"{kind}-{person}" for kind in named}
            devices = draw(st.lists(st.sampled_from(["shared-1", "shared-2"]), max_size=2, unique=True))
            if devices:
                fields["identifiers"] = {"device": devices}
            if "email" not in named and (email := draw(unverified)):
                fields["email"] = make_email(email, verified=False)
            if "phone_number" not in named and draw(st.booleans()):
                fields["phone_number"] = make_phone_number("+490", verified=False)
            fields["metadata"] = draw(st.none() | st.just({"plan": person}))
            fields["on_conflict"] = draw(st.sampled_from(["warn", "reject"]))
            asked.append(fields)
    return asked


@st.composite
def requests_of_visitors(draw: st.DrawFn) -> Asked:
    asked = []
    for visitor in range(draw(st.integers(0, 2))):
        values = {kind: [f"{kind}-{visitor}-{number}" for number in range(5)] for kind in ("cookie", "device")}
        for _ in range(draw(st.integers(1, 3))):
            named = {
                kind: draw(st.lists(st.sampled_from(own), max_size=3, unique=True)) for kind, own in values.items()
            }
            named = {kind: own for kind, own in named.items() if own} or {"device": [values["device"][0]]}
            asked.append({"identifiers": named})
    return asked


def named_by(fields: dict[str, Any]) -> set[tuple[str, str]]:
    """Return what binds a request to others: verified built-in values, or custom ones where there are no others."""
    built_in = {(kind, fields[kind]) for kind in BUILT_IN if isinstance(fields.get(kind), str)}
    custom = {(kind, value) for kind, values in fields.get("identifiers", {}).items() for value in values}
    return built_in or custom


def linked(asked: Asked) -> Groups:
    """Return the groups of values that the requests themselves hold together."""
    groups: list[set[tuple[str, str]]] = []
    for fields in asked:
        named = named_by(fields)
        joined = [group for group in groups if group & named]
        groups = [group for group in groups if not group & named] + [named.union(*joined)]
    return {frozenset(group) for group in groups}


def commands_of(asked: Asked) -> list[Identify]:
    return [make_identify_command(**fields, new_id=f"new-{number}") for number, fields in enumerate(asked)]


def people_after(commands: list[Identify], named: set[tuple[str, str]]) -> Groups:
    """Return which of these values lead to one contact, once the commands were decided in this order."""
    table = InMemoryIdentityTable()
    for number, command in enumerate(commands):
        decision = table.apply(make_again(command, accepted_at_ms=1000 + number))
        assert isinstance(decision, Decision), decision
    groups: dict[str, set[tuple[str, str]]] = {}
    for key, row in table.rows.items():
        if isinstance(key, IdentifierKey) and isinstance(row, Owner) and (key.kind, key.value) in named:
            groups.setdefault(row.contact_id, set()).add((key.kind, key.value))
    return {frozenset(group) for group in groups.values()}


def outcomes(asked: Asked) -> list[Groups]:
    """Return the different groups that the orders of these requests end in."""
    named = set().union(*(named_by(fields) for fields in asked))
    found: list[Groups] = []
    for order in itertools.permutations(commands_of(asked)):
        groups = people_after(list(order), named)
        if groups not in found:
            found.append(groups)
    return found


@settings(max_examples=EXAMPLES)
@given(st.data(), requests_of_known_people(), requests_of_visitors())
def test_a_merge_compatible_set_ends_in_the_same_people_in_any_order(
    data: st.DataObject, known: Asked, visitors: Asked
) -> None:
    asked = known + visitors
    if not asked:
        return
    wanted = linked(asked)
    order = data.draw(st.permutations(commands_of(asked)))
    assert people_after(order, set().union(*wanted)) == wanted


def test_three_requests_of_one_person_end_in_one_contact_in_all_orders() -> None:
    asked: Asked = [
        {"external_id": "u1", "email": "a@b.cd"},
        {"email": "a@b.cd", "identifiers": {"device": ["d"]}},
        {"phone_number": "+491", "identifiers": {"device": ["d"]}},
        {"phone_number": "+491", "email": "a@b.cd"},
    ]
    assert outcomes(asked) == [linked(asked)]


def test_just_outside_one_person_with_two_emails_depends_on_the_order() -> None:
    """The phone number stays with whoever came first."""
    asked = [{"email": "a@b.cd", "phone_number": "+491"}, {"email": "b@b.cd", "phone_number": "+491"}]
    first, second = outcomes(asked)
    assert first == {frozenset({("email", "a@b.cd"), ("phone_number", "+491")}), frozenset({("email", "b@b.cd")})}
    assert second == {frozenset({("email", "b@b.cd"), ("phone_number", "+491")}), frozenset({("email", "a@b.cd")})}


def test_just_outside_one_person_with_two_phone_numbers_depends_on_the_order() -> None:
    """A number that was replaced is nobody's; whoever asks with it is new."""
    asked = [
        {"email": "a@b.cd", "phone_number": "+491"},
        {"email": "a@b.cd", "phone_number": "+492"},
        {"phone_number": "+491", "external_id": "u1"},
    ]
    assert len(outcomes(asked)) > 1


def test_just_outside_one_person_with_two_external_ids_depends_on_the_order() -> None:
    """Two hard contacts never become one by themselves; the e-mail stays with whoever came first."""
    asked = [{"external_id": "u1", "email": "a@b.cd"}, {"external_id": "u2", "email": "a@b.cd"}]
    assert len(outcomes(asked)) > 1


def test_just_outside_a_visitor_on_the_device_of_a_known_person_depends_on_the_order() -> None:
    """A visitor becomes whoever logs in next; once somebody has, the device finds nobody."""
    asked: Asked = [{"identifiers": {"device": ["d"]}}, {"email": "a@b.cd", "identifiers": {"device": ["d"]}}]
    table, other = InMemoryIdentityTable(), InMemoryIdentityTable()
    for command in commands_of(asked):
        table.apply(command)
    for command in commands_of(asked)[::-1]:
        other.apply(command)
    assert (len(table.contacts), len(other.contacts)) == (1, 2)
