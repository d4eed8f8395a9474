"""Medians over the rounds, as a table with ratios to the official Node server."""

import statistics
from collections.abc import Iterable, Sequence

import attrs

from bench.fanout.contenders import CONTENDERS
from bench.fanout.rounds import Sample

QUIET = 0.2
"""Cores that others may use during a phase that counts."""
REFERENCE = "node"


@attrs.frozen(kw_only=True)
class Row:
    """Medians of one server in one phase."""

    contender: str
    clients: int
    phase: str
    rounds: int
    per_second: float
    cpu_per_million: float
    p50_ms: float
    p99_ms: float
    idle_kib: float
    load_share: float
    per_read: float
    faults: int


def rows(samples: Sequence[Sample]) -> list[Row]:
    """In the order in which they were measured."""
    keys = dict.fromkeys((s.clients, s.phase, s.contender) for s in samples)
    return [_row([s for s in samples if (s.clients, s.phase, s.contender) == key]) for key in sorted(keys, key=_order)]


def _order(key: tuple[int, str, str]) -> tuple[int, int, int]:
    clients, phase, contender = key
    return (
        clients,
        {"o": 0, "f": 1}.get(phase[0], 2 + int(float(phase.split()[0])) if phase[0].isdigit() else 2),
        list(CONTENDERS).index(contender),
    )


def _row(samples: list[Sample]) -> Row:
    quiet = [sample for sample in samples if sample.measured.others <= QUIET]
    used = quiet if 2 * len(quiet) >= len(samples) else samples
    found = [sample.measured for sample in used]

    def median(values: Iterable[float]) -> float:
        return statistics.median(values)

    return Row(
        contender=samples[0].contender,
        clients=samples[0].clients,
        phase=samples[0].phase,
        rounds=len(used),
        per_second=median(f.per_second for f in found),
        cpu_per_million=median(f.cpu_per_million for f in found),
        p50_ms=median(f.p50_us / 1000 for f in found),
        p99_ms=median(f.p99_us / 1000 for f in found),
        idle_kib=median(s.idle_bytes / 1024 for s in samples),
        load_share=median(f.load_cpu / f.seconds for f in found),
        per_read=median(f.deliveries / max(1, f.reads) for f in found),
        faults=sum(s.measured.faults for s in samples),
    )


def table(samples: Sequence[Sample]) -> str:
    """As Markdown."""
    lines = [
        "| clients | phase | server | deliveries/s | CPU s per million | p50 ms | p99 ms | KiB per idle connection "
        "| events per read | load's core | faults | rounds | × Node: deliveries | CPU | p99 | idle |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    found = rows(samples)
    nodes = {(row.clients, row.phase): row for row in found if row.contender == REFERENCE}
    for row in found:
        node = nodes.get((row.clients, row.phase))
        ratios = (
            ("", "", "", "")
            if node is None
            else tuple(
                f"{value:.2f}" if value < 10 else f"{value:.1f}"
                for value in (
                    row.per_second / node.per_second if node.per_second else 0,
                    row.cpu_per_million / node.cpu_per_million if node.cpu_per_million else 0,
                    row.p99_ms / node.p99_ms if node.p99_ms else 0,
                    row.idle_kib / node.idle_kib if node.idle_kib else 0,
                )
            )
        )
        cells = (
            row.clients,
            row.phase,
            CONTENDERS[row.contender].title,
            f"{row.per_second:,.0f}",
            f"{row.cpu_per_million:.2f}",
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
            f"{row.idle_kib:.1f}",
            f"{row.per_read:.1f}",
            f"{row.load_share:.0%}",
            row.faults,
            row.rounds,
            *ratios,
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)
