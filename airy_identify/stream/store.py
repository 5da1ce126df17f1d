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
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
)

from airy_identify.stream.errors import StoreInUseError

logger = logging.getLogger(__name__)

_POSITION = b"\0position"
_SYNCED_AT_MS = b"\0synced_at_ms"
_META = b"\0"

_MIB = 1024 * 1024


class StoreMemory:
    """Memory that all stores of a process share: one block cache, one bound on what is not yet on disk."""

    def __init__(self, *, block_cache_bytes: int = 64 * _MIB, write_buffer_bytes: int = 128 * _MIB) -> None:
        self.block_cache = Cache(block_cache_bytes)
        self.write_buffers = WriteBufferManager.new_write_buffer_manager_with_cache(
            write_buffer_bytes, allow_stall=False, cache=self.block_cache
        )

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
    """Where a store stands: the changelog offset that comes next, and when it was last known to be up to date."""

    position: int
    synced_at_ms: int


class Store:
    """One RocksDB directory. `get` is valid between `open` and `close`."""

    def __init__(self, path: Path, memory: StoreMemory) -> None:
        self.path = path
        self._memory = memory
        self._db: Rdict | None = None

    def open(self) -> StoreState | None:
        """Open the directory, making it where it is absent, and return where it stands; null when it is new."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._db = self._open_or_make()
        position, synced_at_ms = self._db.get(_POSITION), self._db.get(_SYNCED_AT_MS)
        if position is None or synced_at_ms is None:
            return None
        return StoreState(position=int(position), synced_at_ms=int(synced_at_ms))

    def _open_or_make(self) -> Rdict:
        """Open the directory; one that cannot be read is thrown away, since the changelog has everything."""
        try:
            return Rdict(str(self.path), options=self._memory.options())
        except Exception as error:
            if "lock" in str(error).lower():
                raise StoreInUseError(f"{self.path} is in use: another worker has the same data directory") from error
            logger.warning("the store %s cannot be read and is restored from its changelog: %s", self.path, error)
            shutil.rmtree(self.path)
            return Rdict(str(self.path), options=self._memory.options())

    def wipe(self) -> None:
        """Throw everything away and open an empty directory."""
        self.close()
        Rdict.destroy(str(self.path), options=self._memory.options())
        self.open()

    def get(self, key: bytes) -> bytes | None:
        """Return the row, or null."""
        row: bytes | None = self._open_db.get(key)
        return row

    def write(self, rows: Iterable[tuple[bytes, bytes | None]], *, position: int, now_ms: int) -> None:
        """Write rows that the changelog holds before `position`; null deletes. All of it or nothing."""
        batch = WriteBatch(raw_mode=True)
        for key, row in rows:
            if row is None:
                batch.delete(key)
            else:
                batch.put(key, row)
        batch.put(_POSITION, b"%d" % position)
        batch.put(_SYNCED_AT_MS, b"%d" % now_ms)
        self._open_db.write(batch)

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield all rows in key order. To be used up before the store is closed: a live iterator keeps the lock."""
        for key, row in self._open_db.items():
            if isinstance(key, bytes) and not key.startswith(_META):
                yield key, row

    def close(self) -> None:
        """Close the directory; another process may open it then."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    @property
    def _open_db(self) -> Rdict:
        if self._db is None:
            raise RuntimeError(f"the store {self.path} is not open")
        return self._db
