"""A Socket.IO client (protocol 5 over Engine.IO 4, WebSocket only) as small as the command line needs it."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import attrs
import trio
import trio_websocket

from townwatch.net.service_url import explain
from townwatch.runner.link.tls import Tls, open_stream

CONNECT_SECONDS = 15.0
ACK_SECONDS = 15.0
MAX_BYTES = 8 << 20
ENDED = trio_websocket.ConnectionClosed
PATH = "/socket.io/?EIO=4&transport=websocket"


class NotConnected(Exception):
    """There is no connection; the message is one line. `final`: trying again does not help."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


@attrs.define(eq=False)
class Live:
    """A connection that was let in. `receive` must be called all the time: it also answers pings and takes acks."""

    _socket: trio_websocket.WebSocketConnection
    _acks: "dict[int, trio.MemorySendChannel[Any]]" = attrs.field(factory=dict, init=False)
    _number: int = attrs.field(default=0, init=False)

    async def emit(self, event: str, payload: Any) -> None:
        """Send an event and wait for no answer. Raises `NotConnected`."""
        await self._send(f"42{json.dumps([event, payload])}")

    async def ask(self, event: str, payload: Any) -> dict[str, Any]:
        """Send an event and return its acknowledgement. Raises `NotConnected`."""
        self._number += 1
        number, (send, receive) = self._number, trio.open_memory_channel[Any](1)
        self._acks[number] = send
        try:
            await self._send(f"42{number}{json.dumps([event, payload])}")
            with trio.fail_after(ACK_SECONDS):
                return await receive.receive()
        except trio.TooSlowError:
            raise NotConnected(f"the service did not answer {event}") from None
        finally:
            self._acks.pop(number, None)

    async def receive(self) -> tuple[str, dict[str, Any]]:
        """Return the next event and its payload, empty where it is no object. Raises `NotConnected`."""
        while True:
            try:
                packet = str(await self._socket.get_message())
            except ENDED:
                raise NotConnected("the connection was lost") from None
            match packet[:1], packet[1:2]:
                case "2", _:
                    await self._send(f"3{packet[1:]}")
                case "4", "3":
                    self._take_ack(packet[2:])
                case "4", "2":
                    number, values = _numbered(packet[2:])
                    if number is not None:
                        await self._send(f"43{number}[]")
                    given: Any = values[1] if len(values) > 1 else None
                    return str(values[0]), cast("dict[str, Any]", given) if isinstance(given, dict) else {}
                case ("4", "1") | ("1", _):
                    raise NotConnected("the service ended the connection")
                case _:
                    pass

    def _take_ack(self, text: str) -> None:
        number, values = _numbered(text)
        waiting = self._acks.pop(number or 0, None)
        if waiting is not None:
            waiting.send_nowait(values[0] if values else {})

    async def _send(self, packet: str) -> None:
        try:
            await self._socket.send_message(packet)
        except ENDED:
            raise NotConnected("the connection was lost") from None


@asynccontextmanager
async def open_live(url: str, token: str, ca: str = "") -> AsyncGenerator[Live]:
    """Connect to the service at `url`. Raises `NotConnected`, and what the block raises in an exception group."""
    stream = await _open_stream(url, ca)
    try:
        async with trio.open_nursery() as nursery:
            yield Live(await _let_in(nursery, stream, url, token))
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)


async def _open_stream(url: str, ca: str) -> Any:
    try:
        with trio.fail_after(CONNECT_SECONDS):
            return await open_stream(url, Tls(ca=ca))
    except trio.TooSlowError:
        raise NotConnected(f"{url}: no answer within {CONNECT_SECONDS:g} s") from None
    except (OSError, trio.BrokenResourceError) as error:
        trouble = error.__cause__ or error
        raise NotConnected(f"{url}: {explain(url, str(trouble) or type(trouble).__name__)}") from None


async def _let_in(nursery: trio.Nursery, stream: Any, url: str, token: str) -> trio_websocket.WebSocketConnection:
    """Open the WebSocket and sign in. Raises `NotConnected`."""
    where = urlsplit(url)
    try:
        with trio.fail_after(CONNECT_SECONDS):
            socket = await trio_websocket.wrap_client_stream(
                nursery, stream, where.netloc, f"{where.path}{PATH}", max_message_size=MAX_BYTES
            )
            await _enter(socket, token)
            return socket
    except trio.TooSlowError:
        raise NotConnected(f"{url}: no answer within {CONNECT_SECONDS:g} s") from None
    except (trio_websocket.HandshakeError, ENDED) as error:
        raise NotConnected(f"{url}: it takes no WebSocket ({error or type(error).__name__})") from None


async def _enter(socket: trio_websocket.WebSocketConnection, token: str) -> None:
    """Answer the Engine.IO handshake and sign in."""
    await socket.get_message()
    await socket.send_message(f"40{json.dumps({'token': token})}")
    while True:
        packet = str(await socket.get_message())
        if packet.startswith("40"):
            return
        if packet.startswith("44"):
            problem = json.loads(packet[2:])
            raise NotConnected(str(problem.get("message", "refused")), final=True)
        if packet == "2":
            await socket.send_message("3")


def _numbered(text: str) -> tuple[int | None, list[Any]]:
    """`12["name",…]` → (12, ["name", …])."""
    digits = len(text) - len(text.lstrip("0123456789"))
    return (int(text[:digits]) if digits else None), json.loads(text[digits:])
