"""Events on their way to the service that are not acknowledged: within the window, and in fair shares. Pure.

The service's window counts events of all sessions. Bytes are ours to bound: what lies in sockets and in the service's
hands, the next event waits behind. A session that prints alone may fill a connection; while others say something, or
are typed into, each has a share, so that the echo of a key waits for little of another session's flood.
"""

import math
from collections import deque
from collections.abc import Mapping

import attrs

ALONE_BYTES = 1 << 20
"""Of one session, while no other says anything."""
TOGETHER_BYTES = 256 * 1024
"""Of all sessions, while several do."""
LEAST_BYTES = 16 * 1024
"""A session's share, however many there are."""
LIVELY_SECONDS = 2.0
"""So long after its last event or key a session counts."""


@attrs.define(eq=False)
class SpoolFlight:
    """Progress of one session: sent up to, acknowledged up to, and the sizes of the events between."""

    sent: int
    acked: int
    bytes: int = 0
    lively_at: float = -math.inf
    _sizes: deque[tuple[int, int]] = attrs.field(factory=deque[tuple[int, int]])

    def is_lively(self, now: float) -> bool:
        return now - self.lively_at < LIVELY_SECONDS

    def send(self, seq: int, size: int) -> None:
        self.sent = seq
        self._sizes.append((seq, size))
        self.bytes += size

    def ack(self, seq: int) -> None:
        self.acked = max(self.acked, seq)
        self.sent = max(self.sent, seq)
        while self._sizes and self._sizes[0][0] <= seq:
            self.bytes -= self._sizes.popleft()[1]


class Flights:
    """All sessions of one connection. Times are trio's."""

    def __init__(self, window: int) -> None:
        self.window = window
        """Events that may be unacknowledged, as the service said last."""
        self.held_back = False
        """Whether something waits for an acknowledgement to be sent. Set before anything is awaited that an
        acknowledgement could come in: else it would wake nothing."""
        self._flights: dict[str, SpoolFlight] = {}

    def begin(self, window: int, acked: Mapping[str, int]) -> None:
        """Start over: of these sessions the service has everything up to a seq."""
        self.window = window
        self._flights = {session_id: SpoolFlight(seq, seq) for session_id, seq in acked.items()}

    def of(self, session_id: str, acked: int) -> SpoolFlight:
        """Return the session's; a new one begins behind `acked`."""
        return self._flights.setdefault(session_id, SpoolFlight(acked, acked))

    def find(self, session_id: str) -> SpoolFlight | None:
        return self._flights.get(session_id)

    def places(self, now: float) -> dict[str, tuple[int, int]]:
        """Return how far each session was sent, and how many bytes more it may send."""
        lively = self._lively(now)
        return {session_id: (one.sent, _share(one, lively, now)) for session_id, one in self._flights.items()}

    @property
    def room(self) -> int:
        """Number of events that the window has room for."""
        return self.window - sum(flight.sent - flight.acked for flight in self._flights.values())

    def share(self, session_id: str, now: float) -> int:
        """Return how many bytes a known session may send at this moment; none where its share is on its way."""
        return _share(self._flights[session_id], self._lively(now), now)

    def typed(self, session_id: str, now: float) -> None:
        """Note that a person types into it: its answer is waited for."""
        if (flight := self._flights.get(session_id)) is not None:
            flight.lively_at = now

    def _lively(self, now: float) -> int:
        return sum(one.is_lively(now) for one in self._flights.values())


def _share(flight: SpoolFlight, lively: int, now: float) -> int:
    """`lively`: number of sessions that are, with this one."""
    others = lively - flight.is_lively(now)
    most = max(LEAST_BYTES, TOGETHER_BYTES // (others + 1)) if others else ALONE_BYTES
    return max(0, most - flight.bytes)
