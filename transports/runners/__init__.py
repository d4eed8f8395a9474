"""The runners' WebSocket (CONTRACT section 5): who dials in, who is dialled, and the actor of each connection."""

from townwatch.transports.runners.dialer import DialTarget, dial_specs
from townwatch.transports.runners.endpoint import RunnerEndpoint
from townwatch.transports.runners.link import RunnerLink
from townwatch.transports.runners.ports import Authenticate, InvalidToken, LinkDeps, LinkSettings, RunnerIdentity

__all__ = [
    "Authenticate",
    "DialTarget",
    "InvalidToken",
    "LinkDeps",
    "LinkSettings",
    "RunnerEndpoint",
    "RunnerIdentity",
    "RunnerLink",
    "dial_specs",
]
