"""A start while the tables database is away, while the disk is so full that not even reading is possible, or while
another process leads: the port answers that the service lives and is not ready, until it is. Connections are handed on
to the process that leads, if there is one.

`townwatch serve` waits for ever; SIGTERM ends it at once. Each attempt is a line in the log.
"""

import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import structlog
import trio

from townwatch.app.health.replica_metrics import FollowerMetrics
from townwatch.app.member import ClusterMember
from townwatch.app.systemd import ALIVE, READY, notify
from townwatch.contracts import rest
from townwatch.contracts.codec import encode
from townwatch.contracts.faults import TablesUnavailable
from townwatch.store.log.records import DiskFull
from townwatch.transports.edge.connection import Connection
from townwatch.transports.edge.http import HttpHandler, Request, Response, WebSocketHandler, error_response
from townwatch.transports.edge.server import Edge
from townwatch.transports.websocket.handshake import HandshakeRejected, reject

log = structlog.get_logger("service")

FIRST_WAIT, LONGEST_WAIT = 0.25, 5.0
STANDBY_WAIT = 0.02
"""The try itself waits, until there is something to do."""
CLOSE_SECONDS = 1.0
RETRY_AFTER = 5
STANDBY_RETRY_AFTER = 1
"""The leader is at another address, and this process may take over within seconds."""


class AnotherLeads(TablesUnavailable):
    """Another process has the lease; the message says which, and since when."""


class StoppedWaiting(Exception):
    """The service was told to stop before its database was there."""


JSON, LAST = [("content-type", "application/json")], [("connection", "close")]
"""The next request on this connection is another replica's to answer, perhaps."""
T = TypeVar("T")
_PASSING = (TablesUnavailable, DiskFull)


class _Opening(Generic[T]):
    """Attempts in threads, of which the last may be left to itself: what it opens is closed again."""

    def __init__(self, open_it: Callable[[], T], close_it: Callable[[T], None]) -> None:
        self._open_it, self._close_it = open_it, close_it
        self._lock = threading.Lock()
        self._over = False
        self._found: list[T] = []

    def attempt(self) -> None:
        """Open it. Blocks."""
        opened = self._open_it()
        with self._lock:
            if not self._over:
                self._found.append(opened)
                return
        self._close_it(opened)

    def take(self) -> T:
        """Return what was opened."""
        return self._found.pop()

    async def leave(self) -> None:
        """Close what was opened and not taken, now or when it is."""
        with self._lock:
            self._over = True
        while self._found:
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                await trio.to_thread.run_sync(self._close_it, self._found.pop(), abandon_on_cancel=True)


async def wait_for(
    open_it: Callable[[], T],
    edge: Edge,
    told: trio.Event,
    member: ClusterMember | None = None,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
    *,
    close_it: Callable[[T], None],
) -> T:
    """Open a database; while it is away, answer on the port and try again. `told`: the service is to stop. `member`:
    where another process may lead, to which connections are handed on. Its port stays open when this process leads.
    `meanwhile` runs as long as this waits, and must not raise. `close_it` is called, in a
    thread, with what was opened after the wait had ended.

    Raises `StoppedWaiting`, and where waiting would not help `TablesRefused`, `FilesDamaged` and other OSErrors.
    """
    opening = _Opening(open_it, close_it)
    try:
        try:
            await trio.to_thread.run_sync(opening.attempt)
        except _PASSING as error:
            await _wait_on(error, opening, edge, told, member, meanwhile)
        return opening.take()
    finally:
        await opening.leave()


async def _wait_on(
    failed: OSError,
    opening: _Opening[Any],
    edge: Edge,
    told: trio.Event,
    member: ClusterMember | None,
    meanwhile: Callable[[], Awaitable[None]] | None,
) -> None:
    """Return when it is open. Raises as `wait_for`."""
    async with trio.open_nursery() as nursery:
        if meanwhile is not None:
            nursery.start_soon(meanwhile)
        if member is not None and not member.leads and member.relaying is not None:
            failure = await _relay_and_try_on(_WaitingRoom(failed, member), member, edge, told, opening)
        else:
            if member is not None:
                await member.close_port()
            room = _WaitingRoom(failed, None)
            await nursery.start(edge.serve_meanwhile, room.pages, room.sockets)
            failure = await _try_on(room, opening, told)
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure  # outside the nursery, which would wrap it


