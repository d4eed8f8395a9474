"""Between what happens and the spool: one writer, which numbers and stores events in batches off the loop."""

import time
from collections.abc import Callable
from typing import Any

import structlog
import trio

from contracts.codec import encode
from runner.spool import Spool

log = structlog.get_logger("recorder")

QUEUE = 1000
"""Events waiting for the disk; beyond it, who makes them waits (the terminal is as fast as this disk, no slower)."""
BATCH = 500
RETRY_SECONDS = 0.5


def now_ms() -> int:
    """Wall-clock time, epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Recorder:
    """`record` waits only for room in the queue; `run` writes until it is cancelled, and then writes what is left."""

    def __init__(self, spool: Spool, stored: Callable[[], None]) -> None:
        """`stored` is called after each commit: there is something to send."""
        self.spool = spool
        self._stored = stored
        self._send, self._receive = trio.open_memory_channel[tuple[str, dict[str, Any]]](QUEUE)
        self._unwritten = 0
        self._written = trio.Event()

    async def record(self, session_id: str, village: str, kind: str, **fields: Any) -> None:
        """One event. Fields are as on the wire; those that are None are left out."""
        event = {"type": kind, "sessionId": session_id, "orgId": village, "ts": now_ms()}
        event |= {name: value for name, value in fields.items() if value is not None}
        encode(event)  # what cannot be said must fail here, at its source, and not in the writer
        self._unwritten += 1
        await self._send.send((session_id, event))

    async def settle(self) -> None:
        """Until everything recorded so far is on the disk."""
        while self._unwritten:
            self._written = trio.Event()
            await self._written.wait()

    async def run(self) -> None:
        """The writer. When it is cancelled, what was recorded is written first (5 s at most)."""
        try:
            while True:
                await self._write(await self._take())
        finally:
            with trio.move_on_after(5, shield=True):
                while rest := self._take_now():
                    await self._write(rest)

    async def _take(self) -> list[tuple[str, dict[str, Any]]]:
        first = await self._receive.receive()
        return [first, *self._take_now()]

    def _take_now(self) -> list[tuple[str, dict[str, Any]]]:
        taken: list[tuple[str, dict[str, Any]]] = []
        while len(taken) < BATCH:
            try:
                taken.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                break
        return taken

    async def _write(self, events: list[tuple[str, dict[str, Any]]]) -> None:
        complained = False
        with trio.CancelScope(shield=True):
            while True:
                try:
                    await trio.to_thread.run_sync(self.spool.append, events)
                    break
                except Exception as error:  # a full disk: keep them and try again, in order
                    if not complained:
                        log.error("spool_cannot_write", reason=str(error), advice="make room on this disk; retrying")
                        complained = True
                    await trio.sleep(RETRY_SECONDS)
        self._unwritten -= len(events)
        self._written.set()
        self._stored()
