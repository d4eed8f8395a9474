"""Mask secrets in events before they are stored or shown, without holding up the event loop."""

import trio

from townwatch.actors import messages as m
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.events import RunnerEvent
from townwatch.contracts.secrets.shapes import masked_event

INLINE_BYTES = 64 * 1024
"""A larger event is masked in a worker thread. The slowest text takes half a second for each MiB (bench/masking.py): an
event of this size holds up the loop for 30 ms at most, and in ordinary text for less than one.
"""


class EventMasker:
    """Masks one connection's events, one at a time, so that they stay in order."""

    def __init__(self) -> None:
        self._threads = trio.CapacityLimiter(1)
        """One of its own: a connection's events never wait behind the reads of other clients."""

    async def incoming(self, event: RunnerEvent, body: bytes) -> m.IncomingEvent:
        """Return the event as it is to be stored and shown."""
        if len(body) <= INLINE_BYTES:
            return _masked(event, body)
        return await trio.to_thread.run_sync(_masked, event, body, limiter=self._threads)


def _masked(event: RunnerEvent, body: bytes) -> m.IncomingEvent:
    masked = masked_event(body)
    return m.IncomingEvent(event if masked is body else decode_event(masked), masked)
