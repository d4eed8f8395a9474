"""Connection state recovery, wire-compatible with the official server ≥ 4.6, without its known defects.

Every recoverable event gets a number; its offset string (epoch and number) is the event's last argument. A client that
lost its connection says its private id and the last offset it saw, and gets what it missed: the very bytes that were
broadcast. Mended, by issue numbers of socketio/socket.io: a half-open old connection is taken over (#4880), no event
received yet is no reason not to recover (#5538), events purged that were not for this client do not matter (#5282),
volatile events do not spoil the offset (PR #5539), and an offset of before the session replays nothing foreign.
"""

import secrets
from collections import Counter, deque
from collections.abc import Callable, Collection
from functools import lru_cache
from itertools import islice

import attrs
import msgspec
import trio

from townwatch.transports.socketio.kept.keeper import Joins
from townwatch.transports.socketio.message import Message


@attrs.frozen(kw_only=True)
class RecoverySettings:
    """Settings of connection recovery: how long a lost client can return (seconds), and how much is kept for that."""

    seconds: float = 120.0
    packets: int = 100_000
    bytes: int = 64 << 20


class _Logged(msgspec.Struct, gc=False, eq=False):
    until: float
    rooms: frozenset[str] | None
    skipped: frozenset[str]
    messages: tuple[Message, ...]
    size: int


@attrs.frozen(kw_only=True)
class LostClient:
    """A client that lost its connection: what it gets back if it returns in time."""

    sid: str
    pid: str
    rooms: frozenset[str]
    state: dict[str, object]
    start: int
    whole_from: int
    until: float
    came_with: str | None
    joins: Joins


@attrs.frozen
class Recovered:
    """The rooms and missed messages of a returning client."""

    lost: LostClient
    missed: list[Message]


