"""The server as an ASGI application, beside other applications: Starlette, FastAPI, Litestar on Hypercorn with trio.

The connection is the ASGI server's: its WebSocket messages stand for frames here, one `send` each. The fan-out of
`Namespace` (one system call for what is pending) needs the socket itself, which only `mount(edge)` has.
"""

import struct
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from math import inf
from typing import Any, cast
from urllib.parse import quote

import attrs
import socketio
import trio

from townwatch.transports.edge.connection import DEFAULT_BACKLOG, RECEIVE_BYTES, Connection
from townwatch.transports.edge.http import Headers, Request, Response
from townwatch.transports.socketio.engine import Engine
from townwatch.transports.socketio.hooks import EngineRefusal
from townwatch.transports.websocket.close_codes import CloseCode
from townwatch.transports.websocket.frames import BINARY, CLOSE, TEXT, build_frame
from townwatch.transports.websocket.messages import Incoming

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

WRONG_LIBRARY = (
    "TrioServer runs on trio: serve the application with a server that does, as hypercorn --worker-class trio"
)
NOT_RUNNING = "the Socket.IO server is not running: use townwatch's ASGIApp, or serving() in the application's lifespan"
UNMASKED = b"\0\0\0\0"
"""A mask that changes nothing: frames from a client have one."""


@attrs.define
class AsgiRequest(Request):
    """`scope`: the ASGI server's, as `environ["asgi.scope"]`."""

    scope: Scope = attrs.field(factory=dict[str, Any])


