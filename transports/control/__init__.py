"""The typed control-plane WebSocket (CONTRACT section 4): plain JSON both ways, for clients without Socket.IO."""

from townwatch.transports.control.client import ControlClient
from townwatch.transports.control.endpoint import ControlEndpoint
from townwatch.transports.control.ports import ControlDeps, ControlSettings

__all__ = ["ControlClient", "ControlDeps", "ControlEndpoint", "ControlSettings"]
