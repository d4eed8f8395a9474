"""HTTP/1.1 at the edge: h11 for the protocol, limits on size and time, one answer a request."""

import http.client
import json
from collections.abc import Awaitable, Callable
from functools import lru_cache
from sys import intern
from typing import Any
from urllib.parse import parse_qsl, unquote

import attrs
import h11
import trio

from transports.edge_connection import Connection

MAX_HEAD_BYTES = 64 * 1024
Headers = list[tuple[str, str]]


@attrs.define
class Request:
    """A request as it came. Header names are lower-case; `client` is the address behind trusted proxies."""

    method: str
    path: str
    """Percent-decoded."""
    raw_path: str
    query: str
    headers: Headers
    client: str
    scheme: str = "http"
    body: bytes = b""

    def header(self, name: str, default: str = "") -> str:
        """The header's values, joined by commas; `default` without it."""
        found = [value for key, value in self.headers if key == name]
        return ",".join(found) if found else default

    def argument(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return next((value for key, value in parse_qsl(self.query, keep_blank_values=True) if key == name), None)

    @property
    def target(self) -> str:
        """As in the request line."""
        return f"{self.raw_path}?{self.query}" if self.query else self.raw_path


@attrs.define
class Response:
    """An answer. Content-Length is added."""

    status: int
    body: bytes = b""
    headers: Headers = attrs.field(factory=list[tuple[str, str]])


def error_response(status: int, code: str, message: str, headers: Headers | None = None) -> Response:
    """The contract's form of an error: {error: {code, message}}."""
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return Response(status, body, [("content-type", "application/json"), *(headers or [])])


HttpHandler = Callable[[Request], Awaitable[Response]]
WebSocketHandler = Callable[[Request, Connection, bytes], Awaitable[None]]


@attrs.frozen(kw_only=True)
class HttpLimits:
    """Sizes in bytes, times in seconds. head: from the connection (or the last answer) to a whole request head once it
    began; idle: a kept-alive connection without a request; body: for all of a body."""

    body_bytes: int = 1_000_000
    head: float = 10.0
    idle: float = 75.0
    body: float = 30.0


class Unacceptable(Exception):
    """The request cannot be served; the answer says why and the connection closes."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class HttpConnection:
    """Requests of one connection, one after another, until it is upgraded or closed."""

    def __init__(
        self, connection: Connection, limits: HttpLimits, describe: Callable[[h11.Request, str], Request]
    ) -> None:
        """`describe` makes the request (and may refuse it with `Unacceptable`) from its head and the peer's address."""
        self._connection = connection
        self._limits = limits
        self._describe = describe
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._first = True

    async def next_request(self) -> tuple[Request, bool] | None:
        """(request with its body, whether it asks for a WebSocket); None at the end. Raises `Unacceptable`."""
        head = await self._head()
        if head is None:
            return None
        request = self._describe(head, self._connection.peer)
        if _wants_websocket(request):
            return request, True
        length = request.header("content-length")
        if length.isdigit() and int(length) > self._limits.body_bytes:
            raise Unacceptable(self._too_large())
        with trio.move_on_after(self._limits.body) as scope:
            request.body = await self._body()
        if scope.cancelled_caught:
            raise Unacceptable(error_response(408, "E_TIMEOUT", f"the body took more than {self._limits.body:g} s"))
        return request, False

    @property
    def leftover(self) -> bytes:
        """What came behind the head of an upgrade."""
        return self._h11.trailing_data[0]

    async def _head(self) -> h11.Request | None:
        """The next request's head. A connection may idle, but once a head began it must be whole soon."""
        with trio.move_on_after(self._limits.head if self._first else self._limits.idle):
            if not self._first and not self._h11.trailing_data[0]:
                data = await self._connection.recv()
                self._h11.receive_data(data)
            self._first = False
            with trio.move_on_after(self._limits.head):
                event = await self._event()
                return event if isinstance(event, h11.Request) else None
        return None

    async def _event(self) -> Any:
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                status = error.error_status_hint or 400
                raise Unacceptable(error_response(status, "E_BAD_REQUEST", "this is no valid HTTP request")) from None
            if event is not h11.NEED_DATA:
                return event
            if self._h11.they_are_waiting_for_100_continue:
                go_on = self._h11.send(h11.InformationalResponse(status_code=100, headers=[]))
                self._connection.write(go_on or b"")
            self._h11.receive_data(await self._connection.recv())

    async def _body(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            event = await self._event()
            if isinstance(event, h11.Data):
                size += len(event.data)
                if size > self._limits.body_bytes:
                    raise Unacceptable(self._too_large())
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return b"".join(parts)
            else:
                raise Unacceptable(error_response(400, "E_BAD_REQUEST", "the request ended before its body"))

    def _too_large(self) -> Response:
        return error_response(413, "E_TOO_LARGE", f"the body is larger than {self._limits.body_bytes} bytes")

    async def respond(self, response: Response, *, head_only: bool = False, close: bool = False) -> bool:
        """Send the answer; whether the connection can serve another request."""
        close = close or self._h11.their_state is not h11.DONE
        headers = [*response.headers, ("content-length", str(len(response.body)))]
        if close:
            headers.append(("connection", "close"))
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return False
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        reason = http.client.responses.get(response.status, "").encode()
        out = self._h11.send(h11.Response(status_code=response.status, headers=fields, reason=reason)) or b""
        if response.body and not head_only:
            out += self._h11.send(h11.Data(data=response.body)) or b""
        out += self._h11.send(h11.EndOfMessage()) or b""
        self._connection.write(out)
        return not close and self._next_cycle()

    def _next_cycle(self) -> bool:
        if self._h11.our_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    async def while_open(self, handler: HttpHandler, request: Request) -> Response | None:
        """The handler's answer; None when the peer hung up meanwhile (a poll that nobody waits for is cancelled)."""
        answer: Response | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope)
            answer = await handler(request)
            nursery.cancel_scope.cancel()
        return answer

    async def _watch(self, scope: trio.CancelScope) -> None:
        while data := await self._connection.recv():
            self._h11.receive_data(data)  # pipelined: it waits there for its turn
            if len(self._h11.trailing_data[0]) > MAX_HEAD_BYTES:
                await trio.sleep_forever()  # no deadline: the handler has its own, and then this is cancelled
        scope.cancel()


def _wants_websocket(request: Request) -> bool:
    return request.header("upgrade").lower() == "websocket" and "upgrade" in request.header("connection").lower()


_COMMON = frozenset(
    b"accept accept-encoding accept-language cache-control connection host origin pragma priority sec-ch-ua"
    b" sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site sec-websocket-extensions"
    b" sec-websocket-version upgrade user-agent".split()
)


def _header(name: bytes, value: bytes) -> tuple[str, str]:
    """Name and value; the same object for what thousands of clients say alike, for a session keeps its request."""
    if name.lower() in _COMMON and len(value) < 300:
        return _shared(name, value)
    return name.decode("latin-1").lower(), value.decode("latin-1")


@lru_cache(1024)
def _shared(name: bytes, value: bytes) -> tuple[str, str]:
    return name.decode("latin-1").lower(), value.decode("latin-1")


def describe(head: h11.Request, peer: str, *, trusted: frozenset[str], scheme: str) -> Request:
    """The request of a head. X-Forwarded-For and -Proto are believed only of trusted proxies."""
    target = head.target.decode("latin-1")
    raw_path, query = (intern(part) for part in target.partition("?")[::2])  # the same for thousands, who keep it
    path = unquote(raw_path) if "%" in raw_path else raw_path
    headers = [_header(bytes(name), bytes(value)) for name, value in head.headers]
    request = Request(intern(head.method.decode("latin-1")), path, raw_path, query, headers, peer, scheme)
    if peer in trusted:
        hops = [hop.strip() for hop in request.header("x-forwarded-for").split(",") if hop.strip()]
        request.client = next((hop for hop in reversed(hops) if hop not in trusted), peer)
        request.scheme = request.header("x-forwarded-proto") or scheme
    return request