async def serve(engine: Engine, running: bool, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one request. Raises RuntimeError where it cannot work: on another loop, or before the server runs."""
    if not trio.lowlevel.in_trio_run():
        raise RuntimeError(WRONG_LIBRARY)
    if not running:
        raise RuntimeError(NOT_RUNNING)
    if scope["type"] == "websocket":
        await _serve_websocket(engine, scope, receive, send)
    else:
        await _serve_http(engine, scope, receive, send)


async def _serve_http(engine: Engine, scope: Scope, receive: Receive, send: Send) -> None:
    request = _request(scope)
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > engine.settings.max_payload:
            await _answer(send, Response(413))
            return
    request.body = bytes(body)
    answers: list[Response] = []
    async with trio.open_nursery() as nursery:
        if request.method == "GET":
            nursery.start_soon(_until_it_hangs_up, receive, nursery.cancel_scope)
        answers.append(await engine.handle(request))
        nursery.cancel_scope.cancel()
    for answer in answers:  # none where the client hung up
        await _answer(send, answer)


async def _until_it_hangs_up(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()  # a poll without a reader


async def _answer(send: Send, response: Response, prefix: str = "http.response") -> None:
    headers = [*response.headers, ("content-length", str(len(response.body)))]
    await send({"type": f"{prefix}.start", "status": response.status, "headers": _encoded(headers)})
    await send({"type": f"{prefix}.body", "body": response.body})


async def _serve_websocket(engine: Engine, scope: Scope, receive: Receive, send: Send) -> None:
    if (await receive())["type"] != "websocket.connect":
        return
    request = _request(scope)
    try:
        session = await engine.admit_websocket(request)
    except EngineRefusal as refused:
        if "websocket.http.response" in scope.get("extensions", {}):
            await _answer(send, engine.refusal(refused), "websocket.http.response")
        else:
            await send({"type": "websocket.close", "code": int(CloseCode.POLICY), "reason": str(refused)})
        return
    await send({"type": "websocket.accept", "headers": _encoded(engine.hooks.headers_of(request))})
    async with trio.open_nursery() as nursery:
        connection = AsgiConnection(receive, send, nursery, request.client)
        connection.backlog = engine.settings.backlog
        nursery.start_soon(connection.send_for_ever)
        incoming = Incoming(connection, b"", engine.limits, agreed_bytes=engine.settings.max_payload)
        await engine.serve_websocket(request, session, connection, incoming)
        await connection.flush(2)
        nursery.cancel_scope.cancel()


class AsgiConnection(Connection):
    """An ASGI server's WebSocket as the engine's connection: what is written are whole frames, which become messages;
    messages that come in become frames. One task sends; what waits for it is bounded by `backlog`.
    """

    takes_frames = False
    __slots__ = ("_ended", "_idle", "_queue", "_reading", "_receive", "_send", "_size", "_wake")

    def __init__(self, receive: Receive, send: Send, nursery: trio.Nursery, peer: str) -> None:
        self.nursery = nursery
        self.backlog = DEFAULT_BACKLOG
        self.on_slow = None
        self.closed = self.write_closed = False
        self.peer, self.certificate, self.poller, self.ticket, self.wire = peer, (), None, None, None
        self.upgraded = True
        self._receive, self._send = receive, send
        self._queue: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._wake, self._idle = trio.Event(), trio.Event()
        self._reading = trio.CancelScope()
        self._ended = False
        """A close frame is on its way or out, and nothing goes behind it."""

    @property
    def writable(self) -> bool:
        return not (self._queue or self.write_closed or self.closed)

    @property
    def waiting_bytes(self) -> int:
        return self._size

    @property
    def waiting_pieces(self) -> int:
        return len(self._queue)

    def recv_nowait(self, limit: int = RECEIVE_BYTES) -> bytes | None:
        return b"" if self.closed else None

    async def recv(self, limit: int = RECEIVE_BYTES, ends: float = inf) -> bytes:
        """The next message as a client's frame; b"" when it is over."""
        if self.closed:
            return b""
        with trio.CancelScope(deadline=ends) as self._reading:
            message = await self._receive()
            if message["type"] == "websocket.receive":
                text, data = message.get("text"), message.get("bytes")
                if text is not None:
                    return build_frame(TEXT, text.encode(), mask=UNMASKED)
                return build_frame(BINARY, data or b"", mask=UNMASKED)
        if not self.closed and self._reading.cancelled_caught and trio.current_time() >= ends:
            raise trio.TooSlowError
        self.closed = True
        return b""

    def write(self, data: bytes | memoryview) -> bool:
        if self.closed or self.write_closed or self._ended:
            return False
        for opcode, payload in frames_of(bytes(data)):
            if opcode in (TEXT, BINARY, CLOSE):  # pings and pongs are the ASGI server's
                self._queue.append((opcode, payload))
                self._size += len(payload)
                self._ended = self._ended or opcode == CLOSE
        self._idle = trio.Event()
        self._wake.set()
        if self._size > self.backlog:
            self.write_closed = True
            self._queue.clear()
            if self.on_slow is not None:
                self.on_slow()
            else:
                self.abort()
            return False
        return True

    def write_ahead(self, data: bytes) -> bool:
        return self.write(data)

    def drop_waiting(self) -> None:
        self._queue.clear()
        self._size = 0

    async def send_for_ever(self) -> None:
        """Send what is written, until the connection is over."""
        while not self.closed:
            while self._queue:
                opcode, payload = self._queue.popleft()
                self._size -= len(payload)
                try:
                    await self._send(_message(opcode, payload))
                except OSError:  # the peer is gone: the reader learns it
                    self.closed = True
                    return
            self._idle.set()
            self._wake = trio.Event()
            await self._wake.wait()

    async def flush(self, seconds: float) -> None:
        if self._queue and not self.closed:
            with trio.move_on_after(seconds):
                await self._idle.wait()

    async def half_close(self, seconds: float = 2.0) -> None:
        self.write(build_frame(CLOSE, b""))
        await self.flush(seconds)

    async def hang_up(self, seconds: float = 2.0) -> None:
        await self.half_close(seconds)
        with trio.move_on_after(seconds):
            while await self.recv():
                pass
        self.abort()

    def abort(self) -> None:
        """End it: the reader returns, and with it the application's call."""
        self.closed = True
        self._wake.set()
        self._reading.cancel()


def frames_of(data: bytes) -> list[tuple[int, bytes]]:
    """(opcode, payload) of each of the whole, unmasked frames that are joined in `data`."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        opcode, length, at = data[at] & 0x0F, data[at + 1], at + 2
        if length == 126:
            (length,), at = struct.unpack_from("!H", data, at), at + 2
        elif length == 127:
            (length,), at = struct.unpack_from("!Q", data, at), at + 8
        found.append((opcode, data[at : at + length]))
        at += length
    return found


def _message(opcode: int, payload: bytes) -> dict[str, Any]:
    match opcode:
        case 1:
            return {"type": "websocket.send", "text": payload.decode()}
        case 2:
            return {"type": "websocket.send", "bytes": payload}
        case _:
            code = struct.unpack_from("!H", payload)[0] if payload else int(CloseCode.NORMAL)
            return {"type": "websocket.close", "code": code, "reason": payload[2:].decode(errors="replace")}


def _request(scope: Scope) -> AsgiRequest:
    headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
    peer = scope.get("client") or ("",)
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    return AsgiRequest(
        method=scope.get("method", "GET"),
        path=scope["path"],
        raw_path=raw.decode("latin-1"),
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=headers,
        client=str(peer[0]),
        scheme="https" if scope.get("scheme") in ("https", "wss") else "http",
        version=scope.get("http_version", "1.1"),
        scope=scope,
    )


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


class ASGIApp(socketio.ASGIApp):
    """python-socketio's ASGIApp, which also runs the server: from the ASGI server's lifespan.startup to its end."""

    async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        server = cast(Any, self).engineio_server
        async with server.serving():
            await cast(Any, super()).lifespan(scope, receive, send)
