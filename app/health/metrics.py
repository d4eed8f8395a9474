"""Prometheus metrics (names: docs/operations.md). Fed by the cast's `measure`, the supervisors' telemetry, the
tree.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from townwatch.config.log_sink import LOST

log = structlog.get_logger("metrics")

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

RECENT_SECONDS = 10.0


class Recent:
    """Values of the last `RECENT_SECONDS`, at most 1024: a histogram does not forget."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=1024)

    def note(self, value: float) -> None:
        """Note one measurement."""
        self._seen.append((time.monotonic(), value))

    def worst(self) -> float | None:
        """The greatest; None where there was none."""
        since = time.monotonic() - RECENT_SECONDS
        return max((value for at, value in self._seen if at >= since), default=None)


class _LogLosses(Collector):
    """Counted where they happen, in a thread that knows nothing of metrics."""

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(
            "townwatch_log_lines_lost", "Lines that the log's file could not take", value=float(LOST.count)
        )


class Metrics:
    """One registry a process; labels are kinds and classes, never ids."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        reg = self.registry
        self.connections = Gauge("townwatch_connections", "Live connections", ["kind"], registry=reg)
        self.sessions = Gauge("townwatch_sessions", "Sessions by state", ["state"], registry=reg)
        self.runners = Gauge("townwatch_runners", "Runners by status", ["status"], registry=reg)
        self.events = Counter("townwatch_events_total", "Durable runner events by type", ["type"], registry=reg)
        self.repeats = Counter("townwatch_event_repeats_total", "Events dropped as repeats", registry=reg)
        self.nacks = Counter("townwatch_event_nacks_total", "Malformed events refused", ["code"], registry=reg)
        self.mended = Counter("townwatch_events_mended_total", "Odd values replaced", ["type"], registry=reg)
        self.violations = Counter(
            "townwatch_protocol_violations_total", "State changes no machine allows", registry=reg
        )
        self.commits = Histogram("townwatch_journal_commit_seconds", "Commit time", buckets=_FAST, registry=reg)
        self.committed = Counter("townwatch_journal_events_total", "Events committed", registry=reg)
        self.mailbox = Gauge("townwatch_mailbox_depth", "Messages waiting, by actor class", ["actor"], registry=reg)
        self.lifecycle = Counter("townwatch_actor_events_total", "Actors started, crashed …", ["event"], registry=reg)
        self.restarts = Counter(
            "townwatch_actor_restarts_total", "Restarts by supervisors", ["supervisor"], registry=reg
        )
        self.lag = Histogram("townwatch_loop_lag_seconds", "Lateness of the event loop", buckets=_FAST, registry=reg)
        self.round_trip = Histogram("townwatch_round_trip_seconds", "Client round trips", buckets=_FAST, registry=reg)
        self.recent_commits, self.recent_lags = Recent(), Recent()
        self.refusals = Counter("townwatch_refusals_total", "Refused by a limit", ["limit"], registry=reg)
        event_of = cache(self.events.labels)
        reg.register(_LogLosses())
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "event": lambda f: event_of(f["type"]).inc(f["count"]),
            "repeat": lambda _: self.repeats.inc(),
            "nack": lambda f: self.nacks.labels(f.get("code", "")).inc(),
            "mended": lambda f: self.mended.labels(f["type"]).inc(),
            "violation": lambda f: self.violations.inc(f["count"]),
            "round_trip": lambda f: self.round_trip.observe(f["seconds"]),
            "limit": lambda f: self.refusals.labels(f["limit"]).inc(),
        }

    def measure(self, name: str, fields: dict[str, Any]) -> None:
        """The cast's telemetry; a name without a metric is none of ours."""
        handler = self._handlers.get(name)
        if handler is None:
            return
        try:
            handler(fields)
        except Exception as error:  # what is measured has happened, and goes on
            log.warning("not_measured", name=name, reason=repr(error))

    def observe_commit(self, events: int, seconds: float) -> None:
        self.commits.observe(seconds)
        self.recent_commits.note(seconds)
        self.committed.inc(events)

    def observe_lag(self, seconds: float) -> None:
        self.lag.observe(seconds)
        self.recent_lags.note(seconds)

    def telemetry(self, name: str, fields: dict[str, Any]) -> None:
        """The runtime's and the supervisors' events."""
        self.lifecycle.labels(name).inc()
        if name == "restarted":
            self.restarts.labels(str(fields.get("supervisor", ""))).inc()
