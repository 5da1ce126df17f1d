"""Reads Airy's channels: few, and needed by everybody, so a plain reader without a group fills a dict and follows."""

import asyncio
import logging

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from airy_identify.intake.channels import ChannelDirectory
from airy_identify.kafka import KafkaClients, close_client, partitions_of, read_to_end
from airy_identify.registry import SchemaResolver

logger = logging.getLogger(__name__)

_POLL_MS = 500
_RETRY_S = 1.0


class ChannelReader:
    """Keeps a `ChannelDirectory` up to date. `ready` once everything that was there at the start has been read."""

    def __init__(
        self, clients: KafkaClients, topic: str, directory: ChannelDirectory, resolver: SchemaResolver | None = None
    ) -> None:
        """Prepare the reader; `resolver` learns the schemas of the records, null when there is no registry."""
        self.directory = directory
        self.problem: str | None = None
        """Why the directory is not up to date, as long as it is not: the registry is waited for."""
        self._resolver = resolver
        self._clients = clients
        self._topic = topic
        self._read = asyncio.Event()
        self._trouble: str | None = None

    @property
    def ready(self) -> bool:
        """Whether the directory has been complete once; it stays useful while Kafka is away."""
        return self._read.is_set()

    def problems(self) -> list[str]:
        """Say why the directory has never been complete; empty when it has.

        It stays useful also while the registry keeps the latest change from it: only `problem` tells of that.
        """
        if self.ready:
            return []
        why = self.problem or self._trouble
        return ["the channels have not been read yet" + (f": {why}" if why else "")]

    async def wait_until_ready(self) -> None:
        """Return once the directory is complete."""
        await self._read.wait()

    async def run(self) -> None:
        """Read and follow the topic until cancelled; after any trouble with Kafka, from the start again.

        Reading again is harmless: a channel's last row wins. A channel whose deletion fell into the gap and has been
        compacted away since is noticed because the second reading replaces the directory.
        """
        while True:
            consumer = self._clients.consumer(read_committed=False, retry_backoff_ms=100)
            try:
                await consumer.start()
                await self._follow(consumer)
            except (KafkaError, OSError, asyncio.CancelledError) as error:
                # aiokafka raises `CancelledError` into its callers when a client closes under them.
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                self._trouble = f"reading {self._topic} failed ({type(error).__name__})"
                logger.warning("reading the channels from %s failed (%r); trying again", self._topic, error)
            finally:
                await close_client(consumer)
            await asyncio.sleep(_RETRY_S)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        partitions = await partitions_of(consumer, self._topic)
        if not partitions:
            self._trouble = f"there is no topic {self._topic}"
            logger.warning("the topic %s does not exist yet; trying again", self._topic)
            return
        fresh = ChannelDirectory(self.directory.writers)
        async for records in read_to_end(consumer, partitions):
            await self._apply(records, fresh)
        self.directory.replace(fresh)
        self._read.set()
        while True:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                await self._apply(records, self.directory)

    async def _apply(self, records: list[ConsumerRecord], directory: ChannelDirectory) -> None:
        """Take records in, as soon as the schemas are known that they were written with."""
        if self._resolver is not None:
            to_learn = self._resolver.learn((record.value for record in records), self._waits)
            if to_learn is not None:
                await to_learn
                self.problem = None
        for record in records:
            directory.apply(record.key, record.value)

    def _waits(self, reason: str) -> None:
        self.problem = reason
