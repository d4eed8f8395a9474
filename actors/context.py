"""Context that every actor can reach: directory, board, ports. Made by the composition root, one a process.

The singletons (journal, router, timers) put their own address here when they start; a supervisor keeps that address the
same over their restarts.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from townwatch.actors.directory import Board, Directory, Subscriptions
from townwatch.actors.limits import RateLimits
from townwatch.actors.people.keyboard import Keyboard
from townwatch.actors.people.progress import LogProgress
from townwatch.actors.ports import (
    Audit,
    Clock,
    Decision,
    Decisions,
    DiskPressure,
    Journal,
    Notice,
    Outlet,
    Promises,
    Ref,
    Rulings,
)
from townwatch.actors.session.signs import HeldBack
from townwatch.actors.session.state import OpenAlert, SessionState
from townwatch.contracts import scopes
from townwatch.contracts.events import ApprovalRequest
from townwatch.contracts.lists import SeenBy
from townwatch.contracts.scopes import AlertKey
from townwatch.runtime import ActorDeadError


def _nothing(_event: str, _fields: dict[str, Any]) -> None:
    return None


async def _nothing_missing(_runner: str, _session: str, _village: str, _from_seq: int, _to_seq: int) -> None:
    return None


@attrs.define(eq=False)
class Context:
    """The surroundings of the cast."""

    journal_log: Journal
    outlet: Outlet
    clock: Clock
    decisions: Decisions
    promises: Promises
    audit: Audit
    """Audit log of people's actions."""
    rulings: Rulings
    """The villages' rules: what they deny, and who may answer."""
    directory: Directory = attrs.field(factory=Directory)
    board: Board = attrs.field(factory=Board)
    subscriptions: Subscriptions = attrs.field(factory=Subscriptions)
    published: dict[str, int] = attrs.field(factory=dict)
    """session → the last seq its village published. Written by the village alone; outlives its crash, so that a
    restarted village knows what the people have seen."""
    shown: dict[str, int] = attrs.field(factory=dict)
    """session → the last seq its agent's terminal showed. Written by the agent alone."""
    pending_commands: dict[str, dict[str, Any]] = attrs.field(factory=dict)
    """runner → command id → what it was told and has not answered. Written by its actor alone; outlives its crash, so
    that a promised stop or decision is sent again."""
    decided: dict[tuple[str, str], Decision] = attrs.field(factory=dict)
    """(session, approval) → the decision that stands and that its runner has not confirmed. Written by the session, and
    by the start from the database: what is decided is on no list of what waits."""
    closing: set[str] = attrs.field(factory=set)
    """Sessions that the service is ending: none of their events is accepted. Written by the session alone; outlives its
    crash, so that no event of its runner takes a number of the service's."""
    keyboards: dict[str, Keyboard] = attrs.field(factory=dict[str, "Keyboard"])
    """session → who holds its keyboard. Written by the session alone; outlives its crash."""
    typed_at: float = -math.inf
    """When a person typed last, by trio's clock: what can wait leaves the processor to the echo."""
    present: set[str] = attrs.field(factory=set[str])
    """Villages in which people came, went, or took a keyboard since `presence` was told."""
    last_seen: dict[str, tuple[Any, float]] = attrs.field(factory=dict)
    """runner → what people were told it is, and when it was heard, by trio's clock. Written by its actor alone; stays
    over its crash, so that what they were told does not outlive its truth."""
    held_back: dict[str, dict[str, HeldBack]] = attrs.field(factory=dict[str, "dict[str, HeldBack]"])
    """runner → session → what the runner had of it when it connected, until that has come. Written by the runner, which
    may name any session: it counts for its own."""
    settled_alerts: dict[AlertKey, int] = attrs.field(factory=dict["AlertKey", int])
    """Alerts that people resolved → the event that had raised each: raised again, it is open again."""
    leaves_out: set[str] = attrs.field(factory=set[str])
    """Villages that keep texts out of the log. Written by the start from the database, and by the route that changes
    it."""
    seen_failures: dict[str, SeenBy] = attrs.field(factory=dict[str, SeenBy])
    """Failed sessions that a person who drives has seen."""
    house_names: dict[tuple[str, str], str] = attrs.field(factory=dict[tuple[str, str], str])
    """(village, house) → the name that a person gave it. Written by REST and by the start from the database."""
    due: list[Any] = attrs.field(factory=list)
    """The timers that are set. Written by their actor alone; kept over a crash of the Timers actor, of which no other
    actor learns.
    """
    notices: dict[str, list[Notice]] = attrs.field(factory=dict[str, "list[Notice]"])
    """village → what the service wants its people to know; "" for all of them. Written by the composition root."""
    missing: Callable[[str, str, str, int, int], Awaitable[None]] = _nothing_missing
    """missing(runner, session, village, from seq, to seq): a runner was told that these events are durable, and the log
    ends before them."""
    progress: LogProgress | None = None
    """How far people were told of the log, for the process that takes over; None where there is none."""
    measure: Callable[[str, dict[str, Any]], None] = _nothing
    """Telemetry: measure("event", {"type": …, "count": …}). Must not block."""
    allowances: RateLimits = attrs.field(factory=RateLimits)
    """Rate limits of one person or runner."""
    disk: DiskPressure = attrs.field(factory=DiskPressure)
    router_timeout: float = 10.0
    """Seconds the router has to find or start an actor."""
    journal: Ref | None = None
    router: Ref | None = None
    timers: Ref | None = None
    releases: Ref | None = None
    """Releases held decisions when their time is over."""

    def undecided(self, state: SessionState) -> list[ApprovalRequest]:
        """Return the session's approvals that wait for a decision."""
        if not self.decided:
            return list(state.pending.values())
        return [one for key, one in state.pending.items() if (state.session_id, key) not in self.decided]

    def open_alerts(self, state: SessionState) -> list[OpenAlert]:
        """The alerts of a session that neither it nor a person has done with, oldest first."""
        settled = self.settled_alerts
        return [
            alert
            for alert in state.alerts.values()
            if settled.get(scopes.alert_key(state.session_id, alert.alert_id), 0) < alert.seq
        ]

    def behind(self, state: SessionState) -> bool:
        """Return True if a durable event of this session was not published yet."""
        return self.shown_to(state) < state.seq

    def shown_to(self, state: SessionState) -> int:
        """The last seq that both the village and the agent's terminal showed."""
        return min(self.published.get(state.session_id, 0), self.shown.get(state.session_id, 0))

    async def router_call(self, message: Any) -> Any:
        """Ask the router. Raises `ActorDeadError` before it is started or after it is gone for good."""
        if self.router is None:
            raise ActorDeadError("the router is not started")
        return await self.router.call(message, timeout=self.router_timeout)
