"""A network that can be cut and frozen: a TCP proxy of one port."""

import random
import socket
import struct
from contextlib import suppress

import attrs
import trio

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes a close a reset: as a pulled cable and a dead peer look to who writes next."""


@attrs.define(eq=False)
class Proxy:
    """Forwards to `port` while the nemesis lets it."""

    target: int
    port: int = 0
    cuts: int = 0
    _streams: dict[trio.SocketStream, int] = attrs.field(factory=dict)
    _thawed: trio.Event = attrs.field(factory=trio.Event)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        self._thawed.set()
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._serve, listeners)

    def cut(self, share: float, dice: random.Random) -> int:
        """Reset about this share of the connections; returns how many connections were there."""
        there = len(self._streams)
        for stream in list(self._streams):
            if dice.random() < share:
                self._break(stream)
        self.cuts += 1
        return there

    def choose(self) -> int:
        """The port for the next connection."""
        return self.target

    def cut_to(self, port: int) -> None:
        """Reset all connections to this port."""
        for stream, target in list(self._streams.items()):
            if target == port:
                self._break(stream)

    async def freeze(self, seconds: float) -> None:
        """Nothing passes and nobody is told."""
        self._thawed = trio.Event()
        try:
            await trio.sleep(seconds)
        finally:
            self._thawed.set()

    async def _serve(self, near: trio.SocketStream) -> None:
        try:
            await self._thawed.wait()
            target = self.choose()
            far = await trio.open_tcp_stream("127.0.0.1", target)
        except OSError:
            self._break(near)
            return
        self._streams |= {near: target, far: target}
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._copy, near, far, nursery.cancel_scope)
                nursery.start_soon(self._copy, far, near, nursery.cancel_scope)
        finally:
            for stream in (near, far):
                self._streams.pop(stream, None)
            near.socket.close()
            far.socket.close()

    async def _copy(self, source: trio.SocketStream, sink: trio.SocketStream, ended: trio.CancelScope) -> None:
        try:
            while data := await source.receive_some(65536):
                await self._thawed.wait()
                await sink.send_all(data)
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            ended.cancel()

    def _break(self, stream: trio.SocketStream) -> None:
        with suppress(OSError):
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        stream.socket.close()
