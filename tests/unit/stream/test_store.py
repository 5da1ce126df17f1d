from pathlib import Path

import pytest

from airy_identify.stream.errors import StoreFailedError, StoreInUseError
from airy_identify.stream.store import Store, StoreMemory, StoreState, open_beside, read_state, rows_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "deep" / "down" / "store", StoreMemory())


def test_a_new_store_stands_nowhere(store: Store) -> None:
    assert store.open() is None
    assert list(store.rows()) == []


def test_rows_and_position_are_found_again(store: Store) -> None:
    store.open()
    store.write([(b"a", b"1"), (b"b", b"2")], position=7, now_ms=5)
    store.write([(b"a", None)], position=9, now_ms=6)
    store.close()

    assert store.open() == StoreState(position=9, synced_at_ms=6)
    assert list(store.rows()) == [(b"b", b"2")]
    assert [store.get(b"a"), store.get(b"b")] == [None, b"2"]


def test_wiping_leaves_nothing(store: Store) -> None:
    store.open()
    store.write([(b"a", b"1")], position=7, now_ms=5)
    store.wipe()

    assert store.get(b"a") is None
    store.close()
    assert store.open() is None


def test_a_directory_has_one_owner_at_a_time(store: Store) -> None:
    store.open()
    store.write([(b"a", b"1")], position=7, now_ms=5)

    with pytest.raises(StoreInUseError, match="same data directory"):
        Store(store.path, StoreMemory()).open()
    assert store.get(b"a") == b"1"


def test_a_directory_that_cannot_be_read_is_begun_anew(store: Store) -> None:
    store.open()
    store.write([(b"a", b"1")], position=7, now_ms=5)
    store.close()
    (store.path / "CURRENT").write_text("nonsense")

    assert store.open() is None
    assert list(store.rows()) == []


def test_a_closed_store_says_so(store: Store) -> None:
    with pytest.raises(RuntimeError, match="is not open"):
        store.get(b"a")


def test_a_store_remembers_its_cluster(store: Store) -> None:
    store.open()
    store.write([], position=7, now_ms=5, cluster_id="abc")
    store.write([(b"a", b"1")], position=8, now_ms=6)
    store.close()

    assert store.open() == StoreState(position=8, synced_at_ms=6, cluster_id="abc")


def test_a_directory_that_cannot_be_opened_is_left_as_it_is(store: Store) -> None:
    """Only damage is thrown away: a full disk or a missing right says nothing about the rows."""
    store.open()
    store.write([(b"a", b"1")], position=7, now_ms=5)
    store.close()
    (store.path / "CURRENT").rename(store.path / "kept")
    (store.path / "CURRENT").mkdir()

    with pytest.raises(StoreFailedError, match=r"cannot be opened.*df -h"):
        store.open()

    (store.path / "CURRENT").rmdir()
    (store.path / "kept").rename(store.path / "CURRENT")
    assert store.open() == StoreState(position=7, synced_at_ms=5)


def test_a_directory_is_read_beside_its_owner(store: Store, tmp_path: Path) -> None:
    store.open()
    store.write([(b"a", b"1")], position=7, now_ms=5)
    beside = open_beside(store.path, tmp_path / "beside")
    store.write([(b"b", b"2")], position=8, now_ms=5)

    assert list(rows_of(beside)) == [(b"a", b"1")]
    beside.try_catch_up_with_primary()

    assert list(rows_of(beside)) == [(b"a", b"1"), (b"b", b"2")]
    assert read_state(beside) == StoreState(position=8, synced_at_ms=5)
    beside.close()
    store.write([(b"c", b"3")], position=9, now_ms=5)
    assert store.get(b"c") == b"3"
