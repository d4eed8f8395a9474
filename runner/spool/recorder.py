"""Between what happens and the spool: one writer, which numbers and stores events in batches off the loop."""

import sqlite3
from collections.abc import Callable
from typing import Any, cast

import attrs
import structlog
import trio

from townwatch.contracts.clock import epoch_ms as now_ms
from townwatch.contracts.codec import encode, to_json_values
from townwatch.runner.spool.spool import Spool

log = structlog.get_logger("recorder")

QUEUE = 1000
"""Events waiting for the disk; beyond it, who makes them waits (the terminal is as fast as this disk, no slower)."""
BATCH = 500
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
        self._unwritten = 0
        self._written = trio.Event()

    async def record(self, session_id: str, village: str, kind: str, **fields: Any) -> None:
        """One event. Fields are as on the wire; those that are None are left out."""
        event = {"type": kind, "sessionId": session_id, "orgId": village, "ts": now_ms()}
        event |= {name: value for name, value in fields.items() if value is not None}
        self._unwritten += 1
        try:
            await self._send.send((session_id, sayable(event)))
        except BaseException:  # it is not in the queue: `settle` must not wait for it
            self._unwritten -= 1
            self._written.set()
            raise

    async def settle(self) -> None:
        """Wait until everything recorded so far is on the disk: as long as the disk is full."""
        while self._unwritten:
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
        while len(self._batch) < BATCH:
            try:
                self._batch.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                return

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
        self._unwritten -= len(self._batch) - len(left)
        self._batch = left
        self._written.set()


def sayable(event: dict[str, Any]) -> dict[str, Any]:
    """The event as JSON can say it. Names of files and arguments of programs are bytes to the system, and Python's
    stand-ins for those that are no UTF-8 are no text: they become U+FFFD.
    """
    try:
        encode(event)
    except UnicodeEncodeError:
        return _plain(event)
    return event


def _plain(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        case dict():
            return {name: _plain(inner) for name, inner in cast(dict[str, Any], value).items()}
        case list() | tuple():
            return [_plain(inner) for inner in cast(list[Any], value)]
        case _:
            return _plain(to_json_values(value)) if attrs.has(type(value)) else value  # pyright: ignore[reportUnknownArgumentType]
