"""Messages of the control plane about a session, made from its events (CONTRACT section 4). Pure."""

from typing import Any

from townwatch.actors.session.state import SessionState
from townwatch.contracts import events as e
from townwatch.contracts.codec import encode, to_json_values
from townwatch.contracts.control import SessionMessage, TerminalMessage
from townwatch.contracts.ui import iso
from townwatch.transports.websocket.frames import TEXT, build_frame


class SessionFeed:
    """The frames for one event at a time: all who follow its session get the same ones, one after another."""

    def __init__(self) -> None:
        self._event: e.RunnerEvent | None = None
        self._frames: list[bytes] = []

    def frames(self, state: SessionState, event: e.RunnerEvent) -> list[bytes]:
        """Return whole WebSocket frames, made once an event."""
        if event is not self._event:
            self._event, self._frames = event, [build_frame(TEXT, encode(message)) for message in feed(state, event)]
        return self._frames


def feed(state: SessionState, event: e.RunnerEvent) -> list[SessionMessage | TerminalMessage]:
    """The messages for one event; none for what this protocol has no word for."""
    session_id, at = state.session_id, iso(event.ts)
    match event:
        case e.TerminalChunk(data=data, stream=stream):
            return [
                _session(session_id, "output", {"output": data, "stream": stream}, at),
                TerminalMessage(session_id=session_id, action="output", data=data, timestamp=at),
            ]
        case e.SessionStateChanged(previous_state=previous, new_state=new, reason=reason):
            return [
                _session(session_id, "state_change", _present(state=new, previousState=previous, reason=reason), at)
            ]
        case e.ApprovalRequested(approval=approval):
            return [approval_request(approval, at)]
        case e.SessionEnded():
            ended = _present(
                finalState=event.final_state, exitCode=event.exit_code, totalDurationMs=event.total_duration_ms
            )
            return [_session(session_id, "completed", ended, at)]
        case _:
            return []


def approval_request(approval: e.ApprovalRequest, at: str) -> SessionMessage:
    """Ask the client's person for a decision."""
    data = {"requestId": approval.approval_id, "action": approval.category, "details": to_json_values(approval)}
    return _session(approval.session_id, "approval_request", data, at)


def _session(session_id: str, action: Any, data: dict[str, Any], at: str) -> SessionMessage:
    return SessionMessage(session_id=session_id, action=action, data=data, timestamp=at)


def _present(**fields: Any) -> dict[str, Any]:
    """Leave optional fields out that the runner left out."""
    return {name: value for name, value in fields.items() if value is not None}
