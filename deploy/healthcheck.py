"""Ask the worker or the bridge in this container whether it is alive; exit code 1 when neither says so.

Kubernetes asks by itself and does not need this.
"""

import os
import sys
import urllib.request

TIMEOUT_S = 3.0
PORTS = {"AIRY_IDENTIFY_WORKER_PORT": "8081", "AIRY_IDENTIFY_HTTP_PORT": "8080"}


def alive(port: str) -> bool:
    """Return whether somebody on this port says that they are alive."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=TIMEOUT_S) as response:
            return bool(response.status == 200)  # noqa: PLR2004 - HTTP's own
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(not any(alive(os.environ.get(name) or port) for name, port in PORTS.items()))
