"""The end that the service writes for a session which its runner will never end. Pure.

The events are the ones a runner would have said: each pending approval is denied, the state changes, the session ends.
They are numbered behind everything that was accepted; what the runner still has of the session is refused from then on.
"""

from typing import Any

from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e
from townwatch.contracts.codec import encode

SESSION_END = "session end"


def end_events(state: SessionState, after: int, now_ms: int, reason: str, by: str) -> list[e.RunnerEvent]:
    """The events that end `state`, numbered from `after` + 1."""
    envelope: dict[str, Any] = {"session_id": state.session_id, "org_id": state.village_id, "ts": now_ms}
    said: list[e.RunnerEvent] = []
    for approval_id in state.pending:
        said.append(
            e.ApprovalResolved(
                **envelope,
                seq=after + 1 + len(said),
                approval_id=approval_id,
                decision="deny",
                resolved_by=SESSION_END,
                note=reason,
            )
        )
    said.append(
        e.SessionStateChanged(
            **envelope,
            seq=after + 1 + len(said),
            previous_state=state.state,
            new_state="FAILED",
            reason=reason,
        )
    )
    began = state.signs.started_at or state.created_at or now_ms
    said.append(
        e.SessionEnded(
            **envelope,
            seq=after + 1 + len(said),
            final_state="FAILED",
            total_duration_ms=max(0, int(now_ms - began)),
            total_usage=state.total_usage,
            reason=reason,
            ended_by=by,
        )
    )
    return said


def body_of(event: e.RunnerEvent) -> bytes:
    """The event as a runner would have sent it."""
    return encode(event)


def why_late(state: SessionState) -> str:
    """Return the reason that a runner gets when it sends an event of such a session."""
    return f"late event of an ended session: it was ended by {state.ended_by} ({state.reason})"
