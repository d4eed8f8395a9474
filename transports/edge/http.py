"""HTTP/1.1 at the edge: h11 for the protocol, limits on size and time, one answer a request."""

import http.client
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import parse_qsl

import attrs
import h11
import structlog
import trio

from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.sending import SendBudget, reset, send_all

log = structlog.get_logger("edge")

MAX_HEAD_BYTES = 64 * 1024
MAX_FIELDS = 200
JOINED_BYTES = 64 * 1024
"""Head and body up to so many bytes are copied together, so that a small answer is one packet."""
FREE_BODY_BYTES = 16 * 1024
"""So much of each body is not counted: small requests are answered however much of large ones is under way."""
PARTS_PER_CHECKPOINT = 8
"""Heads, pieces of bodies and reads: a peer that sends without a pause must not keep the loop."""
TAKEN_BYTES = 64 << 20
HELD_BYTES = 64 << 20
BODILESS = frozenset({204, 304})
"""Statuses whose answers have no body, and no Content-Length (RFC 9110, 8.6)."""
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
    version: str = "1.1"
    """Of HTTP."""

    def header(self, name: str, default: str = "") -> str:
        """The header's values, joined by commas; `default` without it."""
        found = [value for key, value in self.headers if key == name]
        return ",".join(found) if found else default

    def only(self, name: str) -> str | None:
        """The header's value; None without it, "" where it is there more than once, so that no one value is picked."""
        found = [value for key, value in self.headers if key == name]
        return None if not found else found[0] if len(found) == 1 else ""

    def tokens(self, name: str) -> list[str]:
        """A header that is a list: its elements, in lower case."""
        return [part for one in self.header(name).split(",") if (part := one.strip().lower())]

    def argument(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return next((value for key, value in parse_qsl(self.query, keep_blank_values=True) if key == name), None)

    @property
    def target(self) -> str:
        """As in the request line."""
        return f"{self.raw_path}?{self.query}" if self.query else self.raw_path


class BodyStream(Protocol):
    """A body that is made while it is sent. Each piece is asked for when the one before was taken by the network."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None:
        """Release what the stream holds. Called at least once, whether it was read to its end or not at all."""
        ...


@attrs.define
class Response:
    """An answer. Content-Length is added; with a `stream` there is none, and `body` does not count."""

    status: int
    body: bytes = b""
    headers: Headers = attrs.field(factory=list[tuple[str, str]])
    stream: BodyStream | None = None
    shared: bool = False
    """`body` is in memory anyway (a file of the page), not for this answer."""


def error_response(status: int, code: str, message: str, headers: Headers | None = None) -> Response:
    """The contract's form of an error: {error: {code, message}}."""
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return Response(status, body, [("content-type", "application/json"), *(headers or [])])


HttpHandler = Callable[[Request], Awaitable[Response]]
WebSocketHandler = Callable[[Request, Connection, bytes], Awaitable[None]]


@attrs.frozen(kw_only=True)
class HttpLimits:
    """Sizes in bytes, times in seconds. head: from the connection (or the last answer) to a whole request head once it
    began; idle: a kept-alive connection without a request; body: for all of a body; stall: a reader of an answer that
    takes nothing for so long is cut; held: what large answers of all connections may have in memory; taken: what large
    bodies may."""

    body_bytes: int = 1_000_000
    head: float = 10.0
    idle: float = 75.0
    body: float = 30.0
    stall: float = 30.0
    held: SendBudget = attrs.field(factory=lambda: SendBudget(HELD_BYTES))
    taken: SendBudget = attrs.field(factory=lambda: SendBudget(TAKEN_BYTES))


class Unacceptable(Exception):
    """The request cannot be served; the answer says why and the connection closes."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


_WHOLE = (h11.DONE, h11.MIGHT_SWITCH_PROTOCOL)  # pyright: ignore[reportPrivateImportUsage]
"""States of a peer whose request has come to its end."""


class HttpConnection:
    """Requests of one connection, one after another, until it is upgraded or closed."""

    def __init__(
        self,
        connection: Connection,
        limits: HttpLimits,
        describe: Callable[[h11.Request, str], Request],
        first: bytes = b"",
    ) -> None:
        """`describe` makes the request (and may refuse it with `Unacceptable`) from its head and the peer's address.
        `first`: bytes of the peer that were read already.
        """
        self._connection = connection
        self._limits = limits
        self._describe = describe
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        if first:
            self._h11.receive_data(first)
        self._first = True
        self._client = connection.peer
        self._counted = 0
        """Bytes of the body that are counted in `taken`."""
        self._parts = 0

    async def next_request(self) -> tuple[Request, bool] | None:
        """Return (request with its body, whether it asks for a WebSocket); None at the end. Raises `Unacceptable`."""
        self.done()
        head = await self._head()
        if head is None:
            return None
        request = self._describe(head, self._connection.peer)
        self._client = request.client
        if _wants_websocket(request):
            return request, True
        length = request.header("content-length")
        if length.isdigit() and int(length) > self._limits.body_bytes:
            raise Unacceptable(self._too_large())
        try:
            request.body = await self._body(trio.current_time() + self._limits.body)
        except trio.TooSlowError:
            text = f"the body took more than {self._limits.body:g} s"
            raise Unacceptable(error_response(408, "E_TIMEOUT", text)) from None
        return request, False

    def done(self) -> None:
        """The request is over, and its body out of memory."""
        if self._counted:
            self._limits.taken.give_back(self._client, self._counted)
            self._counted = 0

    @property
    def leftover(self) -> bytes:
        """Bytes that followed the head of an upgrade."""
        return self._h11.trailing_data[0]

    async def _head(self) -> h11.Request | None:
        """The next request's head. A connection may idle, but once a head began it must be whole soon."""
        limits, now = self._limits, trio.current_time()
        ends = now + (limits.head if self._first else limits.idle)
        try:
            if not self._first and not self._h11.trailing_data[0]:
                self._h11.receive_data(await self._connection.recv(ends=ends))
            self._first = False
            event = await self._event(min(ends, trio.current_time() + limits.head))
        except trio.TooSlowError:
            return None
        if not isinstance(event, h11.Request):
            return None
        _check(event)
        return event

    async def _event(self, ends: float) -> Any:
        """Raises `Unacceptable`; trio.TooSlowError at the time `ends` of trio's clock."""
        while True:
            self._parts += 1
            if self._parts % PARTS_PER_CHECKPOINT == 0:
                await trio.lowlevel.checkpoint()
                if trio.current_time() >= ends:
                    raise trio.TooSlowError
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
            self._h11.receive_data(await self._connection.recv(ends=ends))

    async def _body(self, ends: float) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            event = await self._event(ends)
            if isinstance(event, h11.Data):
                size += len(event.data)
                if size > self._limits.body_bytes:
                    raise Unacceptable(self._too_large())
                self._count_body(size)
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return b"".join(parts)
            else:
                raise Unacceptable(error_response(400, "E_BAD_REQUEST", "the request ended before its body"))

    def _count_body(self, size: int) -> None:
        more = size - FREE_BODY_BYTES - self._counted
        if more <= 0:
            return
        if not self._limits.taken.take(self._client, more):
            raise Unacceptable(_too_many_held("too many large requests are under way; try again"))
        self._counted += more

    def _too_large(self) -> Response:
        return error_response(413, "E_TOO_LARGE", f"the body is larger than {self._limits.body_bytes} bytes")

    async def respond(self, response: Response, *, head_only: bool = False, close: bool = False) -> bool:
        """Send the answer, as fast as its reader takes it; whether the connection can serve another request."""
        size = 0 if response.shared or len(response.body) <= JOINED_BYTES else len(response.body)
        if size and not self._limits.held.take(self._client, size):
            response, size = (
                _too_many_held("too many large answers wait for their readers; read them, and try again"),
                0,
            )
        try:
            return await self._respond(response, head_only, close)
        finally:
            if size:
                self._limits.held.give_back(self._client, size)
            if response.stream is not None:
                response.stream.close()

    async def _respond(self, response: Response, head_only: bool, close: bool) -> bool:
        close = close or self._h11.their_state not in _WHOLE
        headers = list(response.headers)
        if response.stream is None and response.status not in BODILESS:
            headers.append(("content-length", str(len(response.body))))
        if close:
            headers.append(("connection", "close"))
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return False
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        reason = http.client.responses.get(response.status, "").encode()
        head = self._h11.send(h11.Response(status_code=response.status, headers=fields, reason=reason)) or b""
        if response.stream is not None and not head_only:
            whole = await self._send(head) and await self._send_stream(response.stream)
        else:
            body = self._data(response.body) if response.body and not head_only else b""
            end = self._h11.send(h11.EndOfMessage()) or b""
            whole = await self._send(head, body, end)
        return whole and not close and self._next_cycle()

    async def _send_stream(self, stream: BodyStream) -> bool:
        """The pieces of a body that is made meanwhile. When making it fails, the reader gets a reset and not an end."""
        try:
            async for piece in stream:
                if piece and not await self._send(self._data(piece)):
                    return False
        except Exception:
            log.exception("answer_failed_midway", peer=self._connection.peer)
            reset(self._connection)
            return False
        return await self._send(self._h11.send(h11.EndOfMessage()) or b"")

    def _data(self, body: bytes) -> bytes:
        return self._h11.send(h11.Data(data=body)) or b""

    async def _send(self, *parts: bytes) -> bool:
        """Send small parts in one packet."""
        if sum(map(len, parts)) <= JOINED_BYTES:
            parts = (b"".join(parts),)
        for part in parts:
            if not await send_all(self._connection, part, self._limits.stall):
                return False
        return True

    def _next_cycle(self) -> bool:
        if self._h11.our_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    async def while_open(self, handler: HttpHandler, request: Request, *, waits: bool) -> Response | None:
        """The handler's answer. The peer's end of sending ends a handler that `waits` (a poll without a reader): None
        then. Others go on, for a client may close its side after the request and read the answer.
        """
        answer: Response | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, nursery.cancel_scope, waits)
            answer = await handler(request)
            nursery.cancel_scope.cancel()
        return answer

    async def _watch(self, scope: trio.CancelScope, waits: bool) -> None:
        while data := await self._connection.recv():
            self._h11.receive_data(data)  # pipelined: it waits there for its turn
            if len(self._h11.trailing_data[0]) > MAX_HEAD_BYTES:
                await trio.sleep_forever()  # no deadline: the handler has its own, and then this is cancelled
        if waits or self._connection.closed:
            scope.cancel()


def _too_many_held(why: str) -> Response:
    return error_response(503, "E_UNAVAILABLE", why, [("retry-after", "2")])


def _check(head: h11.Request) -> None:
    """Refuse what h11 accepts and RFC 9112 does not. Two lengths (6.1) would smuggle a request past a proxy."""
    names = [bytes(name) for name, _ in head.headers]
    if b"transfer-encoding" in names and (b"content-length" in names or head.http_version != b"1.1"):
        raise Unacceptable(
            error_response(400, "E_BAD_REQUEST", "Transfer-Encoding needs HTTP/1.1 and no Content-Length")
        )
    if head.http_version not in (b"1.0", b"1.1"):
        raise Unacceptable(error_response(505, "E_HTTP_VERSION", "this service speaks HTTP/1.1 and 1.0 only"))
    if len(names) > MAX_FIELDS:
        raise Unacceptable(error_response(431, "E_TOO_LARGE", f"a request may have {MAX_FIELDS} header fields"))


def _wants_websocket(request: Request) -> bool:
    return "websocket" in request.tokens("upgrade") and "upgrade" in request.tokens("connection")
