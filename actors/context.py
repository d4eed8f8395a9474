"""What every actor of the cast can reach: the names, the board, the ports. Made by the composition root, one a process.

The singletons (journal, router, timers) put their own address here when they start; a supervisor keeps that address the
same over their restarts.
"""

from collections.abc import Callable
from typing import Any

import attrs

from actors import messages as m
from actors.directory import Board, Directory, Origin, Taps
from actors.limits import Allowances
from actors.ports import Audit, Clock, Decisions, DiskPressure, Journal, Outlet, Ref
from actors.runtime import ActorDeadError
from actors.session_state import SessionState


def _nothing(_event: str, _fields: dict[str, Any]) -> None:
    return None


class NoAudit:
    """Where nobody keeps one."""

    def note(
        self, action: str, subject: Any, origin: Origin, at_ms: int, village_id: str, session_id: str, **details: Any
    ) -> None:
        return None


@attrs.define(eq=False)
class Context:
    """The surroundings of the cast."""

    journal_log: Journal
    outlet: Outlet
    clock: Clock
    decisions: Decisions
    directory: Directory = attrs.field(factory=Directory)
    board: Board = attrs.field(factory=Board)
    taps: Taps = attrs.field(factory=Taps)
    published: dict[str, int] = attrs.field(factory=dict)
    """session → the last seq its village published. Written by the village alone; outlives its crash, so that a
    restarted village knows what the people have seen."""
    shown: dict[str, int] = attrs.field(factory=dict)
    """session → the last seq its agent's terminal showed. Written by the agent alone."""
    orders: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    """runner → command id → what it was told and has not answered. Written by its actor alone; outlives its crash, so
    that what somebody was promised (a stop, a decision) is told again."""
    heard: dict[str, tuple[Any, float]] = attrs.field(factory=dict)
    """runner → what people were told it is, and when it was heard, by trio's clock. Written by its actor alone; stays
    over its crash, so that what they were told does not outlive its truth."""
    due: list[Any] = attrs.field(factory=list)
    """The timers that are set. Written by their actor alone; outlives its crash, of which nobody else knows."""
    measure: Callable[[str, dict[str, Any]], None] = _nothing
    """Telemetry: measure("event", {"type": …, "count": …}). Must not block."""
    audit: Audit = attrs.field(factory=NoAudit)
    """Where it is kept what people did."""
    allowances: Allowances = attrs.field(factory=Allowances)
    """What one person or runner may use up."""
    disk: DiskPressure = attrs.field(factory=DiskPressure)
    router_timeout: float = 10.0
    """Seconds the router has to find or start somebody."""
    journal: Ref | None = None
    router: Ref | None = None
    timers: Ref | None = None

    def behind(self, state: SessionState) -> bool:
        """Whether something durable of this session was not shown yet."""
        return self.shown_to(state) < state.seq

    def shown_to(self, state: SessionState) -> int:
        """The last seq that both the village and the agent's terminal showed."""
        return min(self.published.get(state.session_id, 0), self.shown.get(state.session_id, 0))

    async def router_call(self, message: Any) -> Any:
        """Ask the router. Raises `ActorDeadError` before it is started or after it is gone for good."""
        if self.router is None:
            raise ActorDeadError("the router is not started")
        return await self.router.call(message, timeout=self.router_timeout)


def note_driving(
    context: Context, subject: Any, origin: Origin, state: SessionState, message: m.Input | m.Resize
) -> None:
    """Into the audit log: somebody typed into this session, or changed its terminal's size."""
    now = context.clock.now_ms()
    note, where = context.audit.note, (subject, origin, now, state.village_id, state.session_id)
    match message:
        case m.Input(data=data):
            note("session.input", *where, characters=len(data))
        case m.Resize(cols=cols, rows=rows):
            note("session.resize", *where, cols=cols, rows=rows)
