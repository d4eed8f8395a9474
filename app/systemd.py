"""sd_notify: what systemd (Type=notify) wants to hear of a service, over a datagram socket."""

import os
import socket
from contextlib import suppress

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


def notify(state: str) -> bool:
    """Notify systemd of `state`; return True if it was sent. Never blocks, never raises."""
    place = os.environ.get("NOTIFY_SOCKET")
    if not place:
        return False
    address = "\0" + place[1:] if place.startswith("@") else place  # @: the abstract name space
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        out.setblocking(False)
        out.sendto(state.encode(), address)
        return True
    return False
