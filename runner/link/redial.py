"""Times to dial again: soon after a connection that was good, later and later where none comes about."""

import random

import attrs

BASE_SECONDS, LONGEST_SECONDS = 0.1, 30.0
FAST_TRIES = 3
"""That are so soon: a standby takes over within a few tenths of a second."""
SOON_SECONDS, SOON_FOR_SECONDS = 1.0, 15.0
"""A service that restarts is back within seconds: so long after the last good moment, no wait is longer than this."""
REFUSED_FAILURES, MOST_FAILURES = 9, 12
"""A refusal waits as long as this many failures in a row; more than the second make no wait longer."""


@attrs.define
class ReconnectPolicy:
    """Counts failures in a row. A connection was good if the service took something on it, or it held long enough: one
    that is cut again and again is no failure, one on which the service always breaks is.
    """

    failures: int = 0
    _good_at: float = float("-inf")

    def ended(self, good_at: float | None) -> None:
        """A connection, or the try of one, has ended. `good_at`: when it was last good; None: never."""
        if good_at is None:
            self.failures = min(self.failures + 1, MOST_FAILURES)
        else:
            self.failures, self._good_at = 1, good_at

    def refused(self) -> None:
        """The service does not want us: dialling again soon is no use."""
        self.failures, self._good_at = max(self.failures, REFUSED_FAILURES), float("-inf")

    def longest(self, now: float) -> float:
        """The most seconds that the next wait may be."""
        cap = SOON_SECONDS if now - self._good_at < SOON_FOR_SECONDS else LONGEST_SECONDS
        return min(cap, BASE_SECONDS * 2 ** max(0, self.failures - FAST_TRIES))

    def wait(self, now: float) -> float:
        """Return seconds to wait, by chance, so that a thousand runners do not come at once."""
        return random.uniform(0, self.longest(now))
