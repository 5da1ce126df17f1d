"""What can go wrong with a shard.

StreamError
├── ShardClosedError       state and log do not fit: stays closed until an operator acts
│   └── StoreFailedError   RocksDB cannot read or write: the disk is full, or broken
├── AgentFailedError       an agent raised on a record: this partition is paused
├── TopicMissingError      the log or the changelog is not there: opened again until it is (retriable)
├── ReaderError            the reader is not where it has to be: opening again mends it (retriable)
├── RestoreTooOldError     a restore stood still for days: opening again begins anew (retriable)
├── ShardNotWantedError    the partition went to somebody else while the shard was opening
├── StoreInUseError        another process has the data directory: ends this one
├── RebuildError           a table cannot be made again, or must not be switched to
├── HandedOverError        the shard has turned to another generation of its table: it opens again at once
├── OutcomeUnknownError    the broker did not say where a batch went: opening again finds out (retriable)
└── ReplyTopicError        a reply topic does not take an answer: opening again, without it, mends it (retriable)
"""

from aiokafka.structs import TopicPartition


class StreamError(Exception):
    """Base of all. `retriable`: closing the shard and opening it again may mend it."""

    retriable = False


class ShardClosedError(StreamError):
    """The table, its changelog and the log do not belong together, or the log no longer reaches back far enough.

    Operator action: nothing was overwritten. Compare the offsets in the message with the topic; docs/runbook.md has an
    entry for each kind of message. `airy-identify rebuild --offline` makes a table again.
    """


class StoreFailedError(ShardClosedError):
    """RocksDB could not read or write. Whatever was committed is in the changelog, so nothing is lost.

    Operator action: make room on the disk that the message names, or replace it, and restart the worker.
    """


class AgentFailedError(StreamError):
    """An agent raised on the record at `offset`. The whole batch was rolled back, and nothing passes this record.

    Operator action: read the record at the topic, partition and offset in the message, and mend the cause; or pass
    it over with `airy-identify skip`.
    """

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class TopicMissingError(StreamError):
    """A log or a changelog is not there: it was deleted, an ACL hides it, or the brokers are still starting.

    Operator action: the message says. The shard opens again by itself when the topic is there, and closes if it holds
    nothing any more.
    """

    retriable = True


class ReaderError(StreamError):
    """A batch does not begin where the last one ended.

    Operator action: none, the shard opens itself again. Report it when it comes back.
    """

    retriable = True


class RestoreTooOldError(StreamError):
    """A restore took so long, in a machine that was suspended perhaps, that its store can no longer be trusted.

    Operator action: none, the shard opens itself again and restores the store from the start.
    """

    retriable = True


class ShardNotWantedError(StreamError):
    """A shard was asked to end while it was opening.

    Operator action: none.
    """


class HandedOverError(StreamError):
    """A shard has written down that another generation of its table is current, and opens again with it.

    Operator action: none.
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


class ReplyTopicError(StreamError):
    """A reply topic does not take an answer, and never will as it is. The batch was rolled back.

    `size_bytes_min`: larger answers are not taken; 0 for none. `alone`: whether the answer was in a record batch of
    its own; only then its size is known to be too much. `whole_topic`: whether other partitions are no better.

    Operator action: mend the reply topic, or take it out of AIRY_IDENTIFY_REPLY_TOPICS; then retry the dead letters
    with the code `undeliverable_answer`.
    """

    retriable = True

    def __init__(
        self, place: TopicPartition, why: str, *, size_bytes_min: int = 0, alone: bool = True, whole_topic: bool = True
    ) -> None:
        super().__init__(f"{place.topic}:{place.partition} {why}")
        self.place = place
        self.why = why
        self.size_bytes_min = size_bytes_min
        self.alone = alone
        self.whole_topic = whole_topic


class RebuildError(StreamError):
    """A table partition cannot be made again as it was asked for, or is not what the running one is. Nothing was switched.

    Operator action: the message says what to run; what was built is kept, and the same command goes on with it.
    """
