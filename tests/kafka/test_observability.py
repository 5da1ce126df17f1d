"""What a running service tells of itself: the way of a request through the logs, its metrics, why it is not ready."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from airy_identify.kafka import KafkaClients
from airy_identify.settings import Settings
from airy_identify.stream.broker_probe import BrokerProbe
from tests.kafka.processes import ServiceProcess, ended_afterwards
from tests.kafka.service import Service, poll, produce, put_channels
from tests.metrics_page import rows_of_page


def lines_about(process: ServiceProcess, request_id: str) -> Iterator[dict[str, Any]]:
    for line in process.log_file.read_text(encoding="utf-8").splitlines():
        told = json.loads(line)
        if told.get("request_id") == request_id:
            yield told


def events(process: ServiceProcess, request_id: str) -> list[str]:
    return [line["event"] for line in lines_about(process, request_id)]


async def test_one_request_is_followed_by_its_id_through_the_logs_of_bridge_and_worker(
    make_installation: Callable[..., Awaitable[Settings]], tmp_path: Path
) -> None:
    settings = await make_installation(log_level="DEBUG")
    channel = str(uuid.uuid4())
    await put_channels(settings, [channel])
    worker, bridge = (ServiceProcess(command, settings, tmp_path) for command in ("worker", "web"))
    service = Service(settings, channel, worker, bridge)
    async with ended_afterwards(worker, bridge):
        for process in (worker, bridge):
            await process.start().until_ready()
        status, _, _ = await service.post(
            json.dumps({"channel_id": channel, "external_id": "u"}).encode(), **{"Idempotency-Key": "over-http"}
        )
        assert status == 200
        await service.ask(external_id="u", request_id="over-kafka")
    names = settings.topic_names
    assert events(bridge, "over-http") == ["request answered"]
    assert events(worker, "over-http") == ["command applied", "answer sent"]
    assert events(worker, "over-kafka") == ["request accepted", "command applied", "answer sent"]
    places = [line["record"].rsplit(":", 2)[0] for line in lines_about(worker, "over-kafka")]
    assert places == [names.requests, names.identity_commands, names.conversation_commands]
    assert all(line["level"] == "debug" for line in lines_about(worker, "over-kafka"))


async def test_refusals_and_dead_letters_are_found_by_their_id_at_info(service: Service) -> None:
    """Whoever refused: the bridge, intake, the rules or the table of conversations."""
    refused, misspelt, unknown = (str(uuid.uuid4()) for _ in range(3))
    await service.post(b"{}", **{"Idempotency-Key": misspelt})
    await service.ask(request_id=refused)
    body = json.dumps({"channel_id": service.channel, "conversation_id": str(uuid.uuid4())}).encode()
    await service.post(body, path="/conversations.resumeToken", **{"Idempotency-Key": unknown})
    answer = json.loads((await service.ask_bytes(b"{ no JSON")).value)

    (line,) = lines_about(service.bridge, misspelt)
    assert (line["level"], line["status"], line["code"]) == ("info", 400, "missing_field")
    (line,) = lines_about(service.worker, refused)
    assert (line["level"], line["event"], line["code"]) == ("info", "request refused", "missing_identifier")
    (line,) = lines_about(service.bridge, unknown)
    assert (line["level"], line["status"], line["code"]) == ("info", 404, "unknown_conversation")
    (line,) = lines_about(service.worker, unknown)
    assert (line["event"], line["code"]) == ("request refused", "unknown_conversation")
    dead_letter, refusal = lines_about(service.worker, answer["request_id"])
    assert (dead_letter["level"], dead_letter["event"]) == ("warning", "record put on the dead letters")
    assert dead_letter["code"] == refusal["code"] == "malformed_json"
    assert dead_letter["record"].replace(":", "-") == answer["request_id"]


@pytest.mark.parametrize("process", ["worker", "bridge"])
async def test_metrics_are_those_of_the_page_and_no_others(service: Service, process: str) -> None:
    await service.identify(external_id="measured")  # whatever comes of it, it is counted
    await produce(service.settings, service.settings.topic_names.requests, (None, b"{", ()))
    status, text = await (service.worker if process == "worker" else service.bridge).status("/metrics")
    assert status == 200
    told = {
        (family.name + ("_total" if family.type == "counter" else ""), family.type, family.documentation)
        for family in text_string_to_metric_families(text)
    }
    assert told == {(row.name, row.kind, row.text) for row in rows_of_page() if row.process == process}


async def test_a_bridge_without_its_topics_says_which_are_missing(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    settings = make_settings()
    names = settings.topic_names
    bridge = ServiceProcess("web", settings, tmp_path)
    async with ended_afterwards(bridge):
        bridge.start()

        async def all_are_named() -> bool:
            status, text = await bridge.status()
            missing = (names.bridge_responses, names.identity_commands, names.airy_channels)
            return status == 503 and all(f"there is no topic {name}" in text for name in missing)

        await poll(all_are_named, "the bridge does not say what is missing")
        assert (await bridge.status("/healthz"))[0] == 200


async def test_a_probe_without_a_broker_says_where_it_asked() -> None:
    probe = BrokerProbe(KafkaClients(bootstrap_servers="127.0.0.1:1"), every_s=0.01)
    await probed(probe, lambda: probe.problem is not None)
    assert probe.problem == "Kafka does not answer at 127.0.0.1:1 (KafkaConnectionError)"


async def test_a_probe_takes_its_word_back_when_the_broker_answers(service: Service) -> None:
    probe = BrokerProbe(KafkaClients(bootstrap_servers=service.settings.kafka_bootstrap_servers), every_s=0.01)
    probe.problem = "as the last question ended"
    await probed(probe, lambda: probe.problem is None)


async def probed(probe: BrokerProbe, condition: Callable[[], bool]) -> None:
    """Let the probe ask until the condition holds."""
    asking = asyncio.create_task(probe.run())

    async def held() -> bool:
        return condition()

    try:
        await poll(held, "the probe has noticed nothing")
    finally:
        asking.cancel()
        await asyncio.wait({asking})
