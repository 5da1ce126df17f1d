"""Kafka clients with the settings this service relies on, and the few things done with them in more than one place."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2
from aiokafka.structs import ConsumerRecord

from airy_identify.header_names import read_any_header_name

logger = logging.getLogger(__name__)

Client = TypeVar("Client", AIOKafkaAdminClient, AIOKafkaConsumer, AIOKafkaProducer)

BATCH_BYTES = 900_000
"""How much goes into one record batch; a larger single record gets a batch of its own."""

FETCH_BYTES = 4 * 1024 * 1024
"""How much of one partition is fetched at a time; a larger single record is still delivered."""

_CLOSE_TIMEOUT_S = 5.0
_BOOTSTRAP_S = 1.0
"""How long a client whose start is cancelled may take to learn the brokers; it is a matter of milliseconds."""


@lru_cache(maxsize=65_536)
def _hash(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF


def partition_for(key: bytes, partitions: int) -> int:
    """Return the partition that Kafka's default partitioner (murmur2) gives this key."""
    return _hash(key) % partitions


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaClients:
    """Makes clients of one cluster. They are not started; whoever takes one closes it with `close_client`."""

    bootstrap_servers: str
    client_id: str = "airy-identify"

    def consumer(
        self, *, read_committed: bool = True, retry_backoff_ms: int = 10, fetch_max_wait_ms: int = 500
    ) -> AIOKafkaConsumer:
        """Return a consumer without a group and without a reset policy: what it reads is assigned and sought by hand.

        `fetch_max_wait_ms` is how long the broker holds a fetch that finds nothing, and with it whatever is asked next.
        """
        read_any_header_name()
        return _closable(
            AIOKafkaConsumer(
                bootstrap_servers=self.bootstrap_servers,
                client_id=self.client_id,
                isolation_level="read_committed" if read_committed else "read_uncommitted",
                enable_auto_commit=False,
                auto_offset_reset="none",
                max_partition_fetch_bytes=FETCH_BYTES,
                fetch_max_wait_ms=fetch_max_wait_ms,
                # `beginning_offsets` on a fresh consumer waits for one back-off: 200 ms by default.
                retry_backoff_ms=retry_backoff_ms,
            )
        )

    def transactional_producer(self, transactional_id: str, *, request_timeout_ms: int) -> AIOKafkaProducer:
        """Return the producer of a shard. Starting it cuts off every earlier owner of the id.

        `transaction.timeout.ms` bounds how long a killed worker's open transaction holds up read_committed readers.
        """
        return _closable(
            AIOKafkaProducer(
                bootstrap_servers=self.bootstrap_servers,
                client_id=self.client_id,
                transactional_id=transactional_id,
                transaction_timeout_ms=10_000,
                request_timeout_ms=request_timeout_ms,
                max_batch_size=BATCH_BYTES,
                linger_ms=0,
                retry_backoff_ms=20,
            )
        )

    def idempotent_producer(self, *, request_timeout_ms: int) -> AIOKafkaProducer:
        """Return a producer that appends each record once, also when a response is lost."""
        return _closable(
            AIOKafkaProducer(
                bootstrap_servers=self.bootstrap_servers,
                client_id=self.client_id,
                enable_idempotence=True,
                acks="all",
                request_timeout_ms=request_timeout_ms,
                max_batch_size=BATCH_BYTES,
                max_request_size=FETCH_BYTES,
                linger_ms=0,
                retry_backoff_ms=20,
            )
        )

    def admin(self) -> AIOKafkaAdminClient:
        """Return an admin client."""
        return _closable(AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers, client_id=self.client_id))


def _closable(client: Client) -> Client:
    """Let a client that is closed before it has started close its first connection too.

    It learns the brokers over a connection that only this step of its start knows, and aiokafka 0.14.0 forgets that
    when the step is cancelled. So the step is let go to its end, and what it leaves is what closing looks for.
    """
    inner: Any = client.client if isinstance(client, AIOKafkaProducer) else client._client  # noqa: SLF001
    bootstrap = inner.bootstrap

    async def to_its_end() -> None:
        task = asyncio.ensure_future(bootstrap())
        try:
            await asyncio.shield(task)
        finally:
            await asyncio.wait({task}, timeout=_BOOTSTRAP_S)
            task.cancel()

    inner.bootstrap = to_its_end
    return client


async def close_client(client: Any) -> None:  # noqa: ANN401 - the three clients share no base class
    """Stop a client, for five seconds at most.

    It may hang when the broker is gone, and swallow being cancelled, so it is waited for and not cancelled.
    """
    task = asyncio.ensure_future(client.stop() if hasattr(client, "stop") else client.close())
    done, _ = await asyncio.wait({task}, timeout=_CLOSE_TIMEOUT_S)
    for finished in done:
        if not finished.cancelled() and (error := finished.exception()) is not None:
            logger.debug("a Kafka client did not close cleanly: %r", error)


def quieten_lost_futures(loop: asyncio.AbstractEventLoop) -> None:
    """Do not report Kafka errors that nobody awaits.

    A producer that is fenced or closed fails futures of its own besides the one that its caller gets; asyncio would
    write a traceback for each of them, long after the error itself was handled and logged.
    """

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), KafkaError):
            logger.debug("a Kafka error that nobody waited for: %r", context["exception"])
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)


async def wait_for_broker(clients: KafkaClients, *, retry_s: float = 2.0) -> None:
    """Return when the cluster answers; until then say every few seconds which address does not."""
    while True:
        admin = clients.admin()
        try:
            await admin.start()
        except (KafkaError, OSError) as error:
            logger.warning("Kafka does not answer at %s (%s); trying again", clients.bootstrap_servers, error)
        else:
            return
        finally:
            await close_client(admin)
        await asyncio.sleep(retry_s)


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """Return the partitions of a topic, in order; empty when there is no such topic.

    The brokers are asked: what a consumer knows by itself are the topics that it reads.
    """
    client = consumer._client  # noqa: SLF001 - the only way to see a topic made just now
    await client.force_metadata_update()
    cluster = await client.fetch_all_metadata()
    return [TopicPartition(topic, number) for number in sorted(cluster.partitions_for_topic(topic) or ())]


async def read_to_end(
    consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition], *, records_max: int = 5_000
) -> AsyncIterator[list[ConsumerRecord]]:
    """Yield everything from the start of the partitions to what is their end now, in batches of one partition.

    The end is reached when the consumer's *position* has passed it: record offsets never reach it where the last
    entry is a transaction's control record. The consumer stays assigned, positioned after what was yielded.
    """
    wanted = list(partitions)
    consumer.assign(wanted)
    if not wanted:
        return
    begin, end = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
    for partition in wanted:
        consumer.seek(partition, begin[partition])
    left = {partition for partition in wanted if begin[partition] < end[partition]}
    while left:
        for records in (await consumer.getmany(timeout_ms=100, max_records=records_max)).values():
            yield records
        left = {partition for partition in left if await consumer.position(partition) < end[partition]}
