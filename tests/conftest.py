"""Hypothesis profiles, and the broker that all Kafka tests of a session share; nothing else."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

from airy_identify.ops.local_broker import LocalKafka

settings.register_profile(
    "quick",
    max_examples=50,
    deadline=None,
    derandomize=True,  # the same every time: who looks for more says how much more, or takes another profile
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("long", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "unshrunk",  # where it only matters whether a test fails
    max_examples=200,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
"""Whoever was not denied something by a test may do everything."""


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """Real Apache Kafka on a free port, started when the first test asks for it.

    A test that stops it has to start it again.
    """
    kafka = LocalKafka(tmp_path_factory.mktemp("kafka"), properties=AUTHORIZER)
    asyncio.run(kafka.start())
    yield kafka
    asyncio.run(kafka.stop())
