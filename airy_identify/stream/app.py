"""The Faust app: group membership and the agents. What an agent does with a record is in `stream.agents`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
from aiokafka.structs import ConsumerRecord

from airy_identify.stream.batch import Batch
from airy_identify.stream.faust_overrides.assignor import membership_assignor
from airy_identify.stream.faust_overrides.delivery import Inboxes, shard_topic
from airy_identify.stream.faust_overrides.membership import MembershipApp
from airy_identify.stream.membership import Membership

Process = Callable[[ConsumerRecord, Batch], None]
"""What an agent does with one record: reads and writes rows, sends outputs. It must not block and must not await."""

_YEARS_S = 10 * 365 * 24 * 60 * 60.0
_HEARTBEAT_S_MAX = 1.0
"""Members hear with their next heartbeat that one of them is gone, so this long an outage lasts longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """An agent: the log it reads and its function."""

    name: str
    log: str
    process: Process


def make_app(  # noqa: PLR0913 - one for each thing that Faust has to know
    *,
    app_id: str,
    bootstrap_servers: str,
    session_timeout_s: float,
    data_dir: Path,
    agents: Iterable[AgentSpec],
    membership: Membership,
    group_instance_id: str | None = None,
) -> tuple[faust.App, Inboxes]:
    """Return the app with its agents, and the inboxes that feed them. Nothing is started.

    A member that never fetches would be dropped from its group after `broker_max_poll_interval`, hence the years;
    the watchdog does that work. A member with a `group_instance_id` keeps its place for the session timeout when it
    stops (KIP-345, static membership).
    """
    inboxes = Inboxes()
    directory = data_dir / app_id / "faust"
    directory.mkdir(parents=True, exist_ok=True)  # Faust makes the last part only
    app = MembershipApp(
        app_id,
        broker=[f"kafka://{server.strip()}" for server in bootstrap_servers.split(",")],
        store="memory://",
        Topic=shard_topic(inboxes),
        datadir=str(directory),
        web_enabled=False,
        key_serializer="raw",
        value_serializer="raw",
        topic_disable_leader=True,
        topic_allow_declare=False,
        PartitionAssignor=membership_assignor(membership),
        table_standby_replicas=1,  # with 0 and no tables Faust does not ask its PartitionAssignor
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=group_instance_id,
        consumer_max_fetch_size=1,
        broker_max_poll_interval=_YEARS_S,
        broker_session_timeout=session_timeout_s,
        broker_heartbeat_interval=min(session_timeout_s / 4, _HEARTBEAT_S_MAX),
        broker_rebalance_timeout=session_timeout_s * 2,
        broker_request_timeout=max(session_timeout_s * 2, 20.0),
    )
    for spec in agents:
        app.agent(app.topic(spec.log), name=spec.name)(_stream_function(spec))
    return app, inboxes


def _stream_function(spec: AgentSpec) -> Callable[[Any], Any]:
    async def agent(stream: Any) -> None:  # noqa: ANN401 - Faust's stream of deliveries
        async for delivery in stream:
            with delivery as batch:
                for record in batch:
                    spec.process(record, batch)

    return agent
