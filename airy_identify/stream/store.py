"""The local copy of one table partition in RocksDB. It never holds what the changelog does not (I3).

Rows and the changelog position they came from are written in one WriteBatch, so the store is always equal to a
prefix of its changelog. Losing it costs time, never data.
"""

import logging
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
)

from airy_identify.stream.errors import StoreFailedError, StoreInUseError, StreamError

logger = logging.getLogger(__name__)

_POSITION = b"\0position"
_SYNCED_AT_MS = b"\0synced_at_ms"
_CLUSTER_ID = b"\0cluster_id"
_META = b"\0"

_MIB = 1024 * 1024
_OPEN_ATTEMPTS = 5


class StoreMemory:
    """Memory that all stores of a process share, however many they are: one bound, for everything RocksDB keeps.

    Blocks read, their indexes and filters, and what is not yet on disk are all charged to one cache. What is not yet
    on disk is at most half of it, so that writes leave room for reads; it may pass the bound for as long as a flush
    takes, since a stalled write would stall every shard of the process.
    """

    def __init__(self, *, bound_bytes: int = 192 * _MIB) -> None:
        self.block_cache = Cache(bound_bytes)
        self.write_buffers = WriteBufferManager.new_write_buffer_manager_with_cache(
            bound_bytes // 2, allow_stall=False, cache=self.block_cache
        )

    def used(self) -> int:
        """Return how many bytes all stores use of the bound now."""
        return int(self.block_cache.get_usage())

    def options(self) -> Options:
        """Return the options of one store. Bloom filters of 10 bits spare most reads of keys that are not there."""
        blocks = BlockBasedOptions()
        blocks.set_block_cache(self.block_cache)
        blocks.set_bloom_filter(10, block_based=False)
        blocks.set_cache_index_and_filter_blocks(True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)  # noqa: FBT003 - RocksDB's own spelling
        options.set_block_based_table_factory(blocks)
        options.set_write_buffer_manager(self.write_buffers)
        options.set_write_buffer_size(16 * _MIB)
        options.set_max_write_buffer_number(2)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_keep_log_file_num(2)
        options.set_max_open_files(256)
        return options


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """Where a store stands: the changelog offset that comes next, and when it was last known to be up to date.

    `cluster_id` is null in stores of earlier releases.
    """

    position: int
    synced_at_ms: int
    cluster_id: str | None = None


class Store:
    """One RocksDB directory. `get` is valid between `open` and `close`.

    `position` is the changelog offset that comes next, null while there is none, or the directory is not open.
    """

    def __init__(self, path: Path, memory: StoreMemory) -> None:
        self.path = path
        self.position: int | None = None
        self._memory = memory
        self._db: Rdict | None = None

    def open(self) -> StoreState | None:
        """Open the directory, making it where it is absent, and return where it stands; null when it is new."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._open_or_make()
            state = read_state(self._db)
        except StreamError:
            raise
        except Exception as error:
            raise self._failed("be opened", error) from error
        self.position = None if state is None else state.position
        return state

    def _open_or_make(self) -> Rdict:
        """Open the directory; one that is damaged is thrown away, since the changelog has everything."""
        try:
            return Rdict(str(self.path), options=self._memory.options())
        except Exception as error:
            if "lock" in str(error).lower():
                raise StoreInUseError(f"{self.path} is in use: another worker has the same data directory") from error
            if "Corruption" not in str(error):
                raise  # a full disk, missing rights: nothing says that the rows are damaged
            logger.warning("the store %s is damaged and is restored from its changelog: %s", self.path, error)
            shutil.rmtree(self.path)
            return Rdict(str(self.path), options=self._memory.options())

    def wipe(self) -> None:
        """Throw everything away and open an empty directory."""
        self.close()
        try:
            Rdict.destroy(str(self.path), options=self._memory.options())
        except Exception as error:
            raise self._failed("be emptied", error) from error
        self.open()

    def get(self, key: bytes) -> bytes | None:
        """Return the row, or null."""
        db = self._open_db
        try:
            row: bytes | None = db.get(key)
        except Exception as error:
            raise self._failed("be read", error) from error
        return row

    def write(
        self,
        rows: Iterable[tuple[bytes, bytes | None]],
        *,
        position: int,
        now_ms: int,
        cluster_id: str | None = None,
    ) -> None:
        """Write rows that the changelog holds before `position`; null deletes. All of it or nothing.

        Raises `StoreFailedError` when the disk does not take them.
        """
        db = self._open_db
        batch = WriteBatch(raw_mode=True)
        for key, row in rows:
            if row is None:
                batch.delete(key)
            else:
                batch.put(key, row)
        batch.put(_POSITION, b"%d" % position)
        batch.put(_SYNCED_AT_MS, b"%d" % now_ms)
        if cluster_id is not None:
            batch.put(_CLUSTER_ID, cluster_id.encode())
        try:
            db.write(batch)
        except Exception as error:
            raise self._failed("be written", error) from error
        self.position = position

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all rows in key order. To be used up before the store is closed: a live iterator keeps the lock."""
        yield from rows_of(self._open_db)

    def close(self) -> None:
        """Close the directory; another process may open it then. What a full disk does not take now is restored."""
        db, self._db, self.position = self._db, None, None
        if db is not None:
            try:
                db.close()
            except Exception as error:  # noqa: BLE001 - RocksDB raises bare exceptions
                logger.warning("the store %s did not close cleanly: %s", self.path, error)

    def _failed(self, what: str, error: Exception) -> StoreFailedError:
        """Return the error that says which directory it was: RocksDB raises bare exceptions."""
        return StoreFailedError(
            f"the store {self.path} cannot {what}: {error}; look at the disk (`df -h {self.path.parent}`), make "
            f'room or replace it, and restart the worker: everything committed is in the changelog (docs/runbook.md, "The disk is full")'
        )

    @property
    def _open_db(self) -> Rdict:
        if self._db is None:
            raise RuntimeError(f"the store {self.path} is not open")
        return self._db


def read_state(db: Rdict) -> StoreState | None:
    """Return where an open RocksDB stands; null when it is new."""
    position, synced_at_ms, cluster_id = (db.get(key) for key in (_POSITION, _SYNCED_AT_MS, _CLUSTER_ID))
    if position is None or synced_at_ms is None:
        return None
    return StoreState(
        position=int(position),
        synced_at_ms=int(synced_at_ms),
        cluster_id=None if cluster_id is None else cluster_id.decode(),
    )


def rows_of(db: Rdict) -> Iterator[tuple[bytes, bytes]]:
    """Yield all rows of an open RocksDB in key order."""
    for key, row in db.items():
        if isinstance(key, bytes) and not key.startswith(_META):
            yield key, row


def open_beside(path: Path, own_files: Path) -> Rdict:
    """Open a directory that another process has open, for reading; `own_files` is where this reader may write.

    What is read is the other's last write up to now or the latest `try_catch_up_with_primary`: rows and position of
    one moment. All files are held open, so that none vanishes while it is read (RocksDB, "Secondary instance").
    Raises `StoreFailedError`.
    """
    options = Options(raw_mode=True)
    options.set_max_open_files(-1)
    for attempt in range(_OPEN_ATTEMPTS):
        try:
            return Rdict(str(path), options=options, access_type=AccessType.secondary(f"{own_files}-{attempt}"))
        except Exception as error:
            # A file that the owner has just compacted away, between the list of files and opening them.
            if attempt == _OPEN_ATTEMPTS - 1:
                raise StoreFailedError(f"the store {path} cannot be read beside its owner: {error}") from error
    raise AssertionError("unreachable")
