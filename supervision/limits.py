"""Limits that hold under a storm: counts and token buckets a key. Pure and synchronous, so admission is atomic.

A place is counted when it is given, not when its holder is ready: nothing can come between looking and taking.
"""

from collections.abc import Mapping

import attrs

from townwatch.supervision.errors import RateLimited, TooManyChildren


@attrs.frozen
class Rate:
    """A token bucket: `burst` at once, then `per_second` (both > 0)."""

    per_second: float
    burst: float = 1

    def __attrs_post_init__(self) -> None:
        if not (self.per_second > 0 and self.burst >= 1):
            raise ValueError(f"a rate needs per_second > 0 and burst >= 1, not {self.per_second!r}, {self.burst!r}")


class TokenBuckets:
    """One bucket a key, all with the same rate. A bucket that is full again is forgotten."""

    def __init__(self, name: str, rate: Rate) -> None:
        self.name = name
        self.rate = rate
        self._buckets: dict[str, tuple[float, float]] = {}
        """key -> (tokens, when counted)"""
        self._sweep_at = 1024

    def __len__(self) -> int:
        return len(self._buckets)

    def tokens(self, key: str, now: float) -> float:
        """Tokens in the key's bucket."""
        tokens, at = self._buckets.get(key, (self.rate.burst, now))
        return min(self.rate.burst, tokens + max(0.0, now - at) * self.rate.per_second)

    def check(self, key: str, now: float) -> None:
        """Raise RateLimited when the bucket holds no whole token; take nothing."""
        tokens = self.tokens(key, now)
        if tokens < 1:
            raise RateLimited(self.name, key, self.rate.burst, self.rate.burst, (1 - tokens) / self.rate.per_second)

    def take(self, key: str, now: float) -> None:
        """Take one token. Raises RateLimited."""
        self.check(key, now)
        self._buckets[key] = (self.tokens(key, now) - 1, now)
        if len(self._buckets) >= self._sweep_at:
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        self._buckets = {key: held for key, held in self._buckets.items() if self.tokens(key, now) < self.rate.burst}
        self._sweep_at = max(1024, 2 * len(self._buckets))


class RateWindow:
    """A limit of so many events in any window of so many seconds, for one holder. Small while nothing happened."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: list[float] = []  # no deque: an empty one is most of a kilobyte

    def take(self, allowed: int, seconds: float, now: float) -> float:
        """Count an event and return 0, or count none and return the seconds until one may be counted."""
        while self._times and self._times[0] <= now - seconds:
            del self._times[0]
        if len(self._times) >= allowed:
            return self._times[0] + seconds - now if self._times else seconds
        self._times.append(now)
        return 0.0


class KeyedCount:
    """A limit of `allowed` places a key."""

    def __init__(self, name: str, allowed: float) -> None:
        if not allowed >= 0:
            raise ValueError(f"limit {name!r} must be at least 0, not {allowed!r}")
        self.name = name
        self.allowed = allowed
        self._taken: dict[str | None, int] = {}

    def taken(self, key: str | None = None) -> int:
        """Places in use."""
        return self._taken.get(key, 0)

    def check(self, key: str | None = None) -> None:
        """Raise TooManyChildren when there is no place."""
        if self.taken(key) >= self.allowed:
            raise TooManyChildren(self.name, key, self.taken(key), self.allowed)

    def take(self, key: str | None = None) -> None:
        """Take a place. Raises TooManyChildren."""
        self.check(key)
        self._taken[key] = self.taken(key) + 1

    def give_back(self, key: str | None = None) -> None:
        """Give a place back. Raises ValueError when none is taken: that would be a leak the other way round."""
        left = self.taken(key) - 1
        if left < 0:
            raise ValueError(f"limit {self.name!r}: a place of {key!r} was given back twice")
        if left:
            self._taken[key] = left
        else:
            self._taken.pop(key, None)


class AdmissionLimits:
    """The limits of one supervisor: a child gets every place it needs, or none and a refusal that says which."""

    def __init__(self, max_children: float, max_per_key: Mapping[str, int], rates: Mapping[str, Rate]) -> None:
        self.total = KeyedCount("max_children", max_children)
        self.counts = {kind: KeyedCount(kind, allowed) for kind, allowed in max_per_key.items()}
        self.rates = {kind: TokenBuckets(kind, rate) for kind, rate in rates.items()}

    def admit(self, keys: Mapping[str, str], now: float) -> None:
        """Take one place of every limit that applies. Raises TooManyChildren or RateLimited, and then takes none.

        keys: {"user": "u1", ...}; limits of kinds that are not in it do not apply. now: seconds, monotonic.
        """
        self.total.check()
        counts = [(limit, keys[kind]) for kind, limit in self.counts.items() if kind in keys]
        rates = [(limit, keys[kind]) for kind, limit in self.rates.items() if kind in keys]
        for limit, key in counts:
            limit.check(key)
        for limit, key in rates:
            limit.check(key, now)
        self.total.take()
        for limit, key in counts:
            limit.take(key)
        for limit, key in rates:
            limit.take(key, now)

    def release(self, keys: Mapping[str, str]) -> None:
        """Give back the places of `admit()` (tokens are spent)."""
        self.total.give_back()
        for kind, limit in self.counts.items():
            if kind in keys:
                limit.give_back(keys[kind])
