"""The runners' WebSocket (CONTRACT section 5): who dials in, who is dialled, and the actor of each connection."""

from transports.runners.dialer import DialTarget, dial_specs
from transports.runners.door import RunnerDoor
from transports.runners.link import RunnerLink
from transports.runners.ports import Authenticate, InvalidToken, LinkDeps, LinkSettings, RunnerIdentity

__all__ = [
    "Authenticate",
    "DialTarget",
    "InvalidToken",
    "LinkDeps",
    "LinkSettings",
    "RunnerDoor",
    "RunnerIdentity",
    "RunnerLink",
    "dial_specs",
]
