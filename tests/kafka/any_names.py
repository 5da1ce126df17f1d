"""Records whose headers have any bytes as names, as some client libraries send them."""

from collections.abc import Sequence

from airy_identify.header_names import AnyNameBatch
from airy_identify.kafka import BATCH_BYTES, KafkaClients, close_client

ODD_NAME = b"odd\xff\xfe".decode(errors="surrogateescape")
"""A name that is no UTF-8, as we have it in memory."""

Record = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]


async def produce_any_names(bootstrap_servers: str, topic: str, *records: Record, partition: int = 0) -> int:
    """Append records in one batch; return the offset of the first."""
    producer = KafkaClients(bootstrap_servers=bootstrap_servers).idempotent_producer(request_timeout_ms=20_000)
    await producer.start()
    try:
        batch = AnyNameBatch(BATCH_BYTES, transactional=False)
        for key, value, headers in records:
            assert batch.append(timestamp=None, key=key, value=value, headers=headers) is not None
        return int((await (await producer.send_batch(batch, topic, partition=partition))).offset)
    finally:
        await close_client(producer)
