"""What one client is shown past what is held back for it, while it catches up."""

from collections.abc import Callable, Collection

from transports.socketio.message import Message, Tag
from transports.socketio.namespace import Socket

Prepare = Callable[[str, bytes, Collection[str], Tag | None], Message]


class Replay:
    """Open while `TrioServer.catch_up` is."""

    def __init__(self, prepare: Prepare, socket: Socket) -> None:
        self._prepare = prepare
        self._socket = socket
        self.covered: dict[str, int] = {}
        """stream → the highest number shown."""
        self.sent = False

    def send(self, event: str, payload: bytes, tag: Tag | None = None) -> None:
        """One event whose argument is JSON already."""
        message = self._prepare(event, payload, (self._socket.sid,), tag)
        self.sent = True
        self._socket.send_now((message,))
        if tag is not None:
            self.covered[tag[0]] = max(self.covered.get(tag[0], 0), tag[1])
