"""The generation that a shard's table has: which changelog, which directory, and how a shard turns to the next one.

How no answer is given twice: the new table is made of the log up to an offset P, without outputs. The shard goes on with
the old one. When it hands over, it writes in a transaction of its own producer that the new generation is current and
that everything up to offset N is answered. Whoever opens the shard afterwards, this process or another, has fenced it
first, so what the topic of generations says is final; it also fences the rebuild, restores the new table, and applies
P + 1 to N without outputs. The first record that is answered again is N + 1.
"""

import asyncio
from dataclasses import dataclass

from airy_identify.kafka import KafkaClients, close_client
from airy_identify.stream.control import ControlReader
from airy_identify.wire.generations import Generation, GenerationBook

_FENCE_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Generations:
    """What shards know of generations: the book, who keeps it up to date, and the topic that it is from.

    `skips` keeps the book of skips up to date: records that were passed over are passed over again.
    """

    book: GenerationBook
    topic: str
    reader: ControlReader
    skips: ControlReader

    async def current(self, agent: str, partition: int) -> Generation | None:
        """Return what is current, of all that was committed before this call. Raises `TimeoutError`, `KafkaError`."""
        await self.reader.up_to_date()
        return self.book.current(agent, partition)


def rebuild_id(app_id: str, agent: str, partition: int, generation: int) -> str:
    """Return the transactional id of whoever writes a generation before its shard has it."""
    return f"{app_id}-rebuild-{agent}-{partition}-g{generation}"


async def fence_rebuild(clients: KafkaClients, transactional_id: str, *, request_timeout_ms: int) -> None:
    """Cut off a rebuild: it cannot write any more to the generation that its shard has now."""
    producer = clients.transactional_producer(transactional_id, request_timeout_ms=request_timeout_ms)
    try:
        await asyncio.wait_for(producer.start(), _FENCE_TIMEOUT_S)
    finally:
        await close_client(producer)
