"""ACLs on the broker of the session, where everybody is `User:ANONYMOUS`. A resource without ACLs is everybody's."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined] # it has no `__all__`
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

__all__ = ["AclOperation", "ResourcePatternType", "ResourceType", "denied"]

PRINCIPAL = "User:ANONYMOUS"
DEADLINE_S = 30.0


@asynccontextmanager
async def denied(
    bootstrap_servers: str,
    resource: ResourceType,
    name: str,
    operation: AclOperation,
    *,
    pattern: ResourcePatternType = ResourcePatternType.LITERAL,
) -> AsyncIterator[None]:
    """Deny everybody an operation on a resource, and no other operation, while the block runs."""
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    allowed = () if operation is AclOperation.ALL else ((AclOperation.ALL, AclPermissionType.ALLOW),)
    rules = [
        AclBinding(resource, name, pattern, PRINCIPAL, "*", what, whether)
        for what, whether in ((operation, AclPermissionType.DENY), *allowed)
    ]
    anybody: Any = None
    of_the_resource = AclBindingFilter(
        resource, name, pattern, anybody, anybody, AclOperation.ANY, AclPermissionType.ANY
    )

    async def in_force(count: int) -> None:
        """Wait until the broker, which learns of ACLs from the controller, follows so many rules."""
        deadline = time.monotonic() + DEADLINE_S
        while len(await asyncio.to_thread(admin.describe_acls(of_the_resource).result, DEADLINE_S)) != count:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    for future in admin.create_acls(rules).values():
        await asyncio.to_thread(future.result, DEADLINE_S)
    await in_force(len(rules))
    try:
        yield
    finally:
        for future in admin.delete_acls([of_the_resource]).values():
            await asyncio.to_thread(future.result, DEADLINE_S)
        await in_force(0)
