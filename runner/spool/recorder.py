"""Recorder of events into the spool: one writer, which numbers and stores them in batches off the loop."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from typing import Any

import structlog
import trio

from townwatch.contracts.clock import epoch_ms as now_ms
from townwatch.runner.spool.spool import Spool

log = structlog.get_logger("recorder")

QUEUE = 1000
"""Events waiting for the disk; beyond it, who makes them waits (the terminal is as fast as this disk, no slower)."""
BATCH = 500
BATCH_CHARS = 1 << 20
"""Roughly what one commit writes at most, so that who comes behind a flood waits for one such commit."""
SESSION_CHARS = 256 * 1024
"""Terminal output of one session that may wait for the disk. Beyond it that terminal waits, and no other."""
FLOOD_CHARS = 8 * 1024
"""A piece of output that is as long comes from a program that prints as fast as it can."""
FLOOD_SECONDS = 0.02
"""Between two such pieces while another session is typed into: keys, and their echoes, find the processors free."""
TYPED_SECONDS = 2.0
RETRY_SECONDS = 0.5
LAST_SECONDS = 5.0
"""How long the end waits for a disk that takes nothing."""


class Recorder:
    """`record` waits only for room in the queue; `run` writes until it is cancelled, and then writes what is left."""

    def __init__(self, spool: Spool, stored: Callable[[], None]) -> None:
        """`stored` is called after each commit: there is something to send."""
        self.spool = spool
        self._stored = stored
        self._send, self._receive = trio.open_memory_channel[tuple[str, dict[str, Any]]](QUEUE)
        self._batch: list[tuple[str, dict[str, Any]]] = []
        self._output: Counter[str] = Counter()
        """Characters of each session's terminal output that wait for the disk."""
        self._typed: dict[str, float] = {}
        """When keys went to a session last, in trio's time; of those that matter still."""
        self._unwritten = 0
        self._written = trio.Event()

    async def record(self, session_id: str, village: str, kind: str, **fields: Any) -> None:
        """One event. Fields are as on the wire; those that are None are left out."""
        event = {"type": kind, "sessionId": session_id, "orgId": village, "ts": now_ms()}
        event |= {name: value for name, value in fields.items() if value is not None}
        if kind == "TERMINAL_CHUNK":
            await self._turn(session_id, len(fields["data"]))
        self._count(session_id, event, 1)
        try:
            await self._send.send((session_id, event))
        except BaseException:  # it is not in the queue: `settle` must not wait for it
            self._count(session_id, event, -1)
            self._written.set()
            raise

    def typed(self, session_id: str) -> None:
        """Note that keys go to this session."""
        self._typed[session_id] = trio.current_time()

    def beside_keys(self, session_id: str) -> bool:
        """Return whether another session is typed into."""
        if self._typed:
            since = trio.current_time() - TYPED_SECONDS
            self._typed = {one: at for one, at in self._typed.items() if at > since}
        return any(one != session_id for one in self._typed)

    async def _turn(self, session_id: str, chars: int) -> None:
        """Wait until more output of this session may come."""
        while self._output[session_id] > SESSION_CHARS:
            await self._next_write()
        if chars >= FLOOD_CHARS and self.beside_keys(session_id):
            await trio.sleep(FLOOD_SECONDS)

    async def settle(self) -> None:
        """Wait until everything recorded so far is on the disk: as long as the disk is full."""
        while self._unwritten:
            await self._next_write()

    async def _next_write(self) -> None:
        if self._written.is_set():  # others may wait for the one that is not
            self._written = trio.Event()
        await self._written.wait()

    async def run(self) -> None:
        """The writer. When it is cancelled, what was recorded is written first, if the disk takes it."""
        try:
            while True:
                if not self._batch:
                    self._batch.append(await self._receive.receive())
                self._take_more()
                await self._write()
        finally:
            with trio.move_on_after(LAST_SECONDS, shield=True):
                self._take_more()
                while self._batch:
                    await self._write()
                    self._take_more()

    def _take_more(self) -> None:
        chars = sum(_output_chars(event) for _, event in self._batch)
        while len(self._batch) < BATCH and chars < BATCH_CHARS:
            try:
                self._batch.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                return
            chars += _output_chars(self._batch[-1][1])

    async def _write(self) -> None:
        """Write the batch to the disk. While the disk is full it is kept and tried again, in order."""
        complained = False
        while True:
            try:
                await trio.to_thread.run_sync(self.spool.append, self._batch)  # a thread is never left half-way
                break
            except sqlite3.Error as error:
                if not complained:
                    log.error("spool_cannot_write", reason=str(error), advice="make room on this disk; retrying")
                    complained = True
                await trio.sleep(RETRY_SECONDS)
            except KeyError as unknown:  # of a session that the spool does not know: it could never be sent
                log.error("event_without_session", session=str(unknown.args[0]))
                self._forget([one for one in self._batch if one[0] != unknown.args[0]])
        self._forget([])
        self._stored()

    def _forget(self, left: list[tuple[str, dict[str, Any]]]) -> None:
        for session_id, event in self._batch:
            self._count(session_id, event, -1)
        for session_id, event in left:
            self._count(session_id, event, 1)
        self._batch = left
        self._written.set()

    def _count(self, session_id: str, event: dict[str, Any], sign: int) -> None:
        self._unwritten += sign
        if chars := _output_chars(event):
            self._output[session_id] += sign * chars
            if not self._output[session_id]:
                del self._output[session_id]


def _output_chars(event: dict[str, Any]) -> int:
    return len(event["data"]) if event["type"] == "TERMINAL_CHUNK" else 0
