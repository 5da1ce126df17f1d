"""What the watchdog sees of a real group and of real shards."""

import asyncio
from pathlib import Path

import pytest

from airy_identify.kafka import KafkaClients, partition_for
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.stream.group import unassigned_partitions
from airy_identify.stream.watchdog import Watchdog, WatchdogLimits
from tests.kafka.engine import PARTITIONS, Installation, running
from tests.kafka.service import Service, poll
from tests.kafka.test_shards import HeldClients

KEY = b"key"


async def test_partitions_that_nobody_has_are_found(service: Service) -> None:
    names = service.settings.topic_names
    clients = KafkaClients(bootstrap_servers=service.settings.kafka_bootstrap_servers)
    ours = (names.requests, names.identity_commands, names.conversation_commands, names.airy_messages)

    async def all_assigned() -> bool:
        return await unassigned_partitions(clients, names.app_id, ours) == []

    await poll(all_assigned, "the worker has not got all partitions")
    forgotten = await unassigned_partitions(clients, names.app_id, [*ours, names.dead_letters])
    assert forgotten == [(names.dead_letters, partition) for partition in range(service.settings.partitions)]


async def test_a_shard_that_stands_still_while_its_log_goes_on_ends_the_process(
    broker: LocalKafka, tmp_path: Path
) -> None:
    installation = await Installation.make(broker.bootstrap_servers)
    slow = partition_for(KEY, PARTITIONS)
    clients = HeldClients(bootstrap_servers=broker.bootstrap_servers, held=f"first-{slow}")
    complaints: list[str] = []
    await installation.produce((KEY, b"one"))
    async with running(installation, tmp_path, clients=clients) as run:
        await run.until(clients.held_up.is_set)
        watchdog = Watchdog(
            clients=installation.clients,
            shards=run.shards,
            group_id="nobody",
            limits=WatchdogLimits(check_every_s=0.0, standstill_s=0.0),
            fatal=complaints.append,
        )
        watching = asyncio.create_task(watchdog.run())
        await installation.produce((KEY, b"two"))
        await run.until(lambda: bool(complaints))
        watching.cancel()
        clients.let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await watching
    assert complaints[0] == f"{installation.names['source']}:{slow} has stood at offset 0 while its log goes on"
