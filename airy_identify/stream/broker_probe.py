"""Asks Kafka again and again whether it answers.

Shards notice by themselves that it is gone, but an idle one late, and each says its own time-out and not the cause.
"""

import asyncio

from aiokafka.errors import KafkaError

from airy_identify.kafka import KafkaClients, close_client

_EVERY_S = 2.0
_TIMEOUT_S = 5.0


class BrokerProbe:
    """`problem` says since the last question that Kafka does not answer; null when it does. It mends nothing."""

    def __init__(self, clients: KafkaClients, *, every_s: float = _EVERY_S, timeout_s: float = _TIMEOUT_S) -> None:
        self.problem: str | None = None
        self._clients = clients
        self._every_s = every_s
        self._timeout_s = timeout_s

    async def run(self) -> None:
        """Ask until cancelled. aiokafka may swallow the cancellation, so it is looked for after each question."""
        while not _is_cancelled():
            admin = self._clients.admin()
            try:
                async with asyncio.timeout(self._timeout_s):
                    await admin.start()
                while not _is_cancelled():
                    async with asyncio.timeout(self._timeout_s):
                        await admin.describe_cluster()
                    self.problem = None
                    await asyncio.sleep(self._every_s)
            except (KafkaError, OSError, TimeoutError, asyncio.CancelledError) as error:
                # aiokafka raises `CancelledError` into its callers when a connection ends under them.
                if _is_cancelled():
                    raise
                self.problem = f"Kafka does not answer at {self._clients.bootstrap_servers} ({type(error).__name__})"
            finally:
                await close_client(admin)
            await asyncio.sleep(self._every_s)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
