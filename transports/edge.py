"""The edge: one port for the page, REST, metrics, Socket.IO and both WebSockets.

Each connection has a nursery of its own; whatever a stranger sends ends there. What a handler raises is logged once and
answered with a 500 that says nothing about it.
"""

import errno
import socket
import ssl
from functools import partial
from ipaddress import ip_address
from typing import Any, cast

import attrs
import h11
import structlog
import trio

from transports.edge_connection import Connection
from transports.edge_http import (
    HttpConnection,
    HttpHandler,
    HttpLimits,
    Request,
    Response,
    Unacceptable,
    WebSocketHandler,
    describe,
    error_response,
)
from transports.edge_parking import Parking, Resume
from transports.edge_tls import certified_names, server_context

__all__ = ["Connection", "Edge", "EdgeSettings", "Request", "Response", "error_response"]

log = structlog.get_logger("edge")

BACKLOG = 4096
ACCEPTS_AT_ONCE = 64
Peer = tuple[str, tuple[str, ...]]
"""Address, and the names in its certificate, of who is behind a TLS connection."""
OUT_OF_FILES_SECONDS = 0.1


Upgrade = tuple[WebSocketHandler, Request, bytes]
"""Who takes the connection over, the request, and what came behind it."""


@attrs.frozen(kw_only=True)
class EdgeSettings:
    """Where to listen, whom to believe, how much is too much. Sizes in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = 8484
    max_body: int = 1_000_000
    header_timeout: float = 10.0
    idle_timeout: float = 75.0
    body_timeout: float = 30.0
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
        self._http: dict[str, HttpHandler] = {}
        self._websocket: dict[str, WebSocketHandler] = {}
        self._limits = HttpLimits(
            body_bytes=settings.max_body,
            head=settings.header_timeout,
            idle=settings.idle_timeout,
            body=settings.body_timeout,
        )
        self._trusted = frozenset(settings.trusted_proxies)
        self._hosts = {"localhost", settings.host.lower(), *(name.lower() for name in settings.allowed_hosts)}
        self._listener: socket.socket | None = None
        self._tls: ssl.SSLContext | None = None
        self._parking: Parking | None = None
        self._port = settings.port
        self.open_connections = 0
        self.failed_connections = 0
        """Connections that ended with an error nobody expected. Zero, or there is a bug."""

    def http(self, prefix: str, handler: HttpHandler) -> None:
        """Requests below `prefix` go to `handler`."""
        self._http[prefix] = handler

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
                self._parking = self._park(nursery)
                if self._parking is not None:
                    nursery.start_soon(self._parking.run)
                if self.settings.tls_certificate:
                    await self._accept_tls(listener, nursery)
                else:
                    await self._accept(listener, nursery)

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
        nursery.start_soon(self._guard, accepted, nursery)

    def _park(self, nursery: trio.Nursery) -> Parking | None:
        """For connections that wait without a task."""
        return Parking(nursery, self._live) if Parking.possible() else None

    async def _accept_tls(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        """TLS ends here: the plain side goes on through a socket pair, so that everything behind is the same."""
        assert self._tls is not None  # made by bind()
        wrapped = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        serve = partial(self._serve_tls, self._tls, nursery)
        await trio.serve_listeners(serve, [wrapped], handler_nursery=nursery)

    async def _serve_tls(self, context: ssl.SSLContext, nursery: trio.Nursery, stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        theirs: socket.socket | None = None
        try:
            with trio.fail_after(self.settings.header_timeout):
                await secure.do_handshake()
            names = certified_names(cast(Any, secure).getpeercert())
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            nursery.start_soon(self._guard, ours, nursery, (str(stream.socket.getpeername()[0]), names))
            inner = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
            async with trio.open_nursery() as pumps:
                pumps.start_soon(_pump, secure, inner, pumps.cancel_scope)
                pumps.start_soon(_pump, inner, secure, pumps.cancel_scope)
        except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
            log.debug("tls_failed", reason=type(error).__name__)
        finally:
            if theirs is not None:
                theirs.close()
            await trio.aclose_forcefully(secure)

    async def _guard(self, accepted: socket.socket, nursery: trio.Nursery, peer: Peer | None = None) -> None:
        """One connection from its first byte on."""
        self.open_connections += 1
        connection = Connection(accepted, nursery)
        connection.parking = self._parking
        if peer is not None:
            connection.peer, connection.certificate = peer
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
        """Requests and answers, until the connection is over or somebody else's."""
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
                handler = _longest(self._websocket, request.path)
                if handler is not None:
                    return handler, request, http.leftover
                await http.respond(error_response(404, "E_NOT_FOUND", "there is no WebSocket here"), close=True)
                break
            goes_on = await self._answer(http, request)
        await connection.hang_up()
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
        handler = _longest(self._http, request.path)
        if handler is None:
            answer: Response | None = error_response(404, "E_NOT_FOUND", f"there is nothing at {request.path[:200]}")
        else:
            try:
                answer = await http.while_open(handler, request)
            except Exception:
                log.exception("request_failed", method=request.method, path=request.path[:200])
                answer = error_response(500, "E_INTERNAL", "the service failed to answer; the log says why")
        if answer is None:
            return False
        return await http.respond(answer, head_only=request.method == "HEAD")


async def _pump(source: trio.abc.ReceiveStream, sink: trio.abc.SendStream, scope: trio.CancelScope) -> None:
    try:
        while data := await source.receive_some(64 * 1024):
            await sink.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        pass
    scope.cancel()


def _longest(table: dict[str, Any], path: str) -> Any:
    """The handler of the longest prefix that ends where a part of the path ends."""
    found = [p for p in table if path == p or path.startswith(p if p.endswith("/") else f"{p}/")]
    return table[max(found, key=len)] if found else None
