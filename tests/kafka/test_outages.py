"""The broker is not there, goes away, comes back: said clearly, and everything goes on by itself."""

import asyncio
import json
import time
import uuid
from pathlib import Path

from airy_identify.ops.local_broker import LocalKafka
from airy_identify.ops.topics import create_topics
from airy_identify.topics import TopicDeclaration
from tests.kafka.conftest import create_all_topics, settings_of
from tests.kafka.processes import POLL_S, ServiceProcess, ended_afterwards
from tests.kafka.service import Service, put_channels

OUTAGE_S = 20.0


async def until(process: ServiceProcess, status: int, words: str) -> None:
    async with asyncio.timeout(90):
        while not ((answer := await process.status())[0] == status and words in answer[1]):  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
    assert (await process.status("/healthz"))[0] == 200


async def test_absent_at_start_and_gone_for_twenty_seconds(tmp_path: Path) -> None:
    broker = LocalKafka(tmp_path / "kafka")
    settings = settings_of(broker, tmp_path, partitions=2)
    channel = str(uuid.uuid4())
    worker, bridge = (ServiceProcess(command, settings, tmp_path) for command in ("worker", "web"))
    service = Service(settings, channel, worker, bridge)
    body = json.dumps({"channel_id": channel, "external_id": "u"}).encode()
    try:
        await broker.start()
        await create_all_topics(settings)
        await put_channels(settings, [channel])
        await broker.stop()
        async with ended_afterwards(worker, bridge):
            worker.start()
            bridge.start()
            await until(worker, 503, "waiting for Kafka")
            await until(bridge, 503, "reasons")
            status, answer, headers = await service.post(body)
            assert (status, answer["code"]) == (503, "unavailable")
            assert int(headers["Retry-After"]) > 0
            assert "does not answer" in worker.log_file.read_text()

            await broker.start()
            await worker.until_ready()
            await bridge.until_ready()
            first = await service.identify(external_id="u")
            assert first["status"] == 200

            for by_force in (False, True):
                if by_force:
                    broker.kill()
                else:
                    await broker.stop()
                gone = time.monotonic()
                await until(bridge, 503, "reasons")
                await until(worker, 503, "Kafka does not answer at")
                assert (await service.post(body))[0] == 503
                deadline = gone + OUTAGE_S
                while time.monotonic() < deadline:
                    assert worker.runs
                    assert bridge.runs
                    await asyncio.sleep(POLL_S)  # until the deadline: the outage has to last
                await broker.start()
                await worker.until_ready()
                await bridge.until_ready()
                again = await service.identify(external_id="u")
                assert again["status"] == 200
                assert again["contact"] == first["contact"]
    finally:
        broker.kill()


async def test_a_worker_refuses_to_start_without_its_topics(broker: LocalKafka, tmp_path: Path) -> None:
    settings = settings_of(broker, tmp_path)
    worker = ServiceProcess("worker", settings, tmp_path)
    async with ended_afterwards(worker):
        assert await worker.start().ended() == 1
        assert settings.topic_names.airy_messages in worker.log_file.read_text()
    await create_all_topics(settings)
    other = settings_of(broker, tmp_path, topic_prefix=f"other-{uuid.uuid4().hex[:6]}-")
    other = other.model_copy(update={"airy_core_namespace": settings.airy_core_namespace})
    wrong = TopicDeclaration(name=other.topic_names.requests, partitions=1)
    await create_topics(other.kafka_bootstrap_servers, [wrong], replication_factor=1)
    reply = TopicDeclaration(name=other.topic_names.responses, partitions=4)
    await create_topics(other.kafka_bootstrap_servers, [reply], replication_factor=1)
    refusing = ServiceProcess("worker", other, tmp_path, name="refusing")
    async with ended_afterwards(refusing):
        assert await refusing.start().ended() == 1
    words = refusing.log_file.read_text()
    assert f"{other.topic_names.requests}: has 1 partitions, not 4" in words
    assert f"{other.topic_names.identity_commands}: is missing" in words
