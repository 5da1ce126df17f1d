from hypothesis import given
from hypothesis import strategies as st

from airy_identify.stream.comparison import compare
from airy_identify.stream.digest import digest_of
from airy_identify.wire.rows import PROGRESS_KEY

TABLES = st.dictionaries(st.binary(min_size=1, max_size=2), st.binary(max_size=2), max_size=10)


@given(st.lists(TABLES, min_size=1, max_size=3))
def test_what_is_found_is_what_differs(tables: list[dict[bytes, bytes]]) -> None:
    named = {str(number): table for number, table in enumerate(tables)}
    found = compare({name: sorted(table.items()) for name, table in named.items()}, keep=1000)

    keys = set().union(*tables)
    differing = {key for key in keys if len({table.get(key) for table in tables}) > 1}
    assert {each.key for each in found.differences} == differing
    assert found.differing == len(differing)
    for each in found.differences:
        assert each.rows == {name: table.get(each.key) for name, table in named.items()}
    assert found.digests == {name: digest_of(table.items()) for name, table in named.items()}
    assert found.counts == {name: len(table) for name, table in named.items()}


def test_only_the_first_are_kept_and_all_are_counted() -> None:
    rows = [(b"%d" % number, b"x") for number in range(9)]
    found = compare({"one": rows, "other": []}, keep=2)

    assert [each.key for each in found.differences] == [b"0", b"1"]
    assert found.differing == 9


def test_progress_rows_are_passed_by() -> None:
    found = compare({"one": [(PROGRESS_KEY, b"1")], "other": [(PROGRESS_KEY, b"2")]}, keep=1)

    assert (found.differing, found.counts) == (0, {"one": 0, "other": 0})
