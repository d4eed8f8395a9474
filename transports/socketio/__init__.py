"""Socket.IO on trio (docs/socketio.md)."""

from transports.socketio.base import NO_ACK, Stats
from transports.socketio.engine import EngineSettings
from transports.socketio.recovery import RecoverySettings
from transports.socketio.server import RECOVERED, TrioServer

__all__ = ["NO_ACK", "RECOVERED", "EngineSettings", "RecoverySettings", "Stats", "TrioServer"]
