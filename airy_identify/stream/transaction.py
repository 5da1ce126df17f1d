"""The batch transaction: outputs, changed rows and the progress row of one batch, all or nothing."""

import asyncio
import time
from collections.abc import Iterable

from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata, TopicPartition

from airy_identify.stream.batch import Batch, Output
from airy_identify.stream.errors import OutcomeUnknownError

OFFSETS_EVERY_S = 1.0
"""How often a busy shard writes the group's offset; one that has nothing left to read writes it then.

Offsets are for lag displays only, reading goes on by the progress row. Two more round trips are no part of a batch
that somebody waits for.
"""


class BatchTransaction:
    """Commits the batches of one shard with its transactional producer."""

    def __init__(
        self, producer: AIOKafkaProducer, *, source: TopicPartition, changelog: TopicPartition, group_id: str
    ) -> None:
        self._producer = producer
        self._source = source
        self._changelog = changelog
        self._group_id = group_id
        self._reported_position = -1
        self._unreported_since: float | None = None

    async def commit(self, batch: Batch, *, position: int) -> int:
        """Publish the batch and return the changelog position after it.

        `position` is where the reader stands now. The last row of the batch is its progress row, so that the
        position of a store always follows one. Raises `KafkaError`, `asyncio.CancelledError` or `OutcomeUnknownError`: then
        nothing is known about the batch, and the shard has to be opened again.
        """
        rows: list[Output] = [(key, row, ()) for key, row in batch.rows.items()]
        await self._producer.begin_transaction()
        sent = [await self._send(partition, records) for partition, records in batch.outputs.items()]
        sent.append(await self._send(self._changelog, rows))
        metadata = await asyncio.gather(*(future for futures, _ in sent for future in futures))
        now_s = time.monotonic()
        if self._unreported_since is None:
            self._unreported_since = now_s
        if now_s - self._unreported_since > OFFSETS_EVERY_S:
            await self._report(position)
        await self._producer.commit_transaction()
        base_offset = int(metadata[-1].offset)
        if base_offset < 0:
            raise OutcomeUnknownError(f"{self._changelog}: the broker gave no offset for a committed batch")
        return base_offset + sent[-1][1]

    async def report_position(self, position: int, *, again: bool = False) -> None:
        """Write the group's offset when nothing is left to read, so that lag displays show zero.

        With `again`, also if it is known already: what is committed shows that this producer still has the shard.
        """
        if position == self._reported_position and not again:
            return
        await self._producer.begin_transaction()
        await self._report(position)
        await self._producer.commit_transaction()

    async def _report(self, position: int) -> None:
        await self._producer.send_offsets_to_transaction({self._source: position}, self._group_id)
        self._reported_position, self._unreported_since = position, None

    async def _send(
        self, partition: TopicPartition, records: Iterable[Output]
    ) -> tuple[list[asyncio.Future[RecordMetadata]], int]:
        """Send records as few batches; return a future for each batch, and the number of records in the last one."""
        futures: list[asyncio.Future[RecordMetadata]] = []
        batch, count = self._producer.create_batch(), 0
        for key, value, headers in records:
            if batch.append(key=key, value=value, timestamp=None, headers=list(headers)) is None:
                futures.append(await self._producer.send_batch(batch, partition.topic, partition=partition.partition))
                batch, count = self._producer.create_batch(), 0
                batch.append(key=key, value=value, timestamp=None, headers=list(headers))
            count += 1
        futures.append(await self._producer.send_batch(batch, partition.topic, partition=partition.partition))
        return futures, count
