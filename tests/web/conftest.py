from collections.abc import AsyncIterator

import pytest

from tests.web.bridge import Bridge, running_bridge


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    async with running_bridge() as running:
        yield running
