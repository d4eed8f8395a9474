"""The report as one page of HTML with its pictures in it: it opens anywhere, without a network."""

import json
import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from townwatch.chaos.campaign.campaign import CampaignResult
from townwatch.chaos.campaign.recovery_times import FaultEvent, by_kind, seconds, spread
from townwatch.chaos.campaign.report import HIGH, LOW, NOTHING_AT_ALL, data, summary, verdict

WIDTH, ROW = 460, 26
TIMELINE_HEIGHT = 220
_DECADES = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --dim: #667; --paper: #fbfaf7; --line: #d9d6cd; --dot: #2f6fb0;
  --answer: #c2701c; --good: #2e7d46; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e4de; --dim: #98a; --paper: #15181e; --line: #333a45;
  --dot: #6fb1f0; --answer: #f0a860; --good: #6cc48a; --bad: #ff8a80 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 68rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
.held { color: var(--good) } .broken { color: var(--bad) }
table { border-collapse: collapse; width: 100% } td, th { padding: .1rem .6rem; text-align: right; white-space: nowrap }
th { color: var(--dim); font-weight: 500 } td:first-child, th:first-child { text-align: left }
td:last-child, th:last-child { text-align: left } tr { border-top: 1px solid var(--line) }
svg { display: block; overflow: visible } text { fill: var(--dim); font-size: 11px }
.grid { stroke: var(--line) } .dot { fill: var(--dot); opacity: .45 } .answers .dot { fill: var(--answer) }
.p50 { stroke: var(--ink); stroke-width: 2 } .p99 { stroke: var(--bad); stroke-width: 2 }
ul { padding-left: 1.2rem }
"""


def page(result: CampaignResult) -> str:
    """Return the page."""
    return "".join(_parts(result))


def _parts(result: CampaignResult) -> Iterator[str]:
    yield '<!doctype html><html lang="en"><meta charset="utf-8">'
    yield f"<title>townwatch chaos, seed {result.options.seed}</title>"
    yield f"<style>{_STYLE}</style>"
    yield f'<h1 class="{"held" if result.held else "broken"}">{escape(verdict(result))}</h1>'
    yield f"<p>{escape(result.began)}, {escape(result.url)}</p>"
    yield "<ul>" + "".join(f"<li{_mark(line)}>{escape(line)}</li>" for line in summary(result)) + "</ul>"
    yield "<h2>Until all flowed again</h2><p>From the fault until events of every runner came to every viewer, and all"
    yield " clients were back. Below, where an actor was killed, until it answered a question again. Each dot is one"
    yield " fault; the dark mark is the median, the red one the 99th percentile.</p>"
    yield _table(result)
    yield "<h2>In the course of time</h2>"
    yield _timeline(result.fault_events, result.fault_seconds)
    yield "</html>\n"


def _mark(line: str) -> str:
    return ' class="broken"' if line.startswith(("FOUND", "left behind")) or line.endswith("MISSED") else ""


# --- distributions ----------------------------------------------------------------------------------------


def _table(result: CampaignResult) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("fault", "times", "p50", "p99", "longest"))
    rows = "".join(_rows(NOTHING_AT_ALL, result.baseline))
    rows += "".join(row for kind, events in by_kind(result.fault_events).items() for row in _rows(kind, events))
    return f"<table><tr>{head}<th>{_axis()}</th></tr>{rows}</table>"


def _rows(kind: str, events: Sequence[FaultEvent]) -> Iterator[str]:
    yield _row(kind, len(events), [one.flows for one in events if one.flows is not None], "")
    answers = [one.answers for one in events if one.answers is not None]
    if answers:
        yield _row("↳ answers again", len(answers), answers, ' class="answers"')


def _row(name: str, count: int, times: Sequence[float], mark: str) -> str:
    found = spread(times)
    figures = ["never"] * 3 if found is None else [seconds(one) for one in (found.p50, found.p99, found.longest)]
    cells = "".join(f"<td>{one}</td>" for one in (count, *figures))
    return f"<tr{mark}><td>{escape(name)}</td>{cells}<td>{_strip(times)}</td></tr>"


def _strip(times: Sequence[float]) -> str:
    """Draw each time as a dot on a logarithmic scale."""
    dots = "".join(
        f'<circle class="dot" cx="{_x(one):.1f}" cy="{ROW / 2 + (number * 7 % 11 - 5):.1f}" r="3"/>'
        for number, one in enumerate(times)
    )
    found = spread(times)
    marks = "" if found is None or found.count < 3 else _tick("p50", found.p50) + _tick("p99", found.p99)
    return f'<svg width="{WIDTH}" height="{ROW}">{_grid(ROW)}{dots}{marks}</svg>'


def _tick(name: str, at: float) -> str:
    return f'<line class="{name}" x1="{_x(at):.1f}" x2="{_x(at):.1f}" y1="3" y2="{ROW - 3}"/>'


def _axis() -> str:
    labels = "".join(f'<text x="{_x(at):.1f}" y="12" text-anchor="middle">{seconds(at)}</text>' for at in _DECADES)
    return f'<svg width="{WIDTH}" height="16">{labels}</svg>'


def _grid(height: int) -> str:
    return "".join(f'<line class="grid" x1="{_x(at):.1f}" x2="{_x(at):.1f}" y1="0" y2="{height}"/>' for at in _DECADES)


def _x(value: float) -> float:
    return WIDTH * _share(value)


def _share(value: float) -> float:
    """Return the position of `value` on the logarithmic scale, 0 to 1."""
    return (math.log(min(HIGH, max(LOW, value))) - math.log(LOW)) / (math.log(HIGH) - math.log(LOW))


# --- the course -------------------------------------------------------------------------------------------


def _timeline(events: Sequence[FaultEvent], length: float) -> str:
    """Draw each fault at its time, as high as its recovery was long."""
    width = 2 * WIDTH
    lines = "".join(
        f'<line class="grid" x1="0" x2="{width}" y1="{_y(at):.1f}" y2="{_y(at):.1f}"/>'
        f'<text x="{width + 6}" y="{_y(at) + 4:.1f}">{seconds(at)}</text>'
        for at in _DECADES
    )
    dots = "".join(
        f'<circle class="dot" cx="{width * one.at / max(length, 1):.1f}" cy="{_y(one.flows):.1f}" r="4"><title>'
        f"{one.at:.1f} s: {escape(one.fault)} of {escape(one.target)}, {seconds(one.flows)}</title></circle>"
        for one in events
        if one.flows is not None
    )
    return f'<svg width="{width + 60}" height="{TIMELINE_HEIGHT + 10}">{lines}{dots}</svg>'


def _y(value: float) -> float:
    return TIMELINE_HEIGHT * (1 - _share(value)) + 5


def write(result: CampaignResult, folder: Path) -> Path:
    """Write both files; return the path of the page. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(data(result), indent=1), encoding="utf-8")
    (folder / "report.html").write_text(page(result), encoding="utf-8")
    return folder / "report.html"
