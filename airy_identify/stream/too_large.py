"""What is said when a topic does not take a record of a batch, because it is larger than the topic allows."""

from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError, RecordTooLargeError
from aiokafka.structs import TopicPartition

from airy_identify.stream.batch import Batch
from airy_identify.stream.errors import ShardClosedError

TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError, RecordTooLargeError)


def too_large(batch: Batch, changelog: TopicPartition, *, first_offset: int) -> ShardClosedError:
    """Return the error that closes the shard. Nothing of the batch was committed.

    The broker does not say which record it was, so the largest of each topic is named.
    """
    largest = {changelog.topic: max((len(key) + len(row or b"") for key, row in batch.rows.items()), default=0)}
    for partition, records in batch.outputs.items():
        size = max(len(key or b"") + len(value or b"") for key, value, _ in records)
        largest[partition.topic] = max(largest.get(partition.topic, 0), size)
    sizes = ", ".join(f"{size} bytes for {topic}" for topic, size in sorted(largest.items(), key=lambda item: -item[1]))
    return ShardClosedError(
        f"{batch.source.topic}:{batch.source.partition}: offsets {first_offset} to {batch.last_record.offset} cannot be "
        f"applied: a topic does not take a record, of at most {sizes}; run `airy-identify topics check`, set "
        f"max.message.bytes back to what it says, and restart the worker: "
        f'docs/runbook.md, "A topic does not take a record any more"'
    )
