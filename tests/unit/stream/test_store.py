from pathlib import Path

import pytest

from airy_identify.stream.errors import StoreInUseError
from airy_identify.stream.store import Store, StoreMemory, StoreState


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
