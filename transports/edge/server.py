"""The edge: one port for the page, REST, metrics, Socket.IO and both WebSockets.

Each connection has a nursery of its own; whatever a stranger sends ends there. What a handler raises is logged once and
answered with a 500 that says nothing about it.
"""

import errno
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import h11
import structlog
import trio

from townwatch.transports.edge.connection import KEPT, Connection
from townwatch.transports.edge.heads import describe
from townwatch.transports.edge.http import (
    BodyStream,
    HttpConnection,
    HttpHandler,
    HttpLimits,
    Request,
    Response,
    Unacceptable,
    WebSocketHandler,
    error_response,
)
from townwatch.transports.edge.idle import ENCRYPTED_AT_ONCE, IdlePoller, Resume
from townwatch.transports.edge.relay.wire import RelayClaim
from townwatch.transports.edge.routing import host_allowed, longest_prefix, strip_prefix, upgrade_required
from townwatch.transports.edge.sending import hang_up
from townwatch.transports.edge.settings import EdgeSettings
from townwatch.transports.edge.tls import end_tls, server_context
from townwatch.transports.edge.trusted import TrustedProxies

__all__ = ["BodyStream", "Connection", "Edge", "EdgeSettings", "Request", "Response", "error_response"]

log = structlog.get_logger("edge")

BACKLOG = 4096
ACCEPTS_AT_ONCE = 512
"""In one pass of the loop: accepting costs little, and where the kernel's queue is full, connections wait a second."""
Peer = tuple[str, tuple[str, ...], Any]
"""Address, names in its certificate and socket of the peer of a TLS connection."""
OUT_OF_FILES_SECONDS = 0.1
HANG_UP_SECONDS = 2.0
"""A peer that has the last answer may take so long to close its side."""


HttpTable = dict[str, tuple[HttpHandler, bool]]
WebSocketTable = dict[str, WebSocketHandler]
Upgrade = tuple[WebSocketHandler, Request, bytes]
"""The handler that takes the connection over, the request, and the bytes after it."""
Front = Callable[[Connection], Awaitable[bytes | None]]
"""Asked first of each new connection. Returns the bytes that it read of one that is to be served here; None of one that
is over, or that it keeps (`Edge.keep`).
"""


