"""Self-watch: how late the event loop is, and what the gauges of the tree show."""

from collections import Counter
from collections.abc import Callable

import structlog
import trio

from townwatch.actors.context import Context
from townwatch.actors.messages import Describe
from townwatch.app.health.metrics import Metrics
from townwatch.runtime import ActorDeadError, whereis
from townwatch.runtime.tasks import TaskOwner
from townwatch.supervision import waiting

log = structlog.get_logger("watch")

LAG_SECONDS = 0.25
"""How often the loop's lateness is measured."""
GAUGE_TICKS = 8
STALL_SECONDS = 1.0
"""A loop that is later than this is worth a line in the log."""


class GaugeSampler(TaskOwner):
    """Measures until it is stopped."""

    def __init__(self, context: Context, metrics: Metrics, root: str, extra: Callable[[], dict[str, float]]) -> None:
        """`extra`: live connections by kind, as the transports count them."""
        super().__init__()
        self._context = context
        self._metrics = metrics
        self._root = root
        self._extra = extra

    def on_start(self) -> None:
        self.tasks.start_soon(self._measure)

    async def _measure(self) -> None:
        ticks = 0
        while True:
            due = trio.current_time() + LAG_SECONDS
            await trio.sleep_until(due)
            late = trio.current_time() - due
            self._metrics.observe_lag(late)
            if late > STALL_SECONDS:
                log.warning("event_loop_stalled", seconds=round(late, 3))
            ticks += 1
            if ticks % GAUGE_TICKS == 0:
                await self._gauges()

    async def _gauges(self) -> None:
        root = whereis(self._root)
        if root is not None:
            for actor, depth in waiting(root).items():
                self._metrics.mailbox.labels(actor).set(depth)
        states = Counter[str](state.state for state in self._context.board)
        self._metrics.sessions.clear()
        for state, count in states.items():
            self._metrics.sessions.labels(state).set(count)
        for kind, count in self._extra().items():
            self._metrics.connections.labels(kind).set(count)
        await self._runners()

    async def _runners(self) -> None:
        statuses: Counter[str] = Counter()
        for runner in list(self._context.directory.runners.values()):
            try:
                statuses[(await runner.call(Describe(), timeout=1)).status] += 1
            except (ActorDeadError, trio.TooSlowError):
                statuses["unknown"] += 1
        self._metrics.runners.clear()
        for status, count in statuses.items():
            self._metrics.runners.labels(status).set(count)
