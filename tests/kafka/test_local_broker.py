import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from airy_identify.ops.admin import answers
from airy_identify.ops.errors import BrokerError
from airy_identify.ops.local_broker import LocalKafka
from airy_identify.ops.ports import free_port
from airy_identify.ops.topics import create_topics, read_topics
from airy_identify.topics import TopicDeclaration

DEADLINE_S = 60.0
TOPIC = TopicDeclaration(name="kept", partitions=3, config={"cleanup.policy": "compact"})


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Poll an async condition until it holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_data_survive_stop_kill_and_a_new_object(tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path)
    await kafka.start()
    try:
        await create_topics(kafka.bootstrap_servers, [TOPIC], replication_factor=1)

        await kafka.stop()
        assert kafka.exited
        assert not await answers(kafka.bootstrap_servers)
        await kafka.start()
        assert (await read_topics(kafka.bootstrap_servers, ["kept"]))["kept"].partitions == 3

        kafka.kill()
        assert kafka.process_id is None
    finally:
        kafka.kill()

    again = LocalKafka(tmp_path)
    try:
        await again.start()
        assert (await read_topics(again.bootstrap_servers, ["kept"]))["kept"].partitions == 3
    finally:
        await again.stop()


def listening_addresses(port: int) -> set[str]:
    """Return the addresses, as /proc writes them, on which somebody listens at this port."""
    lines = "".join(Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")).splitlines()
    sockets = [line.split()[1:4] for line in lines]
    return {
        local.removesuffix(f":{port:04X}")
        for local, _, state in sockets
        if local.endswith(f":{port:04X}") and state == "0A"
    }


async def test_nothing_listens_beyond_this_machine_and_unknown_topics_are_not_made(broker: LocalKafka) -> None:
    addresses = listening_addresses(broker.port)
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F"}
    assert addresses

    assert await read_topics(broker.bootstrap_servers, ["never-made"]) == {}


async def test_a_frozen_broker_answers_when_it_may_go_on(broker: LocalKafka) -> None:
    broker.pause()
    try:
        assert not broker.exited
        with socket.create_connection(("127.0.0.1", broker.port), timeout=5) as connection:
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.recv(1)
    finally:
        broker.resume()

    await until(lambda: answers(broker.bootstrap_servers))


async def test_starting_twice_is_refused(broker: LocalKafka) -> None:
    with pytest.raises(BrokerError, match="already running"):
        await broker.start()


async def test_a_port_in_use_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        kafka = LocalKafka(tmp_path, port=other.getsockname()[1])
        with pytest.raises(BrokerError, match=f"port {kafka.port} is in use"):
            await kafka.start()
    assert kafka.exited


async def test_a_broker_that_cannot_start_names_its_log_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("version=1\nnode.id=99\ncluster.id=x\n")
    kafka = LocalKafka(tmp_path)

    with pytest.raises(BrokerError, match=r"ended while it started: see .*kafka\.log"):
        await kafka.start()

    assert kafka.exited


async def test_what_does_not_run_cannot_be_frozen(tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path)
    kafka.kill()
    await kafka.stop()

    with pytest.raises(BrokerError, match="not running"):
        kafka.pause()


PROGRAM = """
import asyncio, pathlib, sys, time
from airy_identify.ops.local_broker import LocalKafka
kafka = LocalKafka(pathlib.Path(sys.argv[1]))
asyncio.run(kafka.start())
print(kafka.process_id, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("end", ["kill -9", "exit without stop"])
def test_the_broker_ends_with_the_process_that_started_it(tmp_path: Path, end: str) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdin is not None
    assert owner.stdout is not None
    try:
        process_id = int(owner.stdout.readline())
        assert is_java(process_id)
        if end == "kill -9":
            owner.send_signal(signal.SIGKILL)
        else:
            owner.stdin.close()
        owner.wait(DEADLINE_S)

        deadline = time.monotonic() + DEADLINE_S
        while is_java(process_id):
            assert time.monotonic() < deadline
    finally:
        owner.kill()
        owner.wait()
        owner.stdin.close()
        owner.stdout.close()


def is_java(process_id: int) -> bool:
    try:
        return b"kafka.Kafka" in Path(f"/proc/{process_id}/cmdline").read_bytes()
    except FileNotFoundError:
        return False


def test_free_ports_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())):
        pass
