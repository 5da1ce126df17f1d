"""Closing Kafka clients."""

import asyncio
from collections.abc import Callable
from typing import Any

import aiokafka.client
import pytest
from aiokafka.conn import AIOKafkaConnection

from airy_identify.kafka import KafkaClients, close_client
from airy_identify.ops.local_broker import LocalKafka

KINDS: dict[str, Callable[[KafkaClients], Any]] = {
    "consumer": lambda clients: clients.consumer(),
    "producer": lambda clients: clients.idempotent_producer(request_timeout_ms=10_000),
    "transactional producer": lambda clients: clients.transactional_producer("closing", request_timeout_ms=10_000),
    "admin": lambda clients: clients.admin(),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_start_that_is_cancelled_leaves_no_connection(
    broker: LocalKafka, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    made: list[AIOKafkaConnection] = []
    connected = asyncio.Event()
    connect = aiokafka.client.create_conn

    async def remembered(*arguments: Any, **options: Any) -> AIOKafkaConnection:
        made.append(await connect(*arguments, **options))
        connected.set()
        return made[-1]

    monkeypatch.setattr(aiokafka.client, "create_conn", remembered)
    client = KINDS[kind](KafkaClients(bootstrap_servers=broker.bootstrap_servers))
    start = asyncio.create_task(client.start())
    await connected.wait()
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    await close_client(client)
    assert [connection for connection in made if connection.connected()] == []
