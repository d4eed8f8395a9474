"""Restart intensity: the failures after which a supervisor gives up. Pure."""

from collections import deque


class Intensity:
    """OTP's restart intensity: more than `limit` failures within `period` seconds are too many.

    One failure counts once, however many siblings are restarted with it; a restart that fails is another failure.
    The window slides and includes its edge. limit 0: the first failure is one too many.
    """

    def __init__(self, limit: int, period: float) -> None:
        if limit < 0 or not period > 0:
            raise ValueError(f"restart intensity needs limit >= 0 and period > 0, not {limit!r} in {period!r} s")
        self.limit = limit
        self.period = period
        self._failures: deque[float] = deque()

    def exceeded_by_failure(self, now: float) -> bool:
        """Record a failure; True if it is one too many."""
        self._failures.append(now)
        return self.recent(now) > self.limit

    def recent(self, now: float) -> int:
        """Failures in the window that ends now."""
        while self._failures and self._failures[0] < now - self.period:
            self._failures.popleft()
        return len(self._failures)
