"""Pings for all sessions from one task: two queues, in order because every interval is the same; no timer a client."""

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import trio

from townwatch.transports.socketio.message import PING, Message


class Pinged(Protocol):
    """A session. The two deadlines are in trio's clock; 0.0 when nothing is due."""

    ping_due: float
    pong_due: float
    open: bool

    def send(self, message: Message, /) -> object: ...


S = TypeVar("S", bound=Pinged)


class HeartbeatSchedule(Generic[S]):
    """The server pings every `interval` seconds; a client that does not answer within `timeout` is gone."""

    def __init__(self, interval: float, timeout: float, silent: Callable[[S], None]) -> None:
        self.interval = interval
        self.timeout = timeout
        self._silent = silent
        self._pings: deque[tuple[float, S]] = deque()
        self._pongs: deque[tuple[float, S]] = deque()
        self._earlier = trio.Event()

    def expect_ping(self, session: S) -> None:
        """The next ping of this session is due an interval from now."""
        session.ping_due = due = trio.current_time() + self.interval
        self._pings.append((due, session))
        self._earlier.set()

    def tick(self) -> None:
        """Do what is due. Also called when a request comes in, so that deadlines are exact where it matters."""
        now = trio.current_time()
        while self._pings and self._pings[0][0] <= now:
            due, session = self._pings.popleft()
            if session.ping_due == due and session.open:
                session.ping_due = 0.0
                session.send(PING)
                session.pong_due = limit = due + self.timeout
                self._pongs.append((limit, session))
        while self._pongs and self._pongs[0][0] <= now:
            due, session = self._pongs.popleft()
            if session.pong_due == due and session.open:
                self._silent(session)

    async def run(self) -> None:
        """Send pings and close silent sessions until cancelled."""
        while True:
            self.tick()
            self._earlier = trio.Event()
            heads = [queue[0][0] for queue in (self._pings, self._pongs) if queue]
            with trio.move_on_at(min(heads, default=float("inf"))):
                await self._earlier.wait()
