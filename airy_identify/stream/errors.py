"""What can go wrong with a shard.

StreamError
├── ShardClosedError       state and log do not fit: stays closed until an operator acts
│   └── StoreFailedError   RocksDB cannot read or write: the disk is full, or broken
├── AgentFailedError       an agent raised on a record: this partition is paused
├── ReaderError            the reader is not where it has to be: opening again mends it (retriable)
├── StoreInUseError        another process has the data directory: ends this one
└── OutcomeUnknownError    the broker did not say where a batch went: opening again finds out (retriable)
"""


class StreamError(Exception):
    """Base of all. `retriable`: closing the shard and opening it again may mend it."""

    retriable = False


class ShardClosedError(StreamError):
    """The table, its changelog and the log do not belong together, or the log no longer reaches back far enough.

    Operator action: nothing was overwritten. Compare the offsets in the message with the topic, then rebuild the
    table of this partition from its log.
    """


class StoreFailedError(ShardClosedError):
    """RocksDB could not read or write. Whatever was committed is in the changelog, so nothing is lost.

    Operator action: make room on the disk that the message names, or replace it, and restart the worker.
    """


class AgentFailedError(StreamError):
    """An agent raised on a record. The whole batch was rolled back, and nothing passes this record.

    Operator action: read the record at the topic, partition and offset in the message, and mend the cause; or pass
    it over with `airy-identify skip`.
    """

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class ReaderError(StreamError):
    """A batch does not begin where the last one ended.

    Operator action: none, the shard opens itself again. Report it when it comes back.
    """

    retriable = True


class StoreInUseError(StreamError):
    """The RocksDB directory is locked by another process. It is never touched then.

    Operator action: give each worker on a machine a data directory of its own.
    """


class OutcomeUnknownError(StreamError):
    """The broker accepted a batch without saying at which offset.

    Operator action: none, the shard opens itself again.
    """

    retriable = True
