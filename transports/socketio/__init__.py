"""Socket.IO on trio (docs/socketio.md)."""

from townwatch.transports.socketio.base import NO_ACK, Postponed, Stats
from townwatch.transports.socketio.engine import EngineSettings
from townwatch.transports.socketio.recovery import RecoverySettings
from townwatch.transports.socketio.server import RECOVERED, TrioServer

__all__ = ["NO_ACK", "RECOVERED", "EngineSettings", "Postponed", "RecoverySettings", "Stats", "TrioServer"]
