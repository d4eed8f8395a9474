"""Writing an answer with back-pressure of its own.

A broadcast drops a peer that is too slow, because others must not wait for it (`Connection.write`). An answer is for
its reader alone: it is written as fast as that reader takes it, however slow. The connection is cut only when nothing
at all was taken for a stated time. Progress is seen in the kernel's send queue and not in the socket becoming
writable: a queue of some megabytes is writable again only when a third of it is free, which takes a slow reader
minutes.
"""

import fcntl
import socket
import struct
import sys
import termios
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
import trio

from townwatch.transports.edge.connection import Connection

log = structlog.get_logger("edge")

SEND_BYTES = 256 * 1024
"""Bytes handed to the kernel between two checkpoints."""
LOOK_SECONDS = 0.5
"""How often a send queue that is not writable is looked at."""
FIRST_LOOK_SECONDS = 0.005
LAST_LOOK_SECONDS = 2.0
"""How often, in the end, an answer is looked at that its reader's kernel does not take: thousands may wait so."""
TCP_CLOSED = 7
"""The state of a connection in Linux (TCP_CLOSE) that its peer has reset."""


class SendBudget:
    """Bytes of answers in memory that readers have not taken yet: bounded in all, and of one address to half of it."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._taken: Counter[str] = Counter()

    def take(self, client: str, size: int) -> bool:
        """Reserve memory for an answer to this address; return False if there is none. The first one is
        always granted.
        """
        all_taken, own = self._taken.total(), self._taken[client]
        if (own and own + size > self._total // 2) or (all_taken and all_taken + size > self._total):
            return False
        self._taken[client] += size
        return True

    def give_back(self, client: str, size: int) -> None:
        self._taken[client] -= size
        if self._taken[client] <= 0:
            del self._taken[client]


def unsent(sock: Any) -> int | None:
    """Return the bytes in the send queue of a socket that the peer's kernel has not confirmed; None where that is not
    known.
    """
    if sys.platform != "linux":
        return None
    if _was_reset(sock):
        return 0  # what is in its queue stays there for ever
    try:
        return struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def _was_reset(sock: Any) -> bool:
    with suppress(OSError, AttributeError, TypeError):
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSED
    return False  # no TCP


def _undelivered(connection: Connection) -> tuple[int | None, int | None]:
    """The send queues between here and the peer: the connection's, and (TLS) that of the socket behind it."""
    wire = connection.wire
    return unsent(connection.sock), None if wire is None else unsent(wire)


async def send_all(connection: Connection, data: bytes | memoryview, stall: float) -> bool:
    """Write all of `data`. False when the peer is gone, or took nothing for `stall` seconds: it is cut then."""
    await connection.flush(stall)  # what a synchronous write left behind goes first
    view = memoryview(data)
    while view:
        if not connection.writable:
            return False
        try:
            sent = connection.sock.send(view[:SEND_BYTES])
        except (BlockingIOError, InterruptedError):
            if not await _until_writable(connection, stall):
                return False
            continue
        except OSError:
            connection.abort()
            return False
        view = view[sent:]
        if view:
            await trio.lowlevel.checkpoint()  # a fast reader must not keep the loop for itself
    return not connection.closed


async def drained(connection: Connection, stall: float) -> bool:
    """Wait until the kernel has all that waits; False when the peer took nothing at all for `stall` seconds."""
    moved, before = trio.current_time(), (connection.waiting_bytes, *_undelivered(connection))
    while connection.waiting_bytes:
        await connection.flush(min(LOOK_SECONDS, stall / 4))
        await trio.lowlevel.checkpoint()
        now = (connection.waiting_bytes, *_undelivered(connection))
        if now[0] < before[0] or now[1:] != before[1:]:
            moved = trio.current_time()
        elif trio.current_time() - moved >= stall:
            return False
        before = now
    return True


async def _until_writable(connection: Connection, stall: float) -> bool:
    moved, queues = trio.current_time(), _undelivered(connection)
    while True:
        try:
            with trio.move_on_after(min(LOOK_SECONDS, stall)) as look:
                await trio.lowlevel.wait_writable(connection.sock)
        except trio.ClosedResourceError:
            return False
        if not look.cancelled_caught:
            return True
        now = _undelivered(connection)
        if now != queues:
            moved, queues = trio.current_time(), now
        elif trio.current_time() - moved >= stall:
            _cut(connection, stall)
            return False


def _cut(connection: Connection, stall: float) -> None:
    log.info("reader_stopped", peer=connection.peer, seconds=stall)
    reset(connection)


async def hang_up(connection: Connection, seconds: float, stall: float) -> None:
    """End a connection after its last answer: half-close, wait until the peer's kernel has all of it (or took nothing
    for `stall` seconds), and let the peer finish. Closing earlier could reset the connection and lose the rest.
    """
    await connection.half_close(stall)
    await delivered(lambda: _undelivered(connection), stall)
    await connection.hang_up(seconds)


async def delivered(queues: Callable[[], tuple[int | None, ...]], stall: float) -> bool:
    """Wait until the send queues are empty; False when nothing moved for `stall` seconds."""
    wait, moved, before = FIRST_LOOK_SECONDS, trio.current_time(), queues()
    while any(before):
        await trio.sleep(wait)
        wait = min(2 * wait, LAST_LOOK_SECONDS)
        now = queues()
        if now != before:
            moved, before = trio.current_time(), now
        elif trio.current_time() - moved >= stall:
            return False
    return True


def reset(connection: Connection) -> None:
    """Cut a connection in the middle of an answer: what is queued is dropped; its reader sees a reset."""
    without_lingering(connection.sock)
    connection.abort()


def without_lingering(sock: Any) -> None:
    """Let closing this socket reset its connection."""
    with suppress(OSError, AttributeError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
