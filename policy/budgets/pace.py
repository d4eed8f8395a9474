"""SpendingPace: when a budget will be used up if spending goes on as it did lately. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

import attrs

WINDOW_MS = 15 * 60_000
"""Spending of so long counts for the pace."""
LEAST_MS = 60_000
"""Of less than this no pace is told."""
LEAST_SAMPLES = 3
LEAST_SHARE = 0.05
"""Of a budget of which less is used no pace is told: one answer of a model at its beginning is no trend."""
AHEAD_MS = 24 * 3_600_000
"""Of a budget without an end: how far ahead is looked."""
CALM_SHARE = 0.8
"""An episode is over once the pace is so much below the one that would use the budget up."""


@attrs.frozen
class Sample:
    """The amount of a budget that was used at a time (epoch ms)."""

    at_ms: float
    used: float


@attrs.frozen(kw_only=True)
class SpendingPace:
    """`per_hour`: how much is used in an hour. `over_ms`: when the budget is used up at this pace; None: not before the
    period ends, or not within a day.
    """

    per_hour: float
    over_ms: float | None


def recent(samples: Sequence[Sample], now_ms: float) -> list[Sample]:
    """Return the samples that count for the pace now, and the last one before them: where the window begins."""
    inside = [one for one in samples if one.at_ms >= now_ms - WINDOW_MS]
    before = [one for one in samples if one.at_ms < now_ms - WINDOW_MS]
    return [*before[-1:], *inside]


def pace_of(
    samples: Sequence[Sample], amount: float, now_ms: float, end_ms: float | None = None, *, open_episode: bool = False
) -> SpendingPace | None:
    """Return the pace of a budget; None where too little is known to tell one, or nothing is left to use up.

    `samples`: oldest first, `used` never falling. `end_ms`: the end of the period. `open_episode`: whether a warning
    stands: it is taken back only where the pace has become clearly slower.
    """
    known = recent(samples, now_ms)
    if len(known) < LEAST_SAMPLES:
        return None
    first, last = known[0], known[-1]
    span = now_ms - max(first.at_ms, now_ms - WINDOW_MS)
    used = last.used - first.used
    if span < LEAST_MS or last.used < amount * LEAST_SHARE or last.used >= amount:
        return None
    per_ms = used / span
    if per_ms <= 0:
        return SpendingPace(per_hour=0.0, over_ms=None)
    rest = amount - last.used
    horizon = now_ms + AHEAD_MS if end_ms is None else end_ms
    reach = (horizon - now_ms) / CALM_SHARE if open_episode else horizon - now_ms
    over = now_ms + rest / per_ms
    return SpendingPace(per_hour=per_ms * 3_600_000, over_ms=over if over <= now_ms + reach else None)


def clock_of(at_ms: float, now_ms: float) -> str:
    """Return a time of day as people read it: ``15:40 UTC``, with the day where that is another one."""
    at, now = datetime.fromtimestamp(at_ms / 1000, UTC), datetime.fromtimestamp(now_ms / 1000, UTC)
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"