class RecoveryLog:
    """The last events of a namespace, and who may come back for them."""

    def __init__(self, settings: RecoverySettings) -> None:
        self.settings = settings
        self.epoch = secrets.token_hex(4)
        self.next = 1
        self._first = 1
        self._log: deque[_Logged] = deque()
        self._bytes = 0
        self._purged_for_all = 0
        self._purged_for_room: dict[str, tuple[int, float]] = {}
        """room → the highest number of an event for it that is gone, and until when a client might ask for it"""
        self._lost: dict[str, LostClient] = {}
        """By private id, in the order in which they expire."""
        self._wanted: Counter[str] = Counter()
        """room → how many lost clients were in it"""
        self.mark: Callable[[], str] | None = None
        """What another process has to know beside the number; None where no other one takes over."""

    def offset(self, number: int | None = None, mark: str | None = None) -> str:
        """The offset string of the event that is about to be logged, or of another."""
        offset = f"{self.epoch}.{self.next if number is None else number:x}"
        return offset if self.mark is None else f"{offset}.{self.mark() if mark is None else mark}"

    def _number(self, offset: object) -> int | None:
        if not isinstance(offset, str):
            return None
        epoch, number, _ = read_offset(offset)
        return number if epoch == self.epoch else None

    def record(
        self, rooms: Collection[str] | None, messages: tuple[Message, ...], skipped: Collection[str] = ()
    ) -> None:
        """Keep an event that carried `offset()`."""
        size = sum([message.size for message in messages])
        until = trio.current_time() + self.settings.seconds
        kept = None if rooms is None else _rooms(tuple(rooms))
        self._log.append(_Logged(until, kept, frozenset(skipped), messages, size))
        self._bytes += size
        self.next += 1
        if len(self._log) > self.settings.packets or self._bytes > self.settings.bytes:
            self._shrink(trio.current_time())

    def lose(
        self,
        sid: str,
        pid: str,
        rooms: frozenset[str],
        state: dict[str, object],
        start: int,
        whole_from: int = 0,
        came_with: str | None = None,
        joins: Joins | None = None,
    ) -> None:
        """A client lost its connection. `whole_from`, `came_with`: see `Socket`."""
        self._forget(pid)
        self._wanted.update(rooms)
        self._lost[pid] = LostClient(
            sid=sid,
            pid=pid,
            rooms=rooms,
            state=state,
            start=start,
            whole_from=whole_from,
            until=trio.current_time() + self.settings.seconds,
            came_with=came_with,
            joins=Joins() if joins is None else joins,
        )

    def forget(self, pid: str) -> None:
        """Nothing is kept for this client any more."""
        self._forget(pid)

    def knows(self, pid: str) -> bool:
        """Return True if this client lost its connection to this process, and may return."""
        return pid in self._lost

    def awaits(self, rooms: Collection[str]) -> bool:
        """Return True if a lost client that was in one of the rooms may still return."""
        if self._lost:
            self._expire_lost(trio.current_time())
        return any(room in self._wanted for room in rooms)

    def restore(self, pid: str, offset: object) -> Recovered | None:
        """Return what client `pid` missed after `offset`, or None if it must start with a new socket."""
        now = trio.current_time()
        self._shrink(now)
        self._expire_lost(now)
        lost = self._lost.get(pid)
        if lost is None:
            return None
        # Its offset may be another process's: it has got nothing of this one yet.
        seen = lost.start - 1 if offset is None or offset == lost.came_with else self._number(offset)
        if seen is None or seen >= self.next or seen < lost.whole_from:
            return None
        seen = max(seen, lost.start - 1)
        mine = {*lost.rooms, lost.sid}
        if seen + 1 < self._first:  # some of what came after its offset is purged …
            if self._purged_for(mine) > seen:
                return None
            seen = self._first - 1  # … but none of that was for this client
        self._forget(pid)
        later = list(islice(reversed(self._log), self.next - 1 - seen))  # from its end: most have missed little
        missed = [message for logged in reversed(later) if _is_for(logged, mine) for message in logged.messages]
        return Recovered(lost, missed)

    def expire(self) -> None:
        """Drop what is too old or too much."""
        now = trio.current_time()
        self._shrink(now)
        self._expire_lost(now)
        for room in [room for room, (_, until) in self._purged_for_room.items() if until < now]:
            del self._purged_for_room[room]

    def _expire_lost(self, now: float) -> None:
        while self._lost and (first := next(iter(self._lost.values()))).until < now:
            self._forget(first.pid)

    def _forget(self, pid: str) -> None:
        lost = self._lost.pop(pid, None)
        if lost is not None:
            self._wanted.subtract(lost.rooms)
            for room in lost.rooms:
                if not self._wanted[room]:
                    del self._wanted[room]

    def _shrink(self, now: float) -> None:
        log, limits = self._log, self.settings
        while log and (log[0].until < now or len(log) > limits.packets or self._bytes > limits.bytes):
            self._purge(log.popleft())

    def _purge(self, logged: _Logged) -> None:
        self._bytes -= logged.size
        if logged.rooms is None:
            self._purged_for_all = self._first
        else:
            for room in logged.rooms:
                self._purged_for_room[room] = (self._first, logged.until + self.settings.seconds)
        self._first += 1

    def _purged_for(self, rooms: Collection[str]) -> int:
        """The highest number of a purged event that was for any of the rooms."""
        numbers = (self._purged_for_room.get(room, (0, 0.0))[0] for room in rooms)
        return max(self._purged_for_all, *numbers)

    @property
    def size(self) -> int:
        """Bytes kept."""
        return self._bytes


def read_offset(offset: str) -> tuple[str, int | None, str]:
    """Return (epoch, number, mark) of an offset string, its number None where it has none."""
    epoch, _, rest = offset[:1000].partition(".")
    digits, _, mark = rest.partition(".")
    try:
        return epoch, int(digits[:16], 16), mark
    except ValueError:
        return epoch, None, mark


@lru_cache(maxsize=4096)
def _rooms(rooms: tuple[str, ...]) -> frozenset[str]:
    """The same set for the same rooms."""
    return frozenset(rooms)


def _is_for(logged: _Logged, mine: set[str]) -> bool:
    wanted = logged.rooms is None or not logged.rooms.isdisjoint(mine)
    return wanted and logged.skipped.isdisjoint(mine)
