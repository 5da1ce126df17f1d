"""The file of clients, read again whenever it changes, so that secrets are changed and clients removed without a restart.

A new file that cannot be used leaves the one before it in force, and says so in the log and in the metrics.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from airy_identify.intake.clients import Client, ClientsFileError, parse_clients, read_file

logger = logging.getLogger(__name__)

REFRESH_S = 2.0


class ClientsMetrics(Protocol):
    """Where is told how the file is."""

    def clients_loaded(self, count: int) -> None:
        """Tell that the file as it is now is in force, with so many clients."""
        ...

    def clients_file_broken(self) -> None:
        """Tell that the file as it is now cannot be used."""
        ...


class ClientBook:
    """The clients that are in force; `by_name` is replaced as a whole."""

    def __init__(self, path: Path, metrics: ClientsMetrics) -> None:
        """Read the file for the first time. Raises `ClientsFileError`."""
        self._path = path
        self._metrics = metrics
        self._trouble: str | None = None
        self._in_force = read_file(path)
        self.by_name: Mapping[str, Client] = parse_clients(self._in_force)
        metrics.clients_loaded(len(self.by_name))

    async def refresh(self) -> None:
        """Read the file again, and put it in force if it has changed and can be used."""
        try:
            data = await asyncio.to_thread(read_file, self._path)
            if data == self._in_force and self._trouble is None:
                return
            clients = parse_clients(data)
        except ClientsFileError as error:
            if self._trouble != str(error):
                logger.error("the clients before stay in force, as the file of clients cannot be used:\n%s", error)  # noqa: TRY400
            self._trouble = str(error)
            self._metrics.clients_file_broken()
            return
        self._trouble = None
        self._in_force, self.by_name = data, clients
        self._metrics.clients_loaded(len(clients))
        logger.info("the file of clients has changed", extra={"clients": sorted(clients)})

    async def watch(self, interval_s: float = REFRESH_S) -> None:
        """Read the file again from time to time, until cancelled."""
        while True:
            await asyncio.sleep(interval_s)
            await self.refresh()
