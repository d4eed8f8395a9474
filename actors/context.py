"""What every actor of the cast can reach: the names, the board, the ports. Made by the composition root, one a process.

The singletons (journal, router, timers) put their own address here when they start; a supervisor keeps that address the
same over their restarts.
"""

from collections.abc import Callable
from typing import Any

import attrs

from actors.directory import Board, Directory, Taps
from actors.limits import Allowances
from actors.ports import Clock, Decisions, DiskPressure, Journal, Outlet, Ref
from actors.runtime import ActorDeadError


def _nothing(_event: str, _fields: dict[str, Any]) -> None:
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
    measure: Callable[[str, dict[str, Any]], None] = _nothing
    """Telemetry: measure("event", {"type": …, "count": …}). Must not block."""
    allowances: Allowances = attrs.field(factory=Allowances)
    """What one person or runner may use up."""
    disk: DiskPressure = attrs.field(factory=DiskPressure)
    router_timeout: float = 10.0
    """Seconds the router has to find or start somebody."""
    journal: Ref | None = None
    router: Ref | None = None
    timers: Ref | None = None

    async def router_call(self, message: Any) -> Any:
        """Ask the router. Raises `ActorDeadError` before it is started or after it is gone for good."""
        if self.router is None:
            raise ActorDeadError("the router is not started")
        return await self.router.call(message, timeout=self.router_timeout)
