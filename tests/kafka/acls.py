"""ACLs on the broker of the session, where everybody is `User:ANONYMOUS`. A resource without ACLs is everybody's."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from confluent_kafka.admin import (  # type: ignore[attr-defined] # it has no `__all__`
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

__all__ = ["AclOperation", "ResourcePatternType", "ResourceType", "denied", "given_to_others"]

PRINCIPAL = "User:ANONYMOUS"
DEADLINE_S = 30.0


@asynccontextmanager
async def denied(
    bootstrap_servers: str, resource: ResourceType, name: str, operation: AclOperation
) -> AsyncIterator[None]:
    """Deny everybody an operation on a resource, and no other operation, while the block runs."""
    rules = [(PRINCIPAL, operation, AclPermissionType.DENY)]
    if operation is not AclOperation.ALL:
        rules.append((PRINCIPAL, AclOperation.ALL, AclPermissionType.ALLOW))
    async with _rules(bootstrap_servers, resource, name, ResourcePatternType.LITERAL, rules):
        yield


@asynccontextmanager
async def given_to_others(
    bootstrap_servers: str,
    resource: ResourceType,
    name: str,
    pattern: ResourcePatternType = ResourcePatternType.LITERAL,
) -> AsyncIterator[None]:
    """Let a resource be somebody else's, so that everybody lacks an ACL for it; whatever it has afterwards is removed."""
    async with _rules(
        bootstrap_servers, resource, name, pattern, [("User:other", AclOperation.ALL, AclPermissionType.ALLOW)]
    ):
        yield


@asynccontextmanager
async def _rules(
    bootstrap_servers: str,
    resource: ResourceType,
    name: str,
    pattern: ResourcePatternType,
    rules: Sequence[tuple[str, AclOperation, AclPermissionType]],
) -> AsyncIterator[None]:
    admin, anybody = AdminClient({"bootstrap.servers": bootstrap_servers}), cast(Any, None)
    of_the_resource = AclBindingFilter(
        resource, name, pattern, anybody, anybody, AclOperation.ANY, AclPermissionType.ANY
    )

    async def in_force(count: int) -> None:
        """Wait until the broker, which learns of ACLs from the controller, follows so many rules."""
        deadline = time.monotonic() + DEADLINE_S
        while len(await asyncio.to_thread(admin.describe_acls(of_the_resource).result, DEADLINE_S)) != count:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)

    made = [AclBinding(resource, name, pattern, who, "*", what, whether) for who, what, whether in rules]
    for future in admin.create_acls(made).values():
        await asyncio.to_thread(future.result, DEADLINE_S)
    await in_force(len(made))
    try:
        yield
    finally:
        for future in admin.delete_acls([of_the_resource]).values():
            await asyncio.to_thread(future.result, DEADLINE_S)
        await in_force(0)
