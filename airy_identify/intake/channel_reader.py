"""Reads Airy's channels: few, and needed by everybody, so a plain reader without a group fills a dict and follows."""

import asyncio
import logging

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from airy_identify.intake.channels import ChannelDirectory
from airy_identify.kafka import KafkaClients, close_client, partitions_of, read_to_end

logger = logging.getLogger(__name__)

_POLL_MS = 500
_RETRY_S = 1.0


class ChannelReader:
    """Keeps a `ChannelDirectory` up to date. `ready` once everything that was there at the start has been read."""

    def __init__(self, clients: KafkaClients, topic: str, directory: ChannelDirectory) -> None:
        self.directory = directory
        self._clients = clients
        self._topic = topic
        self._read = asyncio.Event()
        self._trouble: str | None = None

    @property
    def ready(self) -> bool:
        """Whether the directory has been complete once; it stays useful while Kafka is away."""
        return self._read.is_set()

    def problems(self) -> list[str]:
        """Say why the directory has never been complete; empty when it has."""
        if self.ready:
            return []
        return ["the channels have not been read yet" + (f": {self._trouble}" if self._trouble else "")]

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
        fresh = ChannelDirectory()
        async for records in read_to_end(consumer, partitions):
            for record in records:
                fresh.apply(record.key, record.value)
        self.directory.replace(fresh)
        self._read.set()
        while True:
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    self.directory.apply(record.key, record.value)
