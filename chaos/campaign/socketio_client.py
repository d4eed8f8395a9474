"""A Socket.IO connection over a WebSocket, from the client's side, thin enough to have a thousand of them.

RFC 6455 without extensions; Engine.IO 4 and Socket.IO 5 text packets. The reading task answers the service's pings.
"""

import base64
import json
import os
from typing import Any
from urllib.parse import urlsplit

import trio

from townwatch.runner.link.tls import Tls, open_stream

CONNECT_SECONDS = 10.0
PATH = "/socket.io/?EIO=4&transport=websocket"
_MASK = b"\0\0\0\0"
"""The mask is against proxies that guess; there is none between us, and nothing to hide."""


class ConnectionLost(Exception):
    """The connection is no more, or never came about; the message says why."""


class SocketIoClient:
    """`name`: our address and port, by which the service's faults know this connection."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._in = bytearray()
        self._parts: list[bytes] = []
        self._sending = trio.Lock()
        self.name = _name(stream)

    @classmethod
    async def open(cls, base: str) -> "SocketIoClient":
        """Connect, as far as Engine.IO. Raises `ConnectionLost`."""
        try:
            with trio.fail_after(CONNECT_SECONDS):
                stream = await open_stream(base, Tls())
                line = cls(stream)
                try:
                    await line._shake_hands(urlsplit(base).netloc)
                except BaseException:
                    await trio.aclose_forcefully(stream)
                    raise
                return line
        except (OSError, trio.BrokenResourceError) as error:
            raise ConnectionLost(str(error)) from None
        except trio.TooSlowError:
            raise ConnectionLost("no answer to the handshake") from None

    async def say(self, text: str) -> None:
        """Send one text frame, whole or not at all. Raises `ConnectionLost`."""
        data = text.encode()
        size = len(data)
        head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        try:
            async with self._sending:
                await self._stream.send_all(head + _MASK + data)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionLost(str(error)) from None

    async def next(self) -> str:
        """Return the next packet that is no ping. The deadline is the caller's. Raises `ConnectionLost`."""
        while True:
            text = await self._text()
            if text != "2":
                return text
            await self.say("3")

    async def greet(self, auth: dict[str, Any]) -> dict[str, Any]:
        """Sign in to the namespace; the service's {sid, pid}. Raises `ConnectionLost`."""
        with trio.move_on_after(CONNECT_SECONDS):
            await self.say("40" + json.dumps(auth))
            while True:
                text = await self.next()
                if text.startswith("40"):
                    return json.loads(text[2:])
                if text.startswith("44"):
                    raise ConnectionLost(f"refused: {text[2:]}")
        raise ConnectionLost("no answer to the sign-in")

    async def aclose(self) -> None:
        """Close without a close frame, which could wait for ever."""
        await trio.aclose_forcefully(self._stream)

    # --- frames -----------------------------------------------------------------------------------------

    async def _text(self) -> str:
        while True:
            found = self._frame()
            if found is None:
                await self._read()
                continue
            head, data = found
            opcode = head & 0x0F
            if opcode == 0x8:
                raise ConnectionLost(f"closed: {data[2:].decode(errors='replace')}")
            if opcode in (0x0, 0x1):
                self._parts.append(data)
                if head & 0x80:
                    whole, self._parts = b"".join(self._parts), []
                    return whole.decode()

    def _frame(self) -> tuple[int, bytes] | None:
        """(first byte, payload), if it is there in full."""
        data = self._in
        if len(data) < 2:
            return None
        size, at = data[1] & 0x7F, 2
        if size >= 126:
            at = 4 if size == 126 else 10
            if len(data) < at:
                return None
            size = int.from_bytes(data[2:at], "big")
        if len(data) < at + size:
            return None
        head, payload = data[0], bytes(data[at : at + size])
        del data[: at + size]
        return head, payload

    async def _read(self) -> None:
        try:
            data = await self._stream.receive_some(1 << 16)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionLost(str(error)) from None
        if not data:
            raise ConnectionLost("the service closed the connection")
        self._in += data

    async def _shake_hands(self, host: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        await self._stream.send_all(
            f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._in:
            await self._read()
        head, _, self._in = self._in.partition(b"\r\n\r\n")
        status = head.partition(b"\r\n")[0]
        if b" 101 " not in status:
            raise ConnectionLost(f"refused: {status.decode(errors='replace')}")
        if not (await self._text()).startswith("0{"):
            raise ConnectionLost("this is no Engine.IO")


def _name(stream: trio.abc.Stream) -> str:
    inner: Any = getattr(stream, "transport_stream", stream)  # with TLS, what it runs over
    if not isinstance(inner, trio.SocketStream):
        return ""
    host, port = inner.socket.getsockname()[:2]
    return f"{host}:{port}"
