import random

from hypothesis import given
from hypothesis import strategies as st

from airy_identify.stream.digest import DIGEST_BYTES, Digest, RowsBefore, digest_of
from airy_identify.wire.rows import PROGRESS_KEY

EMPTY = bytes(DIGEST_BYTES)
KEYS = st.binary(min_size=1, max_size=3)
TABLES = st.dictionaries(KEYS, st.binary(max_size=3), max_size=8)


class CountingTable:
    """A table that counts how often it is asked."""

    def __init__(self, rows: dict[bytes, bytes]) -> None:
        self.rows = rows
        self.asked = 0

    def get(self, key: bytes) -> bytes | None:
        self.asked += 1
        return self.rows.get(key)


def test_the_digest_is_this_one() -> None:
    """Fixed: two releases have to be comparable. An empty table has the digest zero."""
    assert digest_of([]) == EMPTY
    assert digest_of([(b"a", b"1")]).hex() == "b65f4db75b6ec51607a4e5947b157059a9e3dad81c66a3c1661819866ce88010"


@given(TABLES, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: dict[bytes, bytes], shuffle: random.Random) -> None:
    shuffled = list(rows.items())
    shuffle.shuffle(shuffled)
    assert digest_of(shuffled) == digest_of(rows.items())


@given(TABLES, TABLES)
def test_equal_digests_mean_equal_tables(one: dict[bytes, bytes], other: dict[bytes, bytes]) -> None:
    assert (digest_of(one.items()) == digest_of(other.items())) == (one == other)


def test_key_and_row_do_not_run_into_each_other() -> None:
    assert digest_of([(b"ab", b"c")]) != digest_of([(b"a", b"bc")])


@given(st.lists(st.dictionaries(KEYS, st.none() | st.binary(max_size=3), max_size=6), max_size=6))
def test_kept_up_to_date_it_is_that_of_a_scan(batches: list[dict[bytes, bytes | None]]) -> None:
    rows: dict[bytes, bytes] = {}
    digest = EMPTY
    for batch in batches:
        digest = RowsBefore(CountingTable(dict(rows))).digest_after(digest, batch)
        for key, row in batch.items():
            if row is None:
                rows.pop(key, None)
            else:
                rows[key] = row
        assert digest == digest_of(rows.items())


def test_the_progress_row_is_no_part_of_it() -> None:
    digest = Digest()
    digest.replace(PROGRESS_KEY, None, b"1")
    assert digest.value == EMPTY


def test_a_row_that_the_batch_has_read_is_not_read_again() -> None:
    table = CountingTable({b"a": b"1"})
    before = RowsBefore(table)
    assert [before.get(b"a"), before.get(b"b"), before.get(b"b")] == [b"1", None, None]
    table.rows[b"a"] = b"2"

    after = before.digest_after(digest_of([(b"a", b"1")]), {b"a": b"2", b"b": b"3"})

    assert after == digest_of([(b"a", b"2"), (b"b", b"3")])
    assert table.asked == 2
