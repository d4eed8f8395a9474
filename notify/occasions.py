"""Occasions to call: which kinds an event of the log is, and what is told of it (a CloudEvent 1.0 as JSON). Pure.

Told is what a person needs to decide whether to look; inputs, diffs and terminal text stay in the service.
"""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import attrs

from townwatch.contracts.codec import encode
from townwatch.contracts.events import AlertRaised, ApprovalRequested, ApprovalResolved, RunnerEvent, SessionEnded

EVENT_TYPES = ("APPROVAL_REQUESTED", "APPROVAL_RESOLVED", "SESSION_ENDED", "ALERT_RAISED")
"""Types of events that are an occasion."""
CONTENT_TYPE = "application/cloudevents+json"
TEXT = 1000
"""Characters of a text that are told; it says so where it was cut."""


@attrs.frozen(kw_only=True)
class CallOrigin:
    """Place of an event: its village by name, its agent, and the address of the page ("" where not known)."""

    village: str
    agent_id: str
    agent_name: str | None = None
    page: str = ""

    def source(self) -> str:
        """Return the CloudEvents source."""
        return f"{self.page}/villages/{quote(self.village, safe='')}"


def kinds_of(event: RunnerEvent) -> Iterator[str]:
    """Yield the kinds that an event is; a session that failed is two."""
    match event:
        case ApprovalRequested():
            yield "approval.requested"
        case ApprovalResolved():
            yield "approval.resolved"
        case SessionEnded():
            yield "session.ended"
            if event.final_state == "FAILED":
                yield "session.failed"
        case AlertRaised():
            yield "alert.opened"
        case _:
            pass


def message_id(session_id: str, seq: int, kind: str) -> str:
    """Return the id of a message: the same whenever it is made of the same event."""
    return "msg_" + hashlib.sha256(f"{session_id}\0{seq}\0{kind}".encode("utf-8", "surrogatepass")).hexdigest()[:40]


def body_of(event: RunnerEvent, kind: str, origin: CallOrigin, stored_ms: int) -> str:
    """Return the message: a CloudEvent."""
    data = {
        "village": origin.village,
        "sessionId": event.session_id,
        "agentId": origin.agent_id,
        **({} if origin.agent_name is None else {"agentName": origin.agent_name}),
        **_about(event),
    }
    if origin.page:
        data["link"] = f"{origin.page}/{place_of(event, origin)}"
    return cloud_event(message_id(event.session_id, event.seq, kind), kind, origin, stored_ms, data, event.session_id)


def cloud_event(
    message: str, kind: str, origin: CallOrigin, at_ms: int, data: dict[str, Any], subject: str | None = None
) -> str:
    """Return a CloudEvent in the JSON format."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": message,
        "source": origin.source(),
        "type": f"townwatch.{kind}",
        "time": datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": data,
    }
    if subject is not None:
        event["subject"] = subject
    return encode(event).decode()


def _about(event: RunnerEvent) -> dict[str, Any]:
    match event:
        case ApprovalRequested(approval=asked):
            told = {"category": asked.category, "risk": asked.risk, "summary": _short(asked.summary)}
            return {"approvalId": asked.approval_id, **told, **_there(timeoutAt=asked.timeout_at)}
        case ApprovalResolved():
            who = _there(resolvedBy=event.resolved_by, note=None if event.note is None else _short(event.note))
            return {"approvalId": event.approval_id, "decision": event.decision, **who}
        case SessionEnded():
            outcome = "failed" if event.final_state == "FAILED" else "completed"
            known = _there(exitCode=event.exit_code, reason=None if event.reason is None else _short(event.reason))
            return {"outcome": outcome, "durationMs": event.total_duration_ms, **known}
        case AlertRaised():
            told = {"title": _short(event.title), "description": _short(event.description)}
            return {"alertId": event.alert_id, "severity": event.severity, "category": event.category, **told}
        case _:
            return {}


def place_of(event: RunnerEvent, origin: CallOrigin) -> str:
    """Return where the page shows it."""
    if isinstance(event, ApprovalRequested):
        return f"#/approvals/{quote(event.session_id, safe='')}/{quote(event.approval.approval_id, safe='')}"
    return f"#/a/{quote(origin.agent_id, safe='')}"


def _there(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _short(text: str) -> str:
    return text if len(text) <= TEXT else f"{text[:TEXT]}… ({len(text) - TEXT} characters more)"
