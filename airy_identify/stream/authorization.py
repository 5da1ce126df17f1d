"""What the brokers do not allow this service, in words that name the ACL."""

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from airy_identify.stream.errors import TopicMissingError

_NEEDED: tuple[tuple[type[KafkaError], str], ...] = (
    (TransactionalIdAuthorizationFailed, "Write and Describe on the transactional ids that begin with the app id"),
    (GroupAuthorizationFailedError, "Read and Describe on this group"),
    (TopicAuthorizationFailedError, "Read, Write and Describe on this topic"),
)


def explained(error: BaseException) -> str:
    """Return the error, and what an ACL has to allow when it is that the brokers do not allow something."""
    for kind, needed in _NEEDED:
        if isinstance(error, kind):
            return f"{error!r}: the brokers do not allow it. An ACL has to allow {needed}"
    return str(error) if isinstance(error, TopicMissingError) else repr(error)
