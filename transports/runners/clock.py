"""The clock of a runner, and its times in ours.

A runner whose clock is wrong would date everything it says: feeds, alerts, approvals, their deadlines. So the times in
the events of a runner that tells its clock are set right before anything is stored; `reportedTs` keeps what it said.
"""

from collections import deque
from typing import Any, cast

import msgspec

from townwatch.actors.ports import Clock
from townwatch.contracts.decoding.runner_events import decode_event
from townwatch.contracts.events import RunnerEvent
from townwatch.contracts.link import Heartbeat, Hello

CLOSE_MS = 2000
"""A clock that is off by less is right: so much may be the way."""
SAMPLES = 4
"""Messages that are looked at: the quickest of them says best how far the clock is off."""
_MOST_MS = 253_402_300_799_999
_IN_APPROVAL = ("requestedAt", "timeoutAt", "resolvedAt")
_IN_PROVIDER_EVENT = ("since", "timestamp")


class RunnerClock:
    """Distance of a runner's clock from ours, as it tells by hello's `clock` and then by its heartbeats."""

    def __init__(self, hello: Hello, ours: Clock) -> None:
        self._ours = ours
        self._told = hello.clock is not None
        self._behind = deque[float](maxlen=SAMPLES)
        """How far ours was ahead, by the latest messages: each by the message's way too much."""
        if hello.clock is not None:
            self._compare(hello.clock)

    def hear(self, heartbeat: Heartbeat) -> None:
        """A runner that never told its clock is taken at its word."""
        if self._told:
            self._compare(heartbeat.ts)

    def _compare(self, theirs: float) -> None:
        self._behind.append(self._ours.now_ms() - theirs)

    @property
    def _behind_ms(self) -> float:
        return min(self._behind, default=0.0)

    def set_right(self, event: RunnerEvent, body: bytes) -> tuple[RunnerEvent, bytes]:
        """The event, and what is to be stored of it, in our time."""
        if abs(self._behind_ms) < CLOSE_MS:
            return event, body
        fields = cast(dict[str, Any], msgspec.json.decode(body))
        fields["reportedTs"] = event.ts
        self._move(fields, ("ts",))
        self._move(fields.get("approval"), _IN_APPROVAL)
        self._move(fields.get("providerEvent"), _IN_PROVIDER_EVENT)
        moved = msgspec.json.encode(fields)
        return decode_event(moved), moved

    def _move(self, fields: Any, names: tuple[str, ...]) -> None:
        if not isinstance(fields, dict):
            return
        times, now = cast(dict[str, Any], fields), self._ours.now_ms()
        for name in names:
            value = times.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                moved = round(value + self._behind_ms)
                if name != "timeoutAt":  # nothing that was said lies ahead of us, but for the way of the clock
                    moved = min(moved, now)
                times[name] = min(_MOST_MS, max(0, moved))
