"""One Engine.IO session as Socket.IO sees it: the namespaces it is in, and its events, handled one after another."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import trio

from townwatch.transports.edge.http import Request
from townwatch.transports.socketio.namespace import Socket
from townwatch.transports.socketio.packet import Packet
from townwatch.transports.socketio.parser import Parser, Partial
from townwatch.transports.socketio.session import EngineSession
from townwatch.transports.websocket.pace import MessageLimits

log = structlog.get_logger("socketio")

STRANGER = MessageLimits(message_bytes=16 * 1024)
"""Until it has joined a namespace: a token fits, and thousands of unfinished messages of strangers stay in memory."""
MAILBOX = 256
"""Events of one client that wait; beyond it, nothing more is read from it."""

Work = Callable[[], Awaitable[None]]


class Client:
    """Owns the order of what a client sent. There is a task for it only while there is work."""

    __slots__ = ("_parser", "_partial", "_room", "_spawn", "_waiting", "_working", "connecting", "session", "sockets")

    def __init__(self, session: EngineSession, spawn: Callable[..., object], parser: Parser) -> None:
        self.session = session
        session.limit(STRANGER)
        self.sockets: dict[str, Socket] = {}
        self.connecting: list[str] = []
        self._spawn = spawn
        self._parser = parser
        self._waiting: deque[Work] | None = None
        self._working = False
        self._room: trio.Event | None = None
        """Set when there is room again, for who waits at the gate."""
        self._partial: Partial | None = None

    @property
    def environ(self) -> dict[str, Any]:
        """The request that opened the session, as WSGI names it."""
        return environ(self.session.request)

    def joined(self, namespace: str, socket: Socket) -> None:
        """Note that it was let in: from now on it may send what the engine takes."""
        self.sockets[namespace] = socket
        self.session.limit(None)

    def packet(self, data: str | bytes) -> Packet | None:
        """The packet that is whole with this message; None while attachments are missing. Raises `PacketError`."""
        found = self._parser.decode(data, self._partial)
        self._partial = found if isinstance(found, Partial) else None
        return found if isinstance(found, Packet) else None

    def post(self, work: Work) -> None:
        """Do this after everything that was posted before."""
        if not self.session.open:
            return
        if not self._working:
            self._working = True
            self._spawn(self._work, work)
            return
        if self._waiting is None:
            self._waiting = deque()
        if len(self._waiting) > MAILBOX:  # the transport did not wait at the gate
            self.session.close("forced server close")
            return
        self._waiting.append(work)

    async def gate(self) -> None:
        """The transport reads no further while the mailbox is full."""
        while self._waiting is not None and len(self._waiting) > MAILBOX:
            self._room = self._room or trio.Event()
            await self._room.wait()

    async def _work(self, work: Work) -> None:
        """Run `work` and everything that was queued behind it."""
        while True:
            try:
                await work()
            except Exception:
                log.exception("handler_failed")
            if not self._waiting:
                break
            work = self._waiting.popleft()
            if self._room is not None:
                self._room.set()
                self._room = None
        self._waiting, self._working = None, False


def environ(request: Request) -> dict[str, Any]:
    """The request as WSGI names it, which is how python-socketio's handlers know it."""
    found: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "RAW_URI": request.target,
        "REMOTE_ADDR": request.client,
        "wsgi.url_scheme": request.scheme,
        "townwatch.request": request,
    }
    scope = getattr(request, "scope", None)
    if scope is not None:
        found["asgi.scope"] = scope
    for name, _ in request.headers:
        found["HTTP_" + name.upper().replace("-", "_")] = request.header(name)
    return found
