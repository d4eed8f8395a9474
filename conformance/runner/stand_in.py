"""The service as a runner sees it: takes its connections, acknowledges, cuts. What is said is judged by the witness."""

import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import trio
import trio_websocket
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection

from townwatch.conformance.runner.witness import HeardConnection, Witness
from townwatch.contracts.link import PROTOCOL

MAX_FRAME = 4 << 20
HANDSHAKE_SECONDS = 15.0
ENDS = (
    ConnectionClosed,
    HandshakeError,
    OSError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.TooSlowError,
)
HALF_A_FRAME = b"\x81\x7e\x01\x00" + b'{"type":'
"""A text frame that says it has 256 bytes, and its first ones."""


@attrs.define(eq=False)
class HangingStream(trio.abc.Stream):
    """A stream that can be made to hang: then nothing is read, answered or closed any more."""

    stream: trio.SocketStream
    hangs: trio.Event = attrs.field(factory=trio.Event)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.hangs.is_set():
            await trio.sleep_forever()
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self.stream.receive_some(max_bytes)
        if self.hangs.is_set() and data:
            await trio.sleep_forever()
        return data

    async def aclose(self) -> None:
        await self.stream.aclose()


@attrs.define(eq=False)
class Peer:
    """One connection of the runner under test."""

    socket: WebSocketConnection
    stream: HangingStream
    witness: Witness
    heard: HeardConnection
    acknowledges: bool = True
    """Whether events are acknowledged as they come."""
    gone: bool = False
    opened: float = attrs.field(factory=trio.current_time)
    _news: trio.Event = attrs.field(factory=trio.Event)

    async def read(self) -> None:
        """Hear what comes, until the connection ends."""
        try:
            while True:
                data = await self.socket.get_message()
                self.witness.hear(self.heard, data, trio.current_time(), time.time() * 1000)
                if self.acknowledges:
                    await self.acknowledge()
                self._tell()
        except ConnectionClosed as closed:
            if closed.reason is not None and closed.reason.code == 1009:
                self.witness.report.broke("frame.size", f"a frame of more than {MAX_FRAME} bytes")
        finally:
            self.gone = True
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def until(self, wanted: Callable[[], Any], seconds: float) -> Any:
        """Return what `wanted` says as soon as that is true; None when the time or the connection is over."""
        with trio.move_on_after(seconds):
            while not (found := wanted()):
                if self.gone:
                    return None
                await self._news.wait()
            return found
        return wanted() or None

    async def say(self, kind: str, **fields: Any) -> None:
        """Send a message; one that can no longer be sent is the runner's to ask for again."""
        try:
            await self.socket.send_message(json.dumps({"type": kind, **fields}))
        except ENDS:
            self.gone = True

    async def acknowledge(self, up_to: dict[str, int] | None = None) -> None:
        """Acknowledge everything that came, or each session up to a number."""
        for name, expected in list(self.heard.expected.items()):
            seen = self.witness.session(name)
            seq = expected - 1 if up_to is None else up_to.get(name, 0)
            if name in self.heard.came and seq > seen.acked:
                seen.acked = seq
                await self.say("ack", sessionId=name, seq=seq)

    async def result(self, command_id: str, seconds: float, *, after: int = 0) -> Any:
        """Wait for a command's result; `after`: the number of its results that are there already."""

        def found() -> Any:
            named = [one for one in self.heard.results if one.get("commandId") == command_id]
            return named[after] if len(named) > after else None

        return await self.until(found, seconds)

    async def cut(self, *, half_frame: bool = False) -> None:
        """Lose the connection, without a word."""
        if half_frame:
            with trio.move_on_after(1), suppress(*ENDS):
                await self.stream.send_all(HALF_A_FRAME)
        await trio.aclose_forcefully(self.stream)
        self.gone = True
        self._tell()


@attrs.define(eq=False)
class StandIn:
    """Listens for the runner under test. `refusing`: connections are answered 503."""

    witness: Witness
    token: str = attrs.field(factory=lambda: f"tw_kit_{secrets.token_urlsafe(12)}", repr=False)
    port: int = 0
    refusing: bool = False
    refused: trio.Event = attrs.field(factory=trio.Event)
    _nursery: trio.Nursery | None = None
    _arrivals: Any = attrs.field(factory=lambda: trio.open_memory_channel["Peer"](64))

    async def next_peer(self, seconds: float) -> Peer | None:
        """Return the newest connection that has said hello, as soon as there is one."""
        with trio.move_on_after(seconds):
            while True:
                peer: Peer = await self._arrivals[1].receive()
                if await peer.until(lambda peer=peer: peer.heard.hello, seconds):
                    return peer
        return None

    async def serve(self, stream: trio.SocketStream) -> None:
        """Handle one connection until it ends. Never raises for what its other end does."""
        try:
            async with trio.open_nursery() as nursery:
                await self._one(nursery, stream)
                nursery.cancel_scope.cancel()
        except* ENDS:
            pass
        except* UnicodeError:
            pass  # odd bytes in the handshake's headers
        finally:
            await trio.aclose_forcefully(stream)

    async def _one(self, nursery: trio.Nursery, plain: trio.SocketStream) -> None:
        stream = HangingStream(plain)
        with trio.fail_after(HANDSHAKE_SECONDS):
            request = await trio_websocket.wrap_server_stream(nursery, stream, max_message_size=MAX_FRAME)
            if self.refusing:
                await request.reject(503, extra_headers=[(b"retry-after", b"0")], body=b"not now")
                self.refused.set()
                return
            wanted = PROTOCOL if PROTOCOL in request.proposed_subprotocols else None
            socket = await request.accept(subprotocol=wanted)
        given = {name.lower(): value for name, value in request.headers}.get(b"authorization", b"").decode("latin-1")
        right = given == f"Bearer {self.token}"
        what = f"Authorization was {given[:40]!r}" if given else "there was no Authorization header"
        self.witness.report.judge("connect.token", right, what)
        peer = Peer(socket, stream, self.witness, HeardConnection(now_ms=time.time() * 1000))
        self._arrivals[0].send_nowait(peer)
        await peer.read()


@asynccontextmanager
async def open_stand_in(witness: Witness, host: str, port: int) -> AsyncGenerator[StandIn]:
    """Listen on an address; port 0 takes any free one. Raises OSError where that cannot be had."""
    listeners = await trio.open_tcp_listeners(port, host=host)
    async with trio.open_nursery() as nursery:
        stand_in = StandIn(witness)
        stand_in.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, stand_in.serve, listeners)
        yield stand_in
        nursery.cancel_scope.cancel()
