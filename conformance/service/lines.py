"""The kit's connections to a service: messages are read in the background and kept, whatever they are."""

import json
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import attrs
import trio
import trio_websocket

from townwatch.contracts.codec import decode_json
from townwatch.net.http_client import exchange

Json = dict[str, Any]
CONNECT_SECONDS = 15.0
MAX_BYTES = 8 << 20
SOCKETIO_PATH = "/socket.io/?EIO=4&transport=websocket"
LOST = (trio_websocket.ConnectionClosed, OSError, trio.BrokenResourceError, trio.ClosedResourceError)


@attrs.define(eq=False)
class KitLine:
    """A WebSocket to the service; `heard`: every message so far, in order."""

    socket: trio_websocket.WebSocketConnection
    heard: list[str] = attrs.field(factory=list[str])
    gone: bool = False
    _news: trio.Event = attrs.field(factory=trio.Event)

    async def read(self) -> None:
        """Hear what comes, until the connection ends."""
        try:
            while True:
                await self.take(str(await self.socket.get_message()))
                self._tell()
        except LOST:
            pass
        finally:
            self.gone = True
            self._tell()

    async def take(self, message: str) -> None:
        """Keep one message."""
        self.heard.append(message)

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def say(self, text: str) -> None:
        """Send a message; what can no longer be sent is not."""
        try:
            await self.socket.send_message(text)
        except LOST:
            self.gone = True

    async def until(self, wanted: Callable[[], Any], seconds: float) -> Any:
        """Return what `wanted` says as soon as that is true; None when the time or the connection is over."""
        with trio.move_on_after(seconds):
            while not (found := wanted()) and not self.gone:
                await self._news.wait()
            return found or None
        return wanted() or None


@attrs.define(eq=False)
class ViewerLine(KitLine):
    """A Socket.IO client. `opened`: the open packet; `admitted`: the answer to CONNECT; `refused`: its error."""

    opened: Json | None = None
    admitted: Json | None = None
    refused: Json | None = None
    events: list[tuple[str, Any]] = attrs.field(factory=list[tuple[str, Any]])
    _acks: dict[int, list[Any]] = attrs.field(factory=dict[int, list[Any]])
    _number: int = 0

    async def take(self, message: str) -> None:
        """Read one packet."""
        await super().take(message)
        match message[:1], message[1:2]:
            case "0", _:
                self.opened = _object(message[1:])
            case "2", _:
                await self.say(f"3{message[1:]}")
            case "4", "0":
                self.admitted = _object(message[2:])
            case "4", "4":
                self.refused = _object(message[2:])
            case "4", "2":
                number, values = _numbered(message[2:])
                if number is not None:
                    await self.say(f"43{number}[]")
                self.events.append((str(values[0]), values[1] if len(values) > 1 else None))
            case "4", "3":
                number, values = _numbered(message[2:])
                self._acks[number or 0] = values
            case _:
                pass

    async def emit(self, event: str, *payload: Any) -> None:
        """Send an event that is not acknowledged."""
        await self.say(f"42{json.dumps([event, *payload])}")

    async def ask(self, event: str, *payload: Any, seconds: float) -> list[Any] | None:
        """Send an event and return its acknowledgement; None where none came."""
        self._number += 1
        number = self._number
        await self.say(f"42{number}{json.dumps([event, *payload])}")
        return (
            await self.until(lambda: [self._acks[number]] if number in self._acks else None, seconds)
            and self._acks[number]
        )

    def named(self, *names: str) -> list[Any]:
        """Return the payloads of these events, in order."""
        return [payload for name, payload in self.events if name in names]


@attrs.define(eq=False)
class ControlLine(KitLine):
    """A client of /ws."""

    messages: list[Json] = attrs.field(factory=list[Json])

    async def take(self, message: str) -> None:
        """Read one message."""
        await super().take(message)
        self.messages.append(_object(message))

    async def next(self, since: int, wanted: Callable[[Json], bool], seconds: float) -> Json | None:
        """Return the first message behind `since` that is wanted."""
        return await self.until(lambda: next((one for one in self.messages[since:] if wanted(one)), None), seconds)


@attrs.frozen(kw_only=True)
class ServiceUnderTest:
    """The service's address, and the person whose token it is."""

    url: str
    token: str = attrs.field(repr=False)
    tls: ssl.SSLContext | None = attrs.field(default=None, repr=False)

    async def rest(self, method: str, path: str, body: Any = None, *, token: str | None = None) -> tuple[int, Any]:
        """Return status and JSON of an answer, None for what is no JSON. Raises `NotAnswered`."""
        headers = {"authorization": f"Bearer {self.token if token is None else token}"}
        if body is not None:
            headers["content-type"] = "application/json"
        reply = await exchange(
            method,
            f"{self.url}{path}",
            body=None if body is None else json.dumps(body).encode(),
            headers=headers,
            seconds=60,
            max_bytes=MAX_BYTES,
            tls=self.tls,
            proxies=True,
        )
        try:
            return reply.status, decode_json(reply.body, max_bytes=MAX_BYTES)
        except ValueError:
            return reply.status, None

    @asynccontextmanager
    async def viewer(self, token: str | None = None) -> AsyncGenerator[ViewerLine]:
        """Open a Socket.IO connection that has been let in, or refused."""
        async with self._line(SOCKETIO_PATH, ViewerLine) as line:
            await line.until(lambda: line.opened, CONNECT_SECONDS)
            await line.say(f"40{json.dumps({'token': self.token if token is None else token})}")
            await line.until(lambda: line.admitted is not None or line.refused is not None, CONNECT_SECONDS)
            yield line

    @asynccontextmanager
    async def control(self) -> AsyncGenerator[ControlLine]:
        """Open a connection to /ws."""
        async with self._line("/ws", ControlLine) as line:
            yield line

    @asynccontextmanager
    async def _line(self, path: str, kind: Any) -> AsyncGenerator[Any]:
        async with trio_websocket.open_websocket_url(
            f"{self.url.replace('http', 'ws', 1)}{path}",
            ssl_context=self.tls,
            connect_timeout=CONNECT_SECONDS,
            disconnect_timeout=1.0,
            max_message_size=MAX_BYTES,
        ) as socket:
            line = kind(socket)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(line.read)
                yield line
                nursery.cancel_scope.cancel()


def _object(text: str) -> Json:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return cast(Json, found) if isinstance(found, dict) else {}


def _numbered(text: str) -> tuple[int | None, list[Any]]:
    """`12["name",…]` → (12, ["name", …])."""
    digits = len(text) - len(text.lstrip("0123456789"))
    return (int(text[:digits]) if digits else None), json.loads(text[digits:])
