"""Facts about this process and machine that settings do not hold."""

import os
import socket

KEPT = "TOWNWATCH_KEPT"
"""Environment variable: process id of the wrapper that restarts this process."""


def is_kept() -> bool:
    """Return whether another process restarts this one when it dies: `serve --keep` (while it runs), or systemd."""
    return os.environ.get(KEPT) == str(os.getppid()) or "NOTIFY_SOCKET" in os.environ


def free_port(host: str) -> int:
    """Return a TCP port at which nothing listens at this moment."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        return listener.getsockname()[1]
