"""Connections whose plug can be pulled: an edge that puts a faulty socket between itself and every peer."""

import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Literal

import trio

from townwatch.transports.edge.http import WebSocketHandler
from townwatch.transports.edge.server import Connection, Edge, EdgeSettings, Request

PlugState = Literal["well", "frozen", "gone"]
"""frozen: nothing passes in either direction. gone: the same, and what is written vanishes: half-open for ever."""
HALF_OPEN_SECONDS = 30.0
"""How long the peer of a half-open connection hears nothing, not even of its end."""
_CHUNK = 1 << 16


class BlockedDescriptor:
    """A descriptor that is neither readable nor writable until it is opened: what a stopped task waits for."""

    def __init__(self) -> None:
        self.ours, self._theirs = socket.socketpair()
        self.ours.setblocking(False)
        self._theirs.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                self.ours.send(bytes(_CHUNK))

    def open(self) -> None:
        """Let bytes through both ways, for good."""
        with suppress(BlockingIOError, OSError):
            self._theirs.send(b"!")
        with suppress(BlockingIOError, OSError):
            while self._theirs.recv(_CHUNK):
                pass

    def close(self) -> None:
        self.ours.close()
        self._theirs.close()


class FaultySocket:
    """A non-blocking socket as `townwatch.transports.edge.connection.Connection` uses one, whose plug can be pulled."""

    def __init__(self, sock: socket.socket, plugs: "FaultySockets") -> None:
        self._sock = sock
        self._plugs = plugs
        self._blocked: BlockedDescriptor | None = None
        self._closed = False
        self.state: PlugState = "well"
        self.kind = "http"
        self.name = _name(sock)

    # --- as a socket --------------------------------------------------------------------------------

    def recv(self, limit: int, flags: int = 0) -> bytes:
        if self.state != "well":
            raise BlockingIOError
        return self._sock.recv(limit, flags)

    def send(self, data: Any) -> int:
        if self.state == "gone":
            return len(data)
        if self.state != "well":
            raise BlockingIOError
        return self._sock.send(data)

    def sendmsg(self, pieces: Sequence[Any]) -> int:
        if self.state == "gone":
            return sum(len(piece) for piece in pieces)
        if self.state != "well":
            raise BlockingIOError
        return self._sock.sendmsg(pieces)

    def fileno(self) -> int:
        """Return the descriptor to wait for. While nothing passes, it is not the real one: that would be a
        busy loop.
        """
        return self._blocked.ours.fileno() if self._blocked is not None else self._sock.fileno()

    def shutdown(self, how: int) -> None:
        if self.state != "gone":
            self._sock.shutdown(how)

    def close(self) -> None:
        self._closed = True
        self._plugs.forget(self)
        trio.lowlevel.notify_closing(self._sock)  # a task that began to wait before it was blocked waits for this one
        if self._blocked is not None:
            self._blocked.close()
        if self.state == "gone":
            self._plugs.hold_half_open(self._sock)
        else:
            self._sock.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    # --- the plug -----------------------------------------------------------------------------------

    def set_state(self, state: PlugState) -> None:
        """Change the state."""
        if self._closed:
            return
        self.state = state
        blocked = self._blocked
        if state != "well":
            self._blocked = blocked or BlockedDescriptor()
        elif blocked is not None:
            self._blocked = None
            blocked.open()
            self._plugs.later(0.1, blocked.close)

    def cut(self) -> None:
        """A reset, as from a cable that was cut and a machine that came back."""
        if self._closed:
            return
        with suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._sock.shutdown(socket.SHUT_RDWR)


def _name(sock: socket.socket) -> str:
    """The peer's address and port, as the peer itself knows them."""
    try:
        host, port = sock.getpeername()[:2]
    except (OSError, ValueError):
        return f"fd:{sock.fileno()}"
    return f"{host}:{port}"


class FaultySockets:
    """Every open connection, by kind and the peer's address."""

    def __init__(self) -> None:
        self._open: set[FaultySocket] = set()
        self._half_open: list[socket.socket] = []
        self.nursery: trio.Nursery | None = None
        """Where what happens later happens; the chaos actor's."""

    def __iter__(self) -> Iterator[FaultySocket]:
        return iter(sorted(self._open, key=lambda plug: plug.name))

    def of_kind(self, kind: str) -> list[FaultySocket]:
        return [plug for plug in self if plug.kind == kind]

    def take(self, sock: socket.socket) -> FaultySocket:
        plug = FaultySocket(sock, self)
        self._open.add(plug)
        return plug

    def forget(self, plug: FaultySocket) -> None:
        self._open.discard(plug)

    def hold_half_open(self, sock: socket.socket) -> None:
        self._half_open.append(sock)
        self.later(HALF_OPEN_SECONDS, lambda: self._close_half_open(sock))

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do it after so many seconds, or when everything ends."""
        if self.nursery is None or self.nursery.cancel_scope.cancel_called:
            action()
        else:
            self.nursery.start_soon(_after, seconds, action)

    def heal(self) -> None:
        """Heal all connections; half-open ones end."""
        for plug in list(self._open):
            if plug.state == "gone":
                plug.cut()
            plug.set_state("well")
        for sock in list(self._half_open):
            self._close_half_open(sock)

    def _close_half_open(self, sock: socket.socket) -> None:
        if sock in self._half_open:
            self._half_open.remove(sock)
            sock.close()


async def _after(seconds: float, action: Callable[[], None]) -> None:
    try:
        await trio.sleep(seconds)
    finally:
        action()


class PluggedEdge(Edge):
    """The edge of a service started with --chaos."""

    def __init__(self, settings: EdgeSettings, plugs: FaultySockets) -> None:
        super().__init__(settings)
        self._plugs = plugs

    def _known(self, accepted: Any, nursery: trio.Nursery) -> Connection:
        return super()._known(self._plugs.take(accepted), nursery)  # pyright: ignore[reportArgumentType]

    def websocket(self, prefix: str, handler: WebSocketHandler) -> None:
        """Note which kind of connection this becomes: they are chosen by what they talk."""

        async def known(request: Request, connection: Connection, leftover: bytes) -> None:
            plug: Any = connection.sock
            plug.kind = prefix.strip("/")
            await handler(request, connection, leftover)

        super().websocket(prefix, known)