class Edge:
    """Routes by the longest prefix of the path."""

    def __init__(self, settings: EdgeSettings) -> None:
        self.settings = settings
        self._http: HttpTable = {}
        self._websocket: WebSocketTable = {}
        self._limits = HttpLimits(
            body_bytes=settings.max_body,
            head=settings.header_timeout,
            idle=settings.idle_timeout,
            body=settings.body_timeout,
            stall=settings.stall_timeout,
        )
        self._trusted = TrustedProxies(settings.trusted_proxies)
        self._hosts = {"localhost", settings.host.lower(), *(name.lower() for name in settings.allowed_hosts)}
        self.front: Front | None = None
        self._instead: tuple[HttpTable, WebSocketTable, Front | None] | None = None
        """What is served meanwhile."""
        self._listener: socket.socket | None = None
        self._spare: socket.socket | None = None
        """A second handle of the listener, for `serve` after `serve_meanwhile`."""
        self._accepting = trio.CancelScope()
        self._carried: list[tuple[socket.socket, bytes]] = []
        self._tls: ssl.SSLContext | None = None
        self._poller: IdlePoller[Connection] | None = None
        self._port = settings.port
        self._waiting: dict[Connection, None] = {}
        """Connections without a whole request, those that have waited longest first."""
        self._most = settings.most()
        self.open_connections = 0
        self.failed_connections = 0
        """Connections that ended with an unexpected error. Zero, or there is a bug."""

    def http(self, prefix: str, handler: HttpHandler, *, waits: bool = False) -> None:
        """Send requests below `prefix` to `handler`. `waits`: its GETs are long polls, cancelled when the peer ends."""
        self._http[prefix] = handler, waits

    def websocket(self, prefix: str, handler: WebSocketHandler) -> None:
        """Send upgrades below `prefix` to `handler`, which owns the connection from before the 101 until it returns."""
        self._websocket[prefix] = handler

    def bind(self) -> socket.socket:
        """Take the port now, so that one that is in use is known before anything is started; read the TLS files.

        Raises OSError."""
        settings = self.settings
        if settings.tls_certificate:
            self._tls = server_context(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        address = (settings.host, self._port)
        self._listener = socket.create_server(address, family=family, backlog=BACKLOG)
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]  # a restart comes back to the same one
        return self._listener

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names that this edge answers for."""
        return tuple(sorted(self._hosts))

    @property
    def port(self) -> int:
        """The TCP port, once it is bound."""
        return self._port

    def close(self) -> None:
        """Let go of a port that was bound and never served."""
        if self._listener is not None:
            self._listener.close()
        for sock, _ in self._carried:
            sock.close()

    async def serve(self, *, task_status: trio.TaskStatus[list[Any]] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled. Starts with the list of bound addresses; raises OSError (EADDRINUSE …)."""
        listener = self._listener or self.bind()
        self._listener = None  # a second start needs a socket of its own
        with listener:
            task_status.started([listener.getsockname()])
            async with trio.open_nursery() as nursery:
                self._poller = self._idle_poller(nursery)
                if self._poller is not None:
                    nursery.start_soon(self._poller.run)
                self._go_on_with_carried(nursery)
                with trio.CancelScope() as self._accepting:
                    await self._accept(listener, nursery)
                listener.close()
                await trio.sleep_forever()  # until cancelled: what was accepted is served on

    async def serve_meanwhile(
        self,
        http: dict[str, HttpHandler],
        websocket: dict[str, WebSocketHandler],
        front: Front | None = None,
        *,
        task_status: trio.TaskStatus[list[Any]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve these handlers instead until cancelled; the port stays bound for `serve`, no connection is refused."""
        assert self._listener is not None  # bind() comes first
        self._spare = self._listener.dup()
        self._most = self.settings.most(relays=front is not None)
        self._instead = {prefix: (handler, False) for prefix, handler in http.items()}, websocket, front
        try:
            await self.serve(task_status=task_status)
        finally:
            self._listener, self._spare, self._instead = self._spare, None, None
            self._most = self.settings.most()

    def stop_listening(self) -> None:
        """Refuse new connections from now on; those that were accepted are served until `serve` is cancelled."""
        self._accepting.cancel()
        if self._spare is not None:
            self._spare.close()

    def has_request(self, connection: Connection) -> None:
        """Do not close this connection to make room for others. For a `Front` that has read its first request."""
        self._waiting.pop(connection, None)

    def keep(self, connection: Connection) -> None:
        """Let a connection go on without its task, until `release`. For a `Front`, which returns None then."""
        connection.ticket = KEPT

    def release(self, connection: Connection) -> None:
        """Close a connection that was kept."""
        connection.ticket = None
        connection.abort()
        if connection.wire is None:
            self.open_connections -= 1

    def carry(self, connection: Connection, first: bytes) -> None:
        """Serve a connection anew when this edge serves the next time: for a `Front` that is cancelled and has read
        these bytes of it. What comes through TLS ends with the task that decrypts it.
        """
        if self._tls is None and not connection.closed:
            self._carried.append((connection.sock.dup(), first))

    def _go_on_with_carried(self, nursery: trio.Nursery) -> None:
        carried, self._carried = self._carried, []
        for sock, first in carried:
            self.open_connections += 1
            connection = self._known(sock, nursery)
            connection.poller = self._poller
            nursery.start_soon(self._live, connection, partial(self._converse_first, connection, first))

    async def _accept(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        while True:
            await trio.lowlevel.wait_readable(listener)
            for _ in range(ACCEPTS_AT_ONCE):
                try:
                    accepted, _address = listener.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                        log.error("cannot_accept", reason=error.strerror)
                        self._end_longest_waiting()
                        await trio.sleep(OUT_OF_FILES_SECONDS)
                    break
                self._welcome(accepted, nursery)

    def _welcome(self, accepted: socket.socket, nursery: trio.Nursery) -> None:
        if self.open_connections >= self._most and not self._end_longest_waiting():
            accepted.close()
            return
        self.open_connections += 1
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self._known(accepted, nursery) if self._tls is None else Connection(accepted, nursery)
        begin = partial(self._begin, connection)
        if self._tls is not None:
            begin = partial(self._encrypted, self._tls, connection, nursery)
        poller = connection.poller = self._poller
        if poller is None or not poller.open or not poller.takes_new:
            nursery.start_soon(self._live, connection, begin)
            return
        self._waiting[connection] = None
        connection.ticket = poller.add_new(connection, begin, self.settings.header_timeout)

    def _known(self, accepted: socket.socket, nursery: trio.Nursery) -> Connection:
        """Return the connection of a socket on which HTTP is spoken."""
        return Connection(accepted, nursery)

    async def _encrypted(self, tls: ssl.SSLContext, wire: Connection, nursery: trio.Nursery) -> None:
        """Serve one connection from its TLS handshake on; what it carries is served as a plain one."""

        def begin(plain: socket.socket, names: tuple[str, ...]) -> None:
            self._waiting.pop(wire, None)
            nursery.start_soon(self._plain_side, plain, nursery, (wire.peer, names, wire.sock))

        self._waiting[wire] = None
        try:
            await end_tls(tls, wire, begin, self.settings.header_timeout, self.settings.stall_timeout)
        finally:
            self._waiting.pop(wire, None)

    def _end_longest_waiting(self) -> bool:
        """Make room for one more: a client that only holds a place sends no request."""
        longest = next(iter(self._waiting), None)
        if longest is None:
            return False
        del self._waiting[longest]
        longest.abort()
        return True

    def _idle_poller(self, nursery: trio.Nursery) -> IdlePoller[Connection] | None:
        """Return the poller for connections that wait without a task, or None where the system has none."""
        if not IdlePoller.possible():
            return None
        if self._tls is not None:
            return IdlePoller(nursery, self._live, begun=ENCRYPTED_AT_ONCE)
        return IdlePoller(nursery, self._live, self._trusted)

    async def _plain_side(self, plain: socket.socket, nursery: trio.Nursery, peer: Peer) -> None:
        """Serve what a TLS connection carries, from its first byte on."""
        connection = self._known(plain, nursery)
        connection.poller = self._poller
        connection.peer, connection.certificate, connection.wire = peer
        await self._live(connection, partial(self._begin, connection))

    def serve_line(self, connection: Connection) -> bool:
        """Serve a connection that another process holds, in a task of its own; False where there are too many."""
        if self.open_connections >= self._most and not self._end_longest_waiting():
            return False
        self.open_connections += 1
        connection.nursery.start_soon(self._live, connection, partial(self._converse_first, connection, b""))
        return True

    async def go_on(self, connection: Connection, resume: Resume) -> None:
        """Go on with a connection that was parked."""
        await self._live(connection, resume)

    async def _begin(self, connection: Connection) -> None:
        first: bytes | None = b""
        front = self.front if self._instead is None else self._instead[2]
        if front is not None:
            self._waiting[connection] = None
            try:
                first = await front(connection)
            finally:
                self._waiting.pop(connection, None)
        if first is not None:
            await self._converse_first(connection, first)

    async def _converse_first(self, connection: Connection, first: bytes) -> None:
        """Serve a connection of which these bytes were read already."""
        upgrade = await self._converse(connection, first)
        if upgrade is not None:  # here, so that nothing of HTTP is kept as long as the WebSocket lives
            handler, request, leftover = upgrade
            del upgrade
            connection.upgraded = True
            await handler(request, connection, leftover)

    async def _live(self, connection: Connection, go_on: Resume) -> None:
        """A connection until it is over, or parked. Never raises an `Exception`."""
        try:
            await go_on()
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError, h11.LocalProtocolError):
            pass  # network weather: the peer went away in the middle of something
        except* Exception as group:
            self.failed_connections += 1
            log.error("connection_failed", exc_info=group.exceptions[0])
        finally:
            if connection.ticket is None:
                connection.abort()
                if connection.wire is None:  # a plain side is counted with its TLS connection
                    self.open_connections -= 1

    async def _converse(self, connection: Connection, first: bytes) -> Upgrade | None:
        """Serve requests until the connection ends or is upgraded."""
        http = HttpConnection(connection, self._limits, partial(self._describe, connection.claim), first)
        try:
            return await self._serve_requests(connection, http)
        finally:
            http.done()

    async def _serve_requests(self, connection: Connection, http: HttpConnection) -> Upgrade | None:
        goes_on = True
        while goes_on:
            self._waiting[connection] = None
            try:
                found = await http.next_request()
            except Unacceptable as refusal:
                await http.respond(refusal.response, close=True)
                break
            finally:
                self._waiting.pop(connection, None)
            if found is None:
                return None
            request, upgrade = found
            if connection.carrier is not None and not upgrade:  # an answer could not wait for its reader there
                refusal = error_response(400, "E_BAD_REQUEST", "this connection is for a WebSocket")
                await http.respond(refusal, close=True)
                break
            if upgrade:
                _, websocket = self._tables()
                prefix = longest_prefix(websocket, request.path)
                if prefix is not None:
                    return websocket[prefix], request, http.leftover
                await http.respond(error_response(404, "E_NOT_FOUND", "there is no WebSocket here"), close=True)
                break
            goes_on = await self._answer(http, request)
        await hang_up(connection, HANG_UP_SECONDS, self.settings.stall_timeout)
        return None

    def _describe(self, claim: RelayClaim | None, head: h11.Request, peer: str) -> Request:
        """`claim`: of a connection that another replica hands on. What it says counts as if it were seen here."""
        scheme = claim.scheme if claim is not None else "https" if self.settings.tls_certificate else "http"
        request = describe(head, peer, trusted=self._trusted, scheme=scheme)
        host = request.header("host")
        if not host_allowed(host, self._hosts) and not (claim is not None and host_allowed(host, claim.hosts)):
            raise Unacceptable(
                error_response(421, "E_HOST", f"this service does not answer for the host {host[:100]!r}")
            )
        if self.settings.path:
            strip_prefix(request, self.settings.path)
        return request

    def _tables(self) -> tuple[HttpTable, WebSocketTable]:
        return (self._http, self._websocket) if self._instead is None else self._instead[:2]

    async def _answer(self, http: HttpConnection, request: Request) -> bool:
        pages, websocket = self._tables()
        page, socket_at = longest_prefix(pages, request.path), longest_prefix(websocket, request.path)
        found = None if page is None else pages[page]
        if socket_at is not None and len(socket_at) > len(page or ""):
            answer: Response | None = upgrade_required(f"{socket_at} is a WebSocket: connect with a WebSocket client")
        elif found is None:
            answer = error_response(404, "E_NOT_FOUND", f"there is nothing at {request.path[:200]}")
        else:
            handler, waits = found
            try:
                answer = await http.while_open(handler, request, waits=waits and request.method == "GET")
            except Exception:
                log.exception("request_failed", method=request.method, path=request.path[:200])
                answer = error_response(500, "E_INTERNAL", "the service failed to answer; the log says why")
        if answer is None:
            return False
        return await http.respond(answer, head_only=request.method == "HEAD")
