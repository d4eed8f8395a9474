"""Held decisions: how long, and what people see of a decision at once. Pure."""

from townwatch.actors.ports import Decision
from townwatch.actors.session.state import SessionState
from townwatch.contracts import ui
from townwatch.contracts.events import ApprovalRequest

BEFORE_DEADLINE_MS = 1000
"""How long before its deadline a held allow is released at the latest: no answer in time is a no."""


def release_at(request: ApprovalRequest, hold_ms: int, now_ms: int) -> int:
    """Return when a held allow goes to its runner, epoch milliseconds."""
    wanted = now_ms + hold_ms
    if request.timeout_at is None:
        return wanted
    return max(now_ms, min(wanted, int(request.timeout_at) - BEFORE_DEADLINE_MS))


def decided(state: SessionState, approval_id: str, decision: Decision | None, now_ms: int) -> ui.ApprovalDecided:
    """The message to people: what stands now; None: it was taken back and waits again. Without a decision of
    its own, it says how far the allow is.
    """
    counted = decision.counted if decision is not None else None
    if counted is not None:
        return ui.ApprovalDecided(
            agent_id=state.agent_id,
            session_id=state.session_id,
            approval_id=approval_id,
            allowed_by=list(counted.names),
            needed=counted.needed,
            timestamp=ui.iso(now_ms),
        )
    return ui.ApprovalDecided(
        agent_id=state.agent_id,
        session_id=state.session_id,
        approval_id=approval_id,
        decision=decision.decision if decision is not None else None,
        resolved_by=decision.resolved_by if decision is not None else None,
        note=decision.note if decision is not None else None,
        release_at=decision.release_ms if decision is not None else None,
        timestamp=ui.iso(now_ms),
    )
