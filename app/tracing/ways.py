"""The way of an event: from its runner to the service, to the disk, to the people, as the spans of one trace."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from townwatch.contracts.events import RunnerEvent
from townwatch.contracts.tracing.context import span_id_of, trace_id_of
from townwatch.net.otlp.spans import Span

PENDING = 4096
"""Events under way that are followed; an older one that was never shown is given up."""
SHOWN_BY = frozenset({"village", "agent"})
"""The two that show an event: the work stream, and the agent with its terminal."""

Offer = Callable[[Span], None]


@attrs.define
class _Way:
    event: RunnerEvent
    received: int
    durable: int = 0
    shown: set[str] = attrs.field(factory=set[str])


class EventWays:
    """Follows a share of the events. Their ids are made from session and number: told twice, it is the same span."""

    def __init__(self, offer: Offer, sample: float, now_ns: Callable[[], int] = time.time_ns) -> None:
        """`sample`: 0 follows none, 1 all."""
        self._offer = offer
        self._below = int(max(0.0, min(1.0, sample)) * 2**64)
        self._now = now_ns
        self._ways: dict[tuple[str, int], _Way] = {}

    def received(self, events: Sequence[Any]) -> None:
        """Note that events (`m.IncomingEvent`) have come to their session."""
        for incoming in events:
            event: RunnerEvent = incoming.event
            if int(_trace_of(event)[:16], 16) >= self._below:
                continue
            if len(self._ways) >= PENDING:
                del self._ways[next(iter(self._ways))]
            self._ways[(event.session_id, event.seq)] = _Way(event, self._now())

    def durable(self, events: Sequence[RunnerEvent]) -> None:
        """Note that events are on the disk."""
        for event in events if self._ways else ():
            way = self._ways.get((event.session_id, event.seq))
            if way is not None:
                way.durable = self._now()

    def shown(self, by: str, events: Sequence[RunnerEvent]) -> None:
        """Note that one of `SHOWN_BY` has given events to the connections of viewers."""
        for event in events if self._ways else ():
            way = self._ways.get((event.session_id, event.seq))
            if way is None:
                continue
            way.shown.add(by)
            if way.shown >= SHOWN_BY:
                del self._ways[(event.session_id, event.seq)]
                self._tell(way)

    def _tell(self, way: _Way) -> None:
        event, trace_id, now = way.event, _trace_of(way.event), self._now()
        root = span_id_of(trace_id, "way")
        said = min(int(event.ts * 1_000_000), way.received)  # its clock may be a little ahead of ours
        attributes = {
            "townwatch.event.type": event.TYPE,
            "townwatch.event.seq": event.seq,
            "townwatch.session.id": event.session_id,
            "townwatch.village.id": event.org_id,
        }
        steps = (
            ("runner to service", said, way.received),
            ("to the disk", way.received, way.durable),
            ("to the people", way.durable, now),
        )
        self._offer(
            Span(
                name=f"event {event.TYPE}",
                kind="consumer",
                trace_id=trace_id,
                span_id=root,
                start_ns=said,
                end_ns=now,
                attributes=attributes,
            )
        )
        for name, start, end in steps:
            self._offer(
                Span(
                    name=name,
                    trace_id=trace_id,
                    span_id=span_id_of(root, name),
                    parent_id=root,
                    start_ns=start,
                    end_ns=end,
                )
            )


def _trace_of(event: RunnerEvent) -> str:
    return trace_id_of("event", event.session_id, event.seq)