async def _relay_and_try_on(
    room: "_WaitingRoom",
    member: ClusterMember,
    edge: Edge,
    told: trio.Event,
    opening: _Opening[Any],
) -> Exception | None:
    await member.open_port(edge, room.pages, room.sockets)
    failure = await _try_on(room, opening, told)
    if failure is not None:
        if isinstance(failure, StoppedWaiting) and member.relaying is not None:
            edge.stop_listening()
            await member.relaying.drain()
        await member.close_port()
    return failure


async def _try_on(room: "_WaitingRoom", opening: _Opening[Any], told: trio.Event) -> Exception | None:
    """Try until it is open, or until there is no use in trying."""
    wait, began = FIRST_WAIT, trio.current_time()
    while True:
        if room.is_standby:
            wait = STANDBY_WAIT
            _say_standby(room)
        else:
            log.warning("waiting_for_tables", reason=room.reason, next_try_seconds=wait)
            notify("EXTEND_TIMEOUT_USEC=60000000")
        with trio.move_on_after(wait):
            await told.wait()
            return StoppedWaiting()
        wait = min(LONGEST_WAIT, wait * 2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when, told, nursery.cancel_scope)
            try:
                await trio.to_thread.run_sync(opening.attempt, abandon_on_cancel=True)
            except _PASSING as error:
                room.note(error)
            except Exception as error:
                return error
            else:
                event = "takes_over" if room.is_standby else "tables_available"
                log.info(event, seconds=round(trio.current_time() - began, 1))
                return None
            finally:
                nursery.cancel_scope.cancel()


def _say_standby(room: "_WaitingRoom") -> None:
    """Tell the log when the leader is another than before, and systemd that this process lives."""
    if room.said != room.reason:
        room.said = room.reason
        log.info("standby", reason=room.reason)
        notify(READY)
    notify(ALIVE)


async def _cancel_when(told: trio.Event, scope: trio.CancelScope) -> None:
    await told.wait()
    scope.cancel()


class _WaitingRoom:
    """Answers on the port until the service is ready."""

    def __init__(self, error: OSError, member: ClusterMember | None) -> None:
        self.reason, self.is_standby, self.said = "", False, ""
        self._member = member
        self.note(error)
        self.pages: dict[str, HttpHandler] = {"/healthz": self._healthz, "/readyz": self._readyz, "/": self._nothing}
        if member is not None:
            self.pages["/metrics"] = FollowerMetrics(member).answer
        self.sockets: dict[str, WebSocketHandler] = {"/": self._no_socket}

    def note(self, error: OSError) -> None:
        """Keep why the last attempt failed."""
        self.reason, self.is_standby = str(error), isinstance(error, AnotherLeads)

    async def _healthz(self, _request: Request) -> Response:
        return Response(200, b'{"status":"ok"}', [*JSON, *LAST])

    async def _readyz(self, _request: Request) -> Response:
        member = self._member
        if member is not None and member.not_ready() is None:
            ready = rest.Ready(ready=True, cluster=member.words)
            return Response(200, encode(ready), [*JSON, *LAST])
        return self._answer("E_NOT_READY", {"ready": False, "reasons": [self._text()]})

    async def _nothing(self, _request: Request) -> Response:
        return self._answer("E_UNAVAILABLE", None)

    def _answer(self, code: str, details: Any) -> Response:
        answer = error_response(503, code, self._text(), [("retry-after", str(self._retry_after())), *LAST])
        if details is not None:
            answer.body = json.dumps({"error": {"code": code, "message": self._text(), "details": details}}).encode()
        return answer

    async def _no_socket(self, _request: Request, connection: Connection, _leftover: bytes) -> None:
        await reject(connection, HandshakeRejected(503, "E_UNAVAILABLE", self._text(), retry_after=self._retry_after()))

    def _retry_after(self) -> int:
        return STANDBY_RETRY_AFTER if self.is_standby else RETRY_AFTER

    def _text(self) -> str:
        member = self._member
        if member is not None and member.leads:
            return "this process begins to lead"
        if member is not None and member.door is not None and (why := member.not_ready()):
            return f"standby; {why}"
        if self.is_standby:
            return f"standby; {self.reason}"
        return f"the service is starting and waits for its database: {self.reason}"
