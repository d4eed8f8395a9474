"""The edge: one port for the page, REST, metrics, Socket.IO and both WebSockets.

Each connection has a nursery of its own; whatever a stranger sends ends there. What a handler raises is logged once and
answered with a 500 that says nothing about it.
"""

import errno
import socket
import ssl
from functools import partial
from ipaddress import ip_address
from typing import Any

import attrs
import h11
import structlog
import trio

from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.http import (
    BodyStream,
    HttpConnection,
    HttpHandler,
    HttpLimits,
    Request,
    Response,
    Unacceptable,
    WebSocketHandler,
    describe,
    error_response,
    upgrade_required,
)
from townwatch.transports.edge.idle import IdlePoller, Resume
from townwatch.transports.edge.sending import hang_up
from townwatch.transports.edge.tls import end_tls, server_context

__all__ = ["BodyStream", "Connection", "Edge", "EdgeSettings", "Request", "Response", "error_response"]

log = structlog.get_logger("edge")

BACKLOG = 4096
ACCEPTS_AT_ONCE = 64
Peer = tuple[str, tuple[str, ...], Any]
"""Address, names in its certificate and socket of the peer of a TLS connection."""
OUT_OF_FILES_SECONDS = 0.1
HANG_UP_SECONDS = 2.0
"""A peer that has the last answer may take so long to close its side."""


Upgrade = tuple[WebSocketHandler, Request, bytes]
"""The handler that takes the connection over, the request, and the bytes after it."""


