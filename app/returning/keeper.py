"""Socket.IO clients, kept in the tables: another process takes them over where this one ends.

A row is written when a client has joined or left a room, and the client hears that it has only when that is durable: so
what a process finds is what the client knows. Rows of many clients are one transaction. A private id is what proves
that a client is the one that is kept; its hash alone is stored. Rights are no part of a row: they are looked up anew.
"""

import hashlib
from collections.abc import Callable

import attrs
import structlog
import trio

from townwatch.actors.context import Context
from townwatch.actors.people.progress import LogProgress
from townwatch.app.returning.seen import find_seen
from townwatch.contracts.faults import TablesUnavailable
from townwatch.store.database import Database
from townwatch.store.log.port import DurableLog
from townwatch.store.rows import from_json, to_json
from townwatch.store.showing import kept_sockets
from townwatch.store.showing.kept_sockets import Changes, KeptRow
from townwatch.transports.socketio import Postponed
from townwatch.transports.socketio.kept.keeper import KeptRoom, KeptSocket, Returned
from townwatch.transports.socketio.recovery import read_offset

log = structlog.get_logger("people")

GATHER_SECONDS = 0.002
"""Joins within this time are one transaction."""
RETRY_SECONDS = 0.5
EXPIRE_SECONDS = 30.0
MOST_ROOMS = 500
MOST_MARKS = 8
"""Different marks of one client that are looked up: one that joined its rooms at more moments and has seen nothing
since begins anew.
"""


@attrs.define
class _Change:
    """What is to be written of one client, and who waits for it. `row` None: nothing is kept any more."""

    row: KeptRow | None = None
    forgotten: bool = False
    lost: bool = False
    written: trio.Event = attrs.field(factory=trio.Event)


class ClientKeeper:
    """`townwatch.transports.socketio.kept.keeper.SocketKeeper`. `run` is its task."""

    def __init__(
        self, database: Database, event_log: DurableLog, context: Context, progress: LogProgress, seconds: float
    ) -> None:
        """`seconds`: how long a client may be away."""
        self._database = database
        self._event_log = event_log
        self._context = context
        self._seconds = seconds
        self._changes: dict[str, _Change] = {}
        self._writing: dict[str, _Change] = {}
        self._wake = trio.Event()
        self._taken: set[str] = set()
        """Hashes of clients that are about to be taken over."""
        self._began = False
        self.mark: Callable[[], str] = progress.mark

    # --- what is kept -------------------------------------------------------------------------------------------------

    async def save(self, socket: KeptSocket) -> None:
        pid_hash = hash_of(socket.pid)
        change = self._change(pid_hash)
        if len(socket.rooms) > MOST_ROOMS:
            change.row, change.forgotten = None, True
        else:
            now = self._context.clock.now_ms()
            change.row = KeptRow(pid_hash=pid_hash, owner=socket.owner, body=_body(socket), saved_ms=now)
            change.forgotten = change.lost = False
        self._taken.discard(pid_hash)
        await change.written.wait()

    def lost(self, pid: str) -> None:
        self._change(hash_of(pid)).lost = True

    def forget(self, pid: str) -> None:
        change = self._change(hash_of(pid))
        change.row, change.forgotten = None, True

    def release(self, pid: str) -> None:
        self._taken.discard(hash_of(pid))

    def _change(self, pid_hash: str) -> _Change:
        self._wake.set()
        return self._changes.setdefault(pid_hash, _Change())

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write what changes, until cancelled."""
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._expire)
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                await trio.sleep(GATHER_SECONDS)
                await self._write()

    async def _write(self) -> None:
        changes, self._changes = self._changes, {}
        self._writing = changes
        now = self._context.clock.now_ms()
        wanted = Changes(
            saved=[one.row for one in changes.values() if one.row is not None],
            lost=[key for key, one in changes.items() if one.lost],
            forgotten=[key for key, one in changes.items() if one.forgotten],
        )
        while True:
            try:
                if not self._began:
                    await self._database.call(kept_sockets.begin, now)
                    self._began = True
                await self._database.call(kept_sockets.write, wanted, now)
                break
            except TablesUnavailable as error:
                log.warning("clients_not_kept", reason=str(error)[:300])
                await trio.sleep(RETRY_SECONDS)
        self._writing = {}
        for change in changes.values():
            change.written.set()

    async def _expire(self) -> None:
        self._wake.set()  # what the process before this one left is noted as lost
        while True:
            await trio.sleep(EXPIRE_SECONDS)
            try:
                before = self._context.clock.now_ms() - self._seconds * 1000
                await self._database.call(kept_sockets.expire, int(before))
            except TablesUnavailable as error:
                log.warning("kept_clients_not_expired", reason=str(error)[:300])

    # --- who comes back -----------------------------------------------------------------------------------------------

    async def find(self, pid: str, offset: str | None) -> Returned | None:
        pid_hash = hash_of(pid)
        if pid_hash in self._taken:
            return None
        self._taken.add(pid_hash)
        found: Returned | None = None
        try:
            found = await self._find(pid, pid_hash, offset)
        except OSError as error:
            raise Postponed(str(error)) from None
        finally:
            if found is None:
                self._taken.discard(pid_hash)
        return found

    async def _find(self, pid: str, pid_hash: str, offset: str | None) -> Returned | None:
        if pid_hash in self._changes or pid_hash in self._writing:
            return None  # of this process, and just now gone
        row = await self._database.read(kept_sockets.find, pid_hash)
        now = self._context.clock.now_ms()
        if row is None or (row.lost_ms is not None and now - row.lost_ms > self._seconds * 1000):
            return None
        kept = _read(pid, row)
        epoch, number, mark = ("", None, "") if offset is None else read_offset(offset)
        here = number if epoch == kept.epoch and number is not None else 0
        if here < kept.floor:
            return None  # it has not seen all that was replayed to it
        late = [room for room in kept.rooms if here < room.number]
        marks = {room.mark for room in late} | ({mark} if offset is not None else set[str]())
        if len(marks) > MOST_MARKS:
            return None
        seen = await find_seen(
            self._context,
            self._event_log,
            {room.room: _marks_of(room, late, mark if offset is not None else None) for room in kept.rooms},
        )
        return None if seen is None else Returned(kept=kept, missed=seen)


def _marks_of(room: KeptRoom, late: list[KeptRoom], seen: str | None) -> tuple[str, ...]:
    """Return the marks of which a client has seen all in a room: of what it saw last, and of when it joined."""
    joined = (room.mark,) if room in late else ()
    return joined if seen is None else (seen, *joined)


def hash_of(pid: str) -> str:
    """Return what is stored instead of a private id."""
    return hashlib.sha256(pid.encode("utf-8", "surrogatepass")).hexdigest()


def _body(socket: KeptSocket) -> str:
    rooms = [[one.room, one.number, one.mark] for one in socket.rooms]
    return to_json({"sid": socket.sid, "epoch": socket.epoch, "floor": socket.floor, "rooms": rooms})


def _read(pid: str, row: KeptRow) -> KeptSocket:
    body = from_json(row.body)
    return KeptSocket(
        pid=pid,
        sid=body["sid"],
        epoch=body["epoch"],
        owner=row.owner,
        floor=body["floor"],
        rooms=tuple(KeptRoom(room=room, number=number, mark=mark) for room, number, mark in body["rooms"]),
    )
