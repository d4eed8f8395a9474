"""Numbers shown beside the faults: what the service can truthfully say of itself meanwhile."""

from collections.abc import Callable

import attrs
import trio
from prometheus_client import CollectorRegistry

from townwatch.chaos.faults.targets import FaultContext
from townwatch.contracts.clock import epoch_ms


@attrs.frozen(kw_only=True)
class Recovery:
    """The last fault after which an actor or connection had to recover. `at`: epoch milliseconds of the answer."""

    fault: str
    target: str
    back_ms: float
    at: float


@attrs.frozen(kw_only=True)
class Vitals:
    """`stored`: events in the journal; all others since the start of the process. `committed`: events that were
    acknowledged, which is never before the commit. `waiting_ms`: how long the commit under way has taken so far, 0
    between commits: the oldest unacknowledged event is at least as old. `slowest…`: of the last 10 s, null: none.
    """

    stored: int
    committed: int
    repeats: int
    refused: int
    waiting_ms: float
    slowest_commit_ms: float | None
    slowest_loop_ms: float | None
    approvals_pending: int
    approvals_decided: int
    clients: int
    runners: int
    reasons_not_ready: list[str]
    last_recovery: Recovery | None


@attrs.frozen(kw_only=True)
class Instruments:
    """Sources of the numbers."""

    registry: CollectorRegistry
    slowest_commit: Callable[[], float | None]
    slowest_lag: Callable[[], float | None]
    """Seconds, of the last moments; None where nothing was measured."""
    reasons_not_ready: Callable[[], list[str]]


def read(place: FaultContext, instruments: Instruments) -> Vitals:
    """Read all the numbers now."""
    context, number = place.context, _numbers(instruments.registry)
    began = context.disk.commit_began
    return Vitals(
        stored=sum(head.events for head in place.disk.log.heads().values()),
        committed=number("townwatch_journal_events_total"),
        repeats=number("townwatch_event_repeats_total"),
        refused=number("townwatch_event_nacks_total"),
        waiting_ms=0.0 if began is None else (trio.current_time() - began) * 1000,
        slowest_commit_ms=_ms(instruments.slowest_commit()),
        slowest_loop_ms=_ms(instruments.slowest_lag()),
        approvals_pending=sum(len(state.pending) for state in context.board),
        approvals_decided=number("townwatch_events_total", type="APPROVAL_RESOLVED"),
        clients=len(context.directory.clients),
        runners=len(place.plugs.of_kind("runner")),
        reasons_not_ready=instruments.reasons_not_ready(),
        last_recovery=place.last_recovery,
    )


def recovery(fault: str, target: str, seconds: float) -> Recovery:
    """Note a recovery that has just happened."""
    return Recovery(fault=fault, target=target, back_ms=seconds * 1000, at=epoch_ms())


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def _numbers(registry: CollectorRegistry) -> Callable[..., int]:
    """The sum of a counter's samples, by name and labels."""
    sums: dict[tuple[str, str], float] = {}
    for metric in registry.collect():
        for sample in metric.samples:
            kind = sample.labels.get("type", "")
            sums[sample.name, kind] = sums.get((sample.name, kind), 0.0) + sample.value

    def number(name: str, **labels: str) -> int:
        return int(
            sum(value for (one, kind), value in sums.items() if one == name and labels.get("type", kind) == kind)
        )

    return number
