import pytest
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from airy_identify.stream.authorization import explained


@pytest.mark.parametrize(
    ("error", "acl"),
    [
        (GroupAuthorizationFailedError("mine"), "Read and Describe on this group"),
        (TopicAuthorizationFailedError("mine"), "Read, Write and Describe on this topic"),
        (TransactionalIdAuthorizationFailed("mine"), "Write and Describe on the transactional ids"),
    ],
)
def test_what_brokers_do_not_allow_names_the_resource_and_the_acl(error: KafkaError, acl: str) -> None:
    assert "'mine'" in explained(error)
    assert f"An ACL has to allow {acl}" in explained(error)


def test_other_errors_are_as_they_are() -> None:
    assert explained(OSError("gone")) == "OSError('gone')"
