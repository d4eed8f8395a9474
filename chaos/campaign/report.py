"""Report of a campaign: in the terminal, and as files that need no network: report.html, report.json."""

from collections.abc import Iterator

from townwatch.chaos.campaign.campaign import CampaignResult
from townwatch.chaos.campaign.recovery_times import FaultEvent, buckets, by_kind, seconds, spread

LOW, HIGH, COLUMNS = 0.001, 100.0, 30
"""The histogram's scale, in seconds, logarithmic."""
NOTHING_AT_ALL = "nothing at all"
_BARS = " ▁▂▃▄▅▆▇█"


def text(result: CampaignResult) -> str:
    """Return the report for a terminal, at most 120 columns wide."""
    return "\n".join(_lines(result))


def _lines(result: CampaignResult) -> Iterator[str]:
    yield ""
    yield f"{'RECOVERED AFTER':28} {'FAULTS':>6} {'P50':>8} {'P99':>8} {'LONGEST':>8}  {_scale()}"
    yield from _rows(NOTHING_AT_ALL, result.baseline)
    for kind, events in by_kind(result.fault_events).items():
        yield from _rows(kind, events)
    yield ""
    yield from summary(result)
    yield ""
    yield verdict(result)


def verdict(result: CampaignResult) -> str:
    """Return the verdict in one line."""
    if result.interrupted:
        return f"Broken off (seed {result.options.seed})."
    word = "Everything held" if result.held else "NOT everything held"
    return f"{word}: {len(result.fault_events)} faults in {result.fault_seconds:.0f} s, seed {result.options.seed}."


def summary(result: CampaignResult) -> Iterator[str]:
    """Return the report's facts, one a line."""
    oracle = result.oracle
    if oracle is not None:
        yield (
            f"{oracle.lines} lines written and stored, {oracle.events} events, {oracle.views} views of them by"
            f" {result.options.viewers} viewers, {result.options.clients} more looked on"
        )
        yield f"lost: {oracle.lost}; twice: {oracle.twice}; gaps told: {oracle.counts['gaps']}"
        yield (
            f"approvals: {oracle.counts['asked']} asked, {oracle.counts['allow']} allowed,"
            f" {oracle.counts['deny']} denied, by two people who disagree"
        )
    yield f"service before: {result.before}"
    yield f"service after:  {result.after}"
    if result.skipped:
        yield f"{result.skipped} faults found nothing to break"
    yield from (f"goal: {outcome}" for outcome in result.outcomes)
    yield from (f"FOUND: {finding}" for finding in result.findings)
    yield from (f"left behind: {one}" for one in result.left_behind)


def _rows(kind: str, events: list[FaultEvent]) -> Iterator[str]:
    """Yield rows of times until events flowed and, for a killed actor, until it answered."""
    yield from _row(kind, len(events), [one.flows for one in events if one.flows is not None])
    answers = [one.answers for one in events if one.answers is not None]
    if answers:
        yield from _row("  answers again", len(answers), answers)


def _row(name: str, count: int, times: list[float]) -> Iterator[str]:
    found = spread(times)
    if found is None:
        yield f"{name:28} {count:6} {'never':>8}"
        return
    figures = " ".join(f"{seconds(one):>8}" for one in (found.p50, found.p99, found.longest))
    yield f"{name:28} {count:6} {figures}  {_bars(times)}"


def _bars(times: list[float]) -> str:
    found = buckets(times, LOW, HIGH, COLUMNS)
    most = max(found)
    return "".join(_BARS[0 if not one else max(1, round(one / most * 8))] for one in found)


def _scale() -> str:
    """Return the marks at 1 ms, 10 ms … of the histogram."""
    marks = ["1 ms", "10 ms", "0.1 s", "1 s", "10 s"]
    return "".join(f"{mark:<{COLUMNS // len(marks)}}" for mark in marks)


def data(result: CampaignResult) -> dict[str, object]:
    """Return the report as JSON data."""
    options, oracle = result.options, result.oracle
    return {
        "held": result.held,
        "seed": options.seed,
        "began": result.began,
        "url": result.url,
        "seconds": round(result.fault_seconds, 1),
        "clients": options.clients,
        "viewers": options.viewers,
        "faults": {kind: len(events) for kind, events in by_kind(result.fault_events).items()},
        "lost": None if oracle is None else oracle.lost,
        "twice": None if oracle is None else oracle.twice,
        "lines": None if oracle is None else oracle.lines,
        "events": None if oracle is None else oracle.events,
        "views": None if oracle is None else oracle.views,
        "approvals": {} if oracle is None else dict(oracle.counts),
        "before": str(result.before),
        "after": str(result.after),
        "goals": [{"goal": str(one), "met": one.met, "p99": one.measured} for one in result.outcomes],
        "findings": result.findings,
        "strikes": [
            {"fault": one.fault, "target": one.target, "at": one.at, "answers": one.answers, "flows": one.flows}
            for one in result.fault_events
        ],
    }
