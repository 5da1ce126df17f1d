"""Ports of this machine."""

import socket

from airy_identify.ops.errors import BrokerError


def free_port() -> int:
    """Return a port on 127.0.0.1 that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def require_free(port: int) -> None:
    """Raise `BrokerError` when somebody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise BrokerError(f"port {port} is in use: end the program that has it, or choose another port") from None
