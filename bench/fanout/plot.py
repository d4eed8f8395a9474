"""The medians as a picture: bars on a logarithmic scale, one panel a number of clients. Plain SVG."""

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from bench.fanout.contenders import CONTENDERS
from bench.fanout.report import Row
from bench.fanout.rounds import FLOOD, ONE

COLOURS = {"townwatch": "#1f77b4", "node": "#6a994e", "python-socketio": "#e09f3e", "c": "#8d99ae"}
WIDTH, PANEL, BAR, LEFT, TOP = 860, 250, 20, 130, 60
LOW, HIGH = 3, 7
"""Powers of ten at the ends of the scale."""


def svg(rows: Sequence[Row]) -> str:
    """Deliveries per second, one event in flight and in the flood."""
    sizes = sorted({row.clients for row in rows})
    height = TOP + PANEL * len(sizes) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
        ' font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        '<text x="16" y="28" font-size="18">Deliveries per second (logarithmic; longer is better)</text>',
    ]
    for number, clients in enumerate(sizes):
        parts += _panel(TOP + number * PANEL, clients, [row for row in rows if row.clients == clients])
    return "\n".join([*parts, "</svg>", ""])


def _panel(top: float, clients: int, rows: Sequence[Row]) -> list[str]:
    parts = [f'<text x="16" y="{top + 14}" font-weight="bold">{clients} clients</text>']
    y = top + 24
    for phase in (ONE, FLOOD):
        parts.append(f'<text x="16" y="{y + BAR}">{escape(phase)}</text>')
        for row in rows:
            if row.phase != phase:
                continue
            length = _x(row.per_second) - LEFT
            label = f"{row.per_second:,.0f}  {CONTENDERS[row.contender].title}"
            colour = COLOURS[row.contender]
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.0f}" height="{BAR - 3}" fill="{colour}"/>')
            parts.append(f'<text x="{LEFT + length + 6:.0f}" y="{y + BAR - 7}">{escape(label)}</text>')
            y += BAR
        y += 14
    return parts


def _x(value: float) -> float:
    """Where a value ends, leaving room for its label."""
    share = (math.log10(max(value, 10**LOW)) - LOW) / (HIGH - LOW)
    return LEFT + share * (WIDTH - LEFT - 260)
