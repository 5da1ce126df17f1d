"""The peer of `bench`: two transactional hops that copy bytes, with the same client library and nothing else.

What the service costs beyond this is Avro, the rules, RocksDB and the changelogs. Run by `bench.py`.
"""

import asyncio
import signal
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from airy_identify.kafka import KafkaClients, close_client, partitions_of

POLL_MS = 500
RECORDS_MAX = 500


async def copy(clients: KafkaClients, source: TopicPartition, target: str, stopping: asyncio.Event) -> None:
    producer: AIOKafkaProducer = clients.transactional_producer(
        f"echo-{source.topic}-{source.partition}", request_timeout_ms=7_500
    )
    consumer: AIOKafkaConsumer = clients.consumer()
    await producer.start()
    await consumer.start()
    consumer.assign([source])
    consumer.seek(source, 0)
    while not stopping.is_set():
        records = (await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)).get(source)
        if not records:
            continue
        await producer.begin_transaction()
        batch = producer.create_batch()
        futures = []
        for record in records:
            if batch.append(key=record.key, value=record.value, timestamp=None) is None:
                futures.append(await producer.send_batch(batch, target, partition=source.partition))
                batch = producer.create_batch()
                batch.append(key=record.key, value=record.value, timestamp=None)
        futures.append(await producer.send_batch(batch, target, partition=source.partition))
        await asyncio.gather(*futures)
        await producer.commit_transaction()
    await close_client(consumer)
    await close_client(producer)


async def main(bootstrap_servers: str, first: str, second: str, third: str) -> None:
    clients = KafkaClients(bootstrap_servers=bootstrap_servers)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    consumer = clients.consumer()
    await consumer.start()
    hops = [
        copy(clients, partition, target, stopping)
        for source, target in ((first, second), (second, third))
        for partition in await partitions_of(consumer, source)
    ]
    await close_client(consumer)
    print("ready", flush=True)
    await asyncio.gather(*hops)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