@attrs.frozen(kw_only=True)
class EdgeSettings:
    """Settings of the edge: addresses, trusted proxies, limits. Sizes in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = 8484
    max_body: int = 1_000_000
    header_timeout: float = 10.0
    idle_timeout: float = 75.0
    body_timeout: float = 30.0
    stall_timeout: float = 30.0
    """A reader of an answer that takes nothing for so long is cut; one that is slow is waited for."""
    connections: int = 15_000
    """More are closed at once: open files are finite."""
    trusted_proxies: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    """Names that Host may have beside localhost, addresses and `host`."""
    tls_certificate: str | None = None
    tls_key: str | None = None
    tls_client_ca: str | None = None
    """Clients that show a certificate of this CA are known by its names (`Connection.certificate`)."""


class Edge:
    """Routes by the longest prefix of the path."""

    def __init__(self, settings: EdgeSettings) -> None:
        self.settings = settings
        self._http: dict[str, tuple[HttpHandler, bool]] = {}
        self._websocket: dict[str, WebSocketHandler] = {}
        self._limits = HttpLimits(
            body_bytes=settings.max_body,
            head=settings.header_timeout,
            idle=settings.idle_timeout,
            body=settings.body_timeout,
            stall=settings.stall_timeout,
        )
        self._trusted = frozenset(settings.trusted_proxies)
        self._hosts = {"localhost", settings.host.lower(), *(name.lower() for name in settings.allowed_hosts)}
        self._listener: socket.socket | None = None
        self._tls: ssl.SSLContext | None = None
        self._poller: IdlePoller[Connection] | None = None
        self._port = settings.port
        self.open_connections = 0
        self.failed_connections = 0
        """Connections that ended with an unexpected error. Zero, or there is a bug."""

    def http(self, prefix: str, handler: HttpHandler, *, waits: bool = False) -> None:
        """Requests below `prefix` go to `handler`. `waits`: its GETs are long polls, cancelled when the peer ends."""
        self._http[prefix] = handler, waits

    def websocket(self, prefix: str, handler: WebSocketHandler) -> None:
        """Upgrades below `prefix` go to `handler`, which owns the connection from before the 101 until it returns."""
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
    def port(self) -> int:
        """The TCP port, once it is bound."""
        return self._port

    def close(self) -> None:
        """Let go of a port that was bound and never served."""
        if self._listener is not None:
            self._listener.close()

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
                await self._accept(listener, nursery)

    async def serve_meanwhile(
        self,
        http: dict[str, HttpHandler],
        websocket: dict[str, WebSocketHandler],
        *,
        task_status: trio.TaskStatus[list[Any]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve these handlers instead until cancelled; the port stays bound for `serve`, no connection is refused."""
        assert self._listener is not None  # bind() comes first
        kept, tables = self._listener.dup(), (self._http, self._websocket)
        self._http = {prefix: (handler, False) for prefix, handler in http.items()}
        self._websocket = websocket
        try:
            await self.serve(task_status=task_status)
        finally:
            self._listener = kept
            self._http, self._websocket = tables

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
                        await trio.sleep(OUT_OF_FILES_SECONDS)
                    break
                self._welcome(accepted, nursery)

    def _welcome(self, accepted: socket.socket, nursery: trio.Nursery) -> None:
        if self.open_connections >= self.settings.connections:
            accepted.close()
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            nursery.start_soon(self._guard, accepted, nursery)
            return
        wire = Connection(accepted, nursery)

        def begin(plain: socket.socket, names: tuple[str, ...]) -> None:
            nursery.start_soon(self._guard, plain, nursery, (wire.peer, names, wire.sock))

        nursery.start_soon(end_tls, self._tls, wire, begin, self.settings.header_timeout, self.settings.stall_timeout)

    def _idle_poller(self, nursery: trio.Nursery) -> IdlePoller[Connection] | None:
        """Return the poller for connections that wait without a task, or None where the system has none."""
        return IdlePoller(nursery, self._live) if IdlePoller.possible() else None

    async def _guard(self, accepted: socket.socket, nursery: trio.Nursery, peer: Peer | None = None) -> None:
        """One connection from its first byte on."""
        self.open_connections += 1
        connection = Connection(accepted, nursery)
        connection.poller = self._poller
        if peer is not None:
            connection.peer, connection.certificate, connection.wire = peer
        await self._live(connection, partial(self._begin, connection))

    async def _begin(self, connection: Connection) -> None:
        upgrade = await self._converse(connection)
        if upgrade is not None:  # here, so that nothing of HTTP is kept as long as the WebSocket lives
            handler, request, leftover = upgrade
            del upgrade
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
                self.open_connections -= 1

    async def _converse(self, connection: Connection) -> Upgrade | None:
        """Serve requests until the connection ends or is upgraded."""
        secure = bool(self.settings.tls_certificate)
        http = HttpConnection(connection, self._limits, partial(self._describe, secure))
        goes_on = True
        while goes_on:
            try:
                found = await http.next_request()
            except Unacceptable as refusal:
                await http.respond(refusal.response, close=True)
                break
            if found is None:
                return None
            request, upgrade = found
            if upgrade:
                prefix = _prefix(self._websocket, request.path)
                if prefix is not None:
                    return self._websocket[prefix], request, http.leftover
                await http.respond(error_response(404, "E_NOT_FOUND", "there is no WebSocket here"), close=True)
                break
            goes_on = await self._answer(http, request)
        await hang_up(connection, HANG_UP_SECONDS, self.settings.stall_timeout)
        return None

    def _describe(self, secure: bool, head: h11.Request, peer: str) -> Request:
        request = describe(head, peer, trusted=self._trusted, scheme="https" if secure else "http")
        host = request.header("host")
        if not self._host_allowed(host):
            raise Unacceptable(
                error_response(421, "E_HOST", f"this service does not answer for the host {host[:100]!r}")
            )
        return request

    def _host_allowed(self, host: str) -> bool:
        """Against DNS rebinding: only names that are ours, and addresses."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
        name = name.strip("[]").lower()
        if name in self._hosts:
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True

    async def _answer(self, http: HttpConnection, request: Request) -> bool:
        page, socket_at = _prefix(self._http, request.path), _prefix(self._websocket, request.path)
        found = None if page is None else self._http[page]
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


def _prefix(table: dict[str, Any], path: str) -> str | None:
    """The longest prefix in the table that ends where a part of the path ends."""
    found = [p for p in table if path == p or path.startswith(p if p.endswith("/") else f"{p}/")]
    return max(found, key=len) if found else None
