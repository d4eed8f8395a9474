"""One Engine.IO session as Socket.IO sees it: the namespaces it is in, and its events, handled one after another."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog
import trio

from transports.edge_http import Request
from transports.socketio.namespace import Socket
from transports.socketio.packet import Packet, PacketError, decode, put_in
from transports.socketio.session import Session

log = structlog.get_logger("socketio")

MAILBOX = 256
"""Events of one client that wait; beyond it, nothing more is read from it."""

Work = Callable[[], Awaitable[None]]


class Client:
    """Owns the order of what a client sent."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.sockets: dict[str, Socket] = {}
        self.connecting: set[str] = set()
        self.environ = environ(session.request)
        self._send, self._receive = trio.open_memory_channel[Work](MAILBOX)
        self._overflow: Work | None = None
        self._partial: tuple[Packet, list[bytes]] | None = None

    def packet(self, data: str | bytes) -> Packet | None:
        """The packet that is whole with this message; None while attachments are missing. Raises `PacketError`."""
        if isinstance(data, str):
            if self._partial is not None:
                raise PacketError("text where an attachment was expected")
            packet = decode(data)
            if packet.attachments:
                self._partial = (packet, [])
                return None
            return packet
        if self._partial is None:
            raise PacketError("an attachment that belongs to no packet")
        packet, attachments = self._partial
        attachments.append(data)
        if len(attachments) < packet.attachments:
            return None
        self._partial = None
        return Packet(packet.kind, packet.namespace, put_in(packet.data, attachments), packet.ack)

    def post(self, work: Work) -> None:
        """Do this after everything that was posted before."""
        try:
            self._send.send_nowait(work)
        except trio.WouldBlock:
            if self._overflow is None:
                self._overflow = work
            else:
                self.session.close("forced server close")
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            pass  # it is gone

    async def gate(self) -> None:
        """The transport reads no further while the mailbox is full."""
        if self._overflow is not None:
            work, self._overflow = self._overflow, None
            with suppress(trio.ClosedResourceError, trio.BrokenResourceError):
                await self._send.send(work)

    async def work(self) -> None:
        """Until `close`."""
        async with self._receive:
            async for work in self._receive:
                try:
                    await work()
                except Exception:
                    log.exception("handler_failed")

    def close(self) -> None:
        self._send.close()


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
    for name, _ in request.headers:
        found["HTTP_" + name.upper().replace("-", "_")] = request.header(name)
    return found
