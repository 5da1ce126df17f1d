"""A connection to Kafka for administration."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from airy_identify.ops.errors import KafkaUnreachableError

REQUEST_TIMEOUT_MS = 10_000


@asynccontextmanager
async def connect(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Connect to the brokers.

    Raises:
        KafkaUnreachableError: None of them answers, or the connection was lost.
    """
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await client.start()
        yield client
    except (KafkaError, OSError, TimeoutError) as error:
        raise KafkaUnreachableError(f"Kafka at {bootstrap_servers} does not answer ({type(error).__name__})") from error
    finally:
        await client.close()


async def answers(bootstrap_servers: str) -> bool:
    """Tell whether a broker answers a client's request, without a word in the log when it does not."""
    logger = logging.getLogger("aiokafka")
    disabled = logger.disabled
    logger.disabled = True
    try:
        async with connect(bootstrap_servers) as client:
            cluster = await client.describe_cluster()
    except KafkaUnreachableError:
        return False
    finally:
        logger.disabled = disabled
    return bool(cluster["brokers"])
