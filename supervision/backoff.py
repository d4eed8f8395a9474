"""Backoff: the wait before a restart. Pure."""

from random import Random

import attrs

_MAX_DOUBLINGS = 64


@attrs.frozen
class Backoff:
    """Exponential backoff: base, 2·base, 4·base … up to cap, each shortened at random by up to `jitter` of itself.

    base, cap, reset_after: seconds. jitter: 0 (none) to 1; it shortens, so that cap is never exceeded (Pekko's
    lengthens). A child that lived reset_after seconds is healthy again: its next failure waits `base`.
    A base longer than the supervisor's period means that its intensity is never reached.
    """

    base: float = 0.1
    cap: float = 30.0
    jitter: float = 0.2
    reset_after: float = 60.0

    def __attrs_post_init__(self) -> None:
        if not 0 < self.base <= self.cap:
            raise ValueError(f"backoff needs 0 < base <= cap, not base={self.base!r}, cap={self.cap!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"backoff jitter must be between 0 and 1, not {self.jitter!r}")

    def delay(self, failures: int, rng: Random) -> float:
        """Seconds to wait after the given number of failures in a row (1 for the first)."""
        full = min(self.cap, self.base * 2 ** min(failures - 1, _MAX_DOUBLINGS))
        return full * (1 - self.jitter * rng.random())

    def failures_after(self, failures: int, lived: float) -> int:
        """Failures in a row once a child that lived so many seconds failed again."""
        return 1 if lived >= self.reset_after else failures + 1
