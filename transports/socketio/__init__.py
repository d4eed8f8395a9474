"""Socket.IO on trio (docs/socketio.md)."""

from townwatch.transports.edge.server import Edge, EdgeSettings
from townwatch.transports.socketio.asgi import ASGIApp
from townwatch.transports.socketio.background import BackgroundTask
from townwatch.transports.socketio.base import NO_ACK, Postponed, Stats
from townwatch.transports.socketio.hooks import EngineSettings
from townwatch.transports.socketio.recovery import RecoverySettings
from townwatch.transports.socketio.server import RECOVERED, TrioServer

__all__ = [
    "NO_ACK",
    "RECOVERED",
    "ASGIApp",
    "BackgroundTask",
    "Edge",
    "EdgeSettings",
    "EngineSettings",
    "Postponed",
    "RecoverySettings",
    "Stats",
    "TrioServer",
]
