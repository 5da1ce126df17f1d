"""What every process needs: an end that is logged, signals, files, a clock."""

import asyncio
import contextlib
import logging
import resource
import signal
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)

EXIT_OK, EXIT_FAILED = 0, 1


def run(process: Coroutine[Any, Any, int]) -> int:
    """Run a process to its end. Whatever it dies of is in its log, as a line like every other."""
    raise_open_files_limit()
    try:
        return asyncio.run(process)
    except Exception:
        logger.critical("the process ended with an error", exc_info=True)
        return EXIT_FAILED


def raise_open_files_limit() -> None:
    """Allow this process as many open files as the system lets it have.

    Each connection and each table file is one, and the usual 1,024 are soon used up by callers that only connect: then
    not even Kafka could be reached any more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # some systems promise more than they give
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def on_termination(stop: Callable[[], None]) -> None:
    """Call `stop` when this process is told to end."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def clock_ms() -> int:
    """Return the time, milliseconds since the epoch."""
    return int(time.time() * 1000)


def new_uuid() -> str:
    """Return a random UUID."""
    return str(uuid.uuid4())
