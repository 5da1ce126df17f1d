"""Notices when a new Faust changes what the overrides rely on."""

import asyncio
import inspect
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError
from faust.app import base as faust_app
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from faust.types.assignor import PartitionAssignorT

from airy_identify.stream.app import AgentSpec, make_app
from airy_identify.stream.faust_overrides.assignor import MembershipAssignor
from airy_identify.stream.faust_overrides.delivery import Inboxes, shard_topic
from airy_identify.stream.faust_overrides.membership import MemberConsumer, MembershipApp, MembershipTransport
from airy_identify.stream.membership import Membership

READ_AND_TRIED = "0.15.3"


def test_the_version_is_the_one_whose_internals_were_read() -> None:
    assert version("faust-streaming") == READ_AND_TRIED


def test_the_app_takes_its_transport_from_new_transport() -> None:
    assert "self._new_transport()" in inspect.getsource(faust_app.App)
    assert MembershipApp._new_transport is not faust.App._new_transport
    assert "_new_transport" in vars(faust.App)


def test_the_transport_makes_its_consumer_from_its_class_attribute() -> None:
    assert driver.Transport.Consumer is driver.Consumer
    assert MembershipTransport.Consumer is MemberConsumer


def test_the_fetch_loop_reads_through_getmany_of_the_consumer_only() -> None:
    source = inspect.getsource(faust_consumer.Consumer._drain_messages)
    assert "getmany = self.getmany" in source
    assert "getmany(timeout=1.0)" in source
    signature = inspect.signature(driver.Consumer.getmany)
    assert list(signature.parameters) == ["self", "timeout"]
    assert inspect.isasyncgenfunction(driver.Consumer.getmany)
    assert inspect.isasyncgenfunction(MemberConsumer.getmany)


def test_the_complaint_about_standing_still_can_be_silenced() -> None:
    assert list(inspect.signature(driver.Consumer.verify_event_path).parameters) == ["self", "now", "tp"]


class Coordinator:
    """A coordinator that has an error to tell, once."""

    def __init__(self, error: KafkaError) -> None:
        self._error: KafkaError | None = error

    def check_errors(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


async def test_an_error_of_the_group_is_taken_once_and_said() -> None:
    error, loop = GroupAuthorizationFailedError("group"), asyncio.get_running_loop()
    thread: Any = SimpleNamespace(thread_loop=loop, _consumer=None)
    member: Any = object.__new__(MemberConsumer)
    member._thread = thread
    member.take_group_error()
    thread._consumer = SimpleNamespace(_coordinator=Coordinator(error))
    for expected in (error, None):
        member.take_group_error()
        await asyncio.sleep(0)
        assert member.group_error is expected


def test_aiokafka_joins_no_group_again_until_it_has_told_its_error() -> None:
    source = inspect.getsource(GroupCoordinator)
    assert "await self._push_error_to_user(exc)" in source
    assert "self._error_consumed_fut.set_result(None)" in inspect.getsource(GroupCoordinator.check_errors)
    assert "check_errors" not in inspect.getsource(driver), "Faust has begun to ask"
    assert "_consumer" in inspect.getsource(driver.AIOKafkaConsumerThread)
    assert "thread_loop" in inspect.getsource(driver.AIOKafkaConsumerThread)


def test_streams_read_a_topic_by_anext() -> None:
    source = inspect.getsource(faust.Stream)
    assert "chan_slow_get = channel.__anext__" in source or "channel.__anext__" in source
    topic_class = shard_topic(Inboxes())
    assert "__anext__" in vars(topic_class)
    assert "__anext__" not in vars(faust.Topic), "Channel's is inherited and replaced"


def test_the_compiled_stream_is_there() -> None:
    """The pure Python one acknowledges what it skips; with deliveries neither acknowledges, but one is enough to know."""
    from faust._cython import streams  # noqa: PLC0415

    assert streams.__file__.endswith(".so")


def test_the_assignment_signal_carries_the_whole_assignment() -> None:
    source = inspect.getsource(faust_app.App._on_partitions_assigned)
    assert "self.on_partitions_assigned.send)(assigned)" in source


def test_the_group_is_shared_out_by_the_partition_assignor_of_the_settings() -> None:
    source = inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)
    assert "self.app.assignor\n            if self.app.conf.table_standby_replicas > 0" in source
    assert "partition_assignment_strategy=[self._assignor]" in source
    assert "self.conf.PartitionAssignor(" in inspect.getsource(faust_app.App)
    assert {each for each in vars(PartitionAssignorT) if not each.startswith("_")} <= set(dir(MembershipAssignor))


def test_the_app_is_configured_for_membership_only(tmp_path: Path) -> None:
    app, _ = make_app(
        app_id="app",
        bootstrap_servers="one:9092, two:9092",
        session_timeout_s=10.0,
        data_dir=tmp_path,
        agents=[AgentSpec(name="intake", log="requests", process=lambda _record, _batch: None)],
        membership=Membership(tables=[], standby_replicas=0),
    )

    assert isinstance(app, MembershipApp)
    assert [str(url) for url in app.conf.broker] == ["kafka://one:9092", "kafka://two:9092"]
    assert isinstance(app.assignor, MembershipAssignor)
    assert app.conf.table_standby_replicas > 0
    assert app.conf.broker_heartbeat_interval == 1.0
    assert app.conf.web_enabled is False
    assert app.conf.topic_allow_declare is False
    assert app.conf.broker_max_poll_interval > 365 * 86400
    assert app.conf.broker_session_timeout == 10.0
    assert len(app.agents) == 1
