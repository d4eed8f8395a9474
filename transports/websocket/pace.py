"""Limits of what a WebSocket's peer may send: sizes, fragments, and rates. Pure.

A limit on the size of a message does not bound a flood of empty fragments or of pings: those are counted a second.
Frames beyond their rate close the connection; bytes beyond theirs are read later, so that TCP slows the sender.
"""

import attrs


@attrs.frozen(kw_only=True)
class MessageLimits:
    """Each is a maximum.

    message_bytes: of one message, inflated. fragments: of one message. empty_fragments: frames of one message without
    a byte in them. data_frames, control_frames, bytes: a second, averaged; `burst` seconds' worth may come at once.
    """

    message_bytes: int = 1_000_000
    fragments: int = 1024
    empty_fragments: int = 16
    data_frames: float = 5000
    control_frames: float = 50
    bytes: float = 64 << 20
    burst: float = 4


class Pace:
    """The rates of one connection, as buckets that fill with time. `now`: seconds on any clock that only rises."""

    __slots__ = ("_at", "_bytes", "_control", "_data", "_limits")

    def __init__(self, limits: MessageLimits, now: float) -> None:
        self._limits = limits
        self._at = now
        self._data = limits.data_frames * limits.burst
        self._control = limits.control_frames * limits.burst
        self._bytes = limits.bytes * limits.burst

    def frame(self, now: float, *, control: bool) -> str | None:
        """Count a frame. Returns which limit it breaks, in words; None while all is well."""
        self._fill(now)
        limits = self._limits
        if control:
            self._control -= 1
            return None if self._control >= 0 else f"more than {limits.control_frames:g} control frames a second"
        self._data -= 1
        return None if self._data >= 0 else f"more than {limits.data_frames:g} frames a second"

    def received(self, size: int, now: float) -> float:
        """Count bytes. Returns the seconds to wait before more are read."""
        self._fill(now)
        self._bytes -= size
        return max(0.0, -self._bytes / self._limits.bytes)

    def _fill(self, now: float) -> None:
        passed = now - self._at
        if passed <= 0:
            return
        self._at = now
        limits = self._limits
        self._data = min(self._data + passed * limits.data_frames, limits.data_frames * limits.burst)
        self._control = min(self._control + passed * limits.control_frames, limits.control_frames * limits.burst)
        self._bytes = min(self._bytes + passed * limits.bytes, limits.bytes * limits.burst)
