"""The reader of the channels says why it has not read them yet. Reading itself is tested on real Kafka."""

import asyncio

from airy_identify.intake.channel_reader import ChannelReader
from airy_identify.intake.channels import ChannelDirectory
from airy_identify.kafka import KafkaClients


async def test_without_kafka_it_says_why_it_is_not_ready() -> None:
    clients = KafkaClients(bootstrap_servers="127.0.0.1:1")
    reader = ChannelReader(clients, "channels", ChannelDirectory())
    assert reader.problems() == ["the channels have not been read yet"]
    reading = asyncio.create_task(reader.run())
    try:
        async with asyncio.timeout(30):
            while len(reader.problems()[0]) == len("the channels have not been read yet"):  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
    finally:
        reading.cancel()
        await asyncio.wait({reading})
    assert reader.problems() == ["the channels have not been read yet: reading channels failed (KafkaConnectionError)"]
