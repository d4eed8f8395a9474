"""The typed control-plane WebSocket (CONTRACT section 4): plain JSON both ways, for clients without Socket.IO."""

from transports.control.client import ControlClient
from transports.control.door import ControlDoor
from transports.control.ports import ControlDeps, ControlSettings

__all__ = ["ControlClient", "ControlDeps", "ControlDoor", "ControlSettings"]
