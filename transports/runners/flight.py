"""Events on their way between a runner and the journal, for one connection. Pure: no actor, no socket, no clock.

A `Flight` is one session's share: the events received on this connection and not durable yet. It knows what follows
what *on this connection*, so that a session which lost what it had in hand can tell an event that was lost from one
that the runner never had.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import attrs

from townwatch.actors.messages import IncomingEvent
from townwatch.contracts.link import Ack

BATCH_EVENTS = 256
"""At most so many events go to a session in one message."""


@attrs.frozen
class EventBatch:
    """Events that follow each other. `follows`: the seq before the first, as far as the runner ever sent one."""

    follows: int
    events: list[IncomingEvent]


@attrs.define(eq=False)
class Flight:
    """One session on one connection.

    resume_from: the seq that the session asked for. spool_from: the first that the runner still has. last: the last
    received. acked: the last durable. sent: the last handed to the session on its way there.
    """

    session_id: str
    village_id: str
    ref: Any
    resume_from: int
    spool_from: int
    acked: int
    last: int = attrs.field(default=attrs.Factory(lambda self: self.resume_from - 1, takes_self=True))
    held: deque[IncomingEvent] = attrs.field(factory=deque)
    held_bytes: int = 0
    again: int | None = None
    """Send again what comes after this seq; None: nothing to send again."""
    again_at: float = 0.0
    moved_at: float = 0.0
    resend_after: float = 0.0
    """Seconds without an acknowledgement after which the held events are sent again; doubles each time."""

    def take(self, incoming: IncomingEvent) -> bool:
        """Keep it until it is durable. False for a repeat, which is not kept."""
        if incoming.event.seq <= self.last:
            return False
        self.last = incoming.event.seq
        self.held.append(incoming)
        self.held_bytes += len(incoming.body)
        return True

    def trim(self, seq: int) -> tuple[int, int]:
        """Let go of everything up to `seq`, which is durable. Return how many (events, bytes) that were."""
        self.acked = max(self.acked, seq)
        events = size = 0
        while self.held and self.held[0].event.seq <= seq:
            size += len(self.held.popleft().body)
            events += 1
        self.held_bytes -= size
        return events, size

    def drop(self, seq: int) -> int | None:
        """Let go of one event that was refused; its size, or None where it is not held."""
        for incoming in self.held:
            if incoming.event.seq == seq:
                self.held.remove(incoming)
                self.held_bytes -= len(incoming.body)
                return len(incoming.body)
        return None

    def rewind(self, after: int, at: float) -> None:
        """Remember to send again; several wishes are one, the one that reaches furthest back."""
        self.again = after if self.again is None else min(self.again, after)
        self.again_at = at

    def beyond_reach(self, after: int) -> bool:
        """Return whether only the runner has the wanted events: they lie before the begin of this connection."""
        return after + 1 < self.resume_from and self.spool_from < self.resume_from

    def runs(self, after: int) -> Iterator[EventBatch]:
        """The held events with a higher seq than `after`, in runs."""
        previous = after
        events: list[IncomingEvent] = []
        begins_after = after
        for incoming in self.held:
            seq = incoming.event.seq
            if seq <= after:
                continue
            if events and (seq != previous + 1 or len(events) >= BATCH_EVENTS):
                yield EventBatch(begins_after, events)
                begins_after, events = previous, []
            events.append(incoming)
            previous = seq
        if events:
            yield EventBatch(begins_after, events)


@attrs.define(eq=False)
class PendingAcks:
    """Acknowledgements to be said: one a session, however many events it covers."""

    _last: dict[str, int] = attrs.field(factory=dict[str, int])
    events: int = 0
    bytes: int = 0
    """Events and bytes covered since the last `take`."""

    def note(self, session_id: str, seq: int, events: int, size: int) -> None:
        self._last[session_id] = max(seq, self._last.get(session_id, 0))
        self.events += events
        self.bytes += size

    def take(self) -> list[Ack]:
        """Return the acks to send now, and forget them."""
        said = [Ack(session_id=session_id, seq=seq) for session_id, seq in self._last.items()]
        self._last, self.events, self.bytes = {}, 0, 0
        return said

    def __bool__(self) -> bool:
        return bool(self._last)
