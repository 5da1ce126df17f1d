"""What the routes need of Kafka: hand in a command, get its answer."""

from dataclasses import dataclass
from typing import Protocol

from airy_identify.core.commands import Command, ReplyTo
from airy_identify.core.reasons import Rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as it came from the topic: the JSON, passed on untouched, and the HTTP status that goes with it.

    `code` is that of an error.
    """

    body: bytes
    status: int
    code: str | None = None


class Asker(Protocol):
    """Puts a command into the log and waits for what comes of it."""

    def reply_to(self) -> ReplyTo:
        """Return a fresh address for one answer. Its correlation id is random and never the caller's."""
        ...

    async def ask(self, command: Command) -> Answer | Rejected:
        """Append the command, whose `reply_to` came from here, and return its answer.

        Returns:
            `unavailable` when Kafka does not take the command or too many wait already, `timeout` when no answer
            came in time. Being cancelled (the caller hung up) gives the place in the queue back.
        """
        ...
