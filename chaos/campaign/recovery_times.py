"""Recovery times as distributions."""

import math
from collections.abc import Iterable, Mapping, Sequence

import attrs


@attrs.frozen(kw_only=True)
class FaultEvent:
    """One fault that was pulled. `kind`: its name, with what it hit where that matters. `at`: seconds since the
    campaign began. `answers`: seconds until the killed part answered a question again, as the service measured;
    `flows`: until events of all runners came to all viewers again, as seen from outside; None where it never did;
    `phases`: the same, part by part.
    """

    fault: str
    kind: str
    target: str
    at: float
    answers: float | None = None
    flows: float | None = None
    phases: Mapping[str, float] = attrs.field(factory=dict[str, float])


@attrs.frozen(kw_only=True)
class Spread:
    """Distribution of durations, in seconds."""

    count: int
    p50: float
    p99: float
    longest: float


def spread(values: Sequence[float]) -> Spread | None:
    """Return the distribution, None for no values. Quantiles are values that were measured (nearest rank)."""
    if not values:
        return None
    ordered = sorted(values)
    return Spread(count=len(ordered), p50=_rank(ordered, 0.50), p99=_rank(ordered, 0.99), longest=ordered[-1])


def _rank(ordered: Sequence[float], share: float) -> float:
    return ordered[math.ceil(share * len(ordered)) - 1]


def by_kind(events: Iterable[FaultEvent]) -> dict[str, list[FaultEvent]]:
    """Return kind → its faults, the most frequent first."""
    found: dict[str, list[FaultEvent]] = {}
    for event in events:
        found.setdefault(event.kind, []).append(event)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def seconds(value: float | None) -> str:
    """`0.0123` → `12 ms`, `3.21` → `3.2 s`, `15.6` → `16 s`."""
    if value is None:
        return "–"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


def buckets(values: Sequence[float], low: float, high: float, count: int) -> list[int]:
    """Return the number of values in each of `count` parts of [low, high], on a logarithmic scale."""
    found = [0] * count
    for value in values:
        place = (math.log(max(value, low)) - math.log(low)) / (math.log(high) - math.log(low))
        found[min(count - 1, max(0, int(place * count)))] += 1
    return found
