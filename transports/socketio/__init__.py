"""Socket.IO on trio (docs/socketio.md)."""

from transports.socketio.engine import EngineSettings
from transports.socketio.recovery import RecoverySettings
from transports.socketio.server import NO_ACK, RECOVERED, Stats, TrioServer

__all__ = ["NO_ACK", "RECOVERED", "EngineSettings", "RecoverySettings", "Stats", "TrioServer"]
