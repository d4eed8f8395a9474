"""The translation table of CONTRACT section 2: one runner event → the Socket.IO messages it becomes, in order.

Pure: no clock, no state. What depends on state (spawned once, which approval was resolved, open bug bots) is passed in
by the caller or added by the actor that owns the state.
"""

from functools import cache
from typing import Any

import attrs

from townwatch.contracts import agent_events as a, events as e, ui
from townwatch.contracts.codec import camel, to_json_values
from townwatch.contracts.decoding import bridge
from townwatch.contracts.lists import SessionDiff
from townwatch.contracts.ui import VILLAGE_AND_AGENT, Scope, UiMessage


@attrs.frozen(kw_only=True)
class EventSource:
    """The village, agent and repository that a session's events belong to."""

    village_id: str
    agent_id: str
    agent_name: str
    repo_path: str
    provider_id: str | None = None
    """None: not known yet."""
    started: bool = True
    """Whether its provider has started."""


# What of an event becomes the payload of its work_stream_event: the kind, and the fields taken over as they are.
WORK_STREAM: dict[type[e.RunnerEvent], tuple[str, tuple[str, ...]]] = {
    e.SessionStarted: ("session_start", ("provider_id", "provider_version", "workspace_path", "room_path")),
    e.SessionStateChanged: ("status_change", ("previous_state", "new_state", "reason")),
    e.SessionEnded: ("session_end", ("final_state", "exit_code", "total_duration_ms", "total_usage")),
    e.TerminalChunk: ("output", ("data", "stream")),
    e.FileTouched: ("file_read", ("path", "room_path", "reason")),
    e.DiffSummary: (
        "file_edit",
        ("files_changed", "lines_added", "lines_removed", "files", "files_total", "truncated", "shared_tree"),
    ),
    e.TestRunStarted: ("test_start", ("command", "test_files", "run_id", "where")),
    e.TestRunFinished: (
        "test_finish",
        (
            *("exit_code", "passed", "failed", "skipped", "duration", "verdict", "reason", "run_id", "where"),
            *("failure_text", "failure_cut"),
        ),
    ),
    e.ApprovalRequested: ("status_change", ("approval",)),
    e.ApprovalResolved: ("status_change", ("approval_id", "decision", "note")),
    e.ProviderEventForwarded: ("provider_event", ("provider_event",)),
}
FILE_KINDS = {"delete": "file_delete", "write": "file_edit", "read": "file_read", "diff": "file_read"}


_camel = cache(camel)


def work_stream_event(event: e.RunnerEvent, agent_id: str) -> ui.WorkStreamEvent | None:
    """The event's line in the work stream; None for those that have none (alerts, usage, a kept diff, a repeat)."""
    row = WORK_STREAM.get(type(event))
    if row is None or is_kept_diff(event) or is_repeat(event):
        return None
    kind, names = row
    payload = {_camel(n): to_json_values(v) for n in names if (v := getattr(event, n)) is not None}
    match event:
        case e.FileTouched(reason=reason):
            kind = FILE_KINDS[reason]
        case e.ApprovalRequested():
            payload["newState"] = "WAITING_FOR_APPROVAL"
        case e.ProviderEventForwarded(provider_event={"type": str() as inner} as said) if inner in a.TYPES:
            kind = inner.replace(".", "_")
            payload = {name: value for name, value in said.items() if name not in a.ENVELOPE}
        case e.ProviderEventForwarded(provider_event=said) if (told := bridge.kind_of(said)) is not None:
            kind = told
            payload = {name: value for name, value in said.items() if name not in bridge.ENVELOPE}
        case _:
            pass
    if event.truncated:
        payload["truncated"] = True
    if event.left_out:
        payload["leftOut"] = True
    if event.more:
        payload = {**event.more, **payload}
    return ui.WorkStreamEvent(
        agent_id=agent_id,
        session_id=event.session_id,
        type=kind,
        payload=payload,
        timestamp=ui.iso(event.ts),
        seq=event.seq,
    )


def is_repeat(event: e.RunnerEvent) -> bool:
    """Return whether it has the text of a TERMINAL_CHUNK once more, as the original's runner sends it."""
    return isinstance(event, e.ProviderEventForwarded) and event.provider_event.get("type") == "PROVIDER_MESSAGE"


def is_kept_diff(event: e.RunnerEvent) -> bool:
    """Return whether it is the text of a session's changes: large, and read on request only."""
    return isinstance(event, e.ProviderEventForwarded) and event.provider_event.get("type") == SessionDiff.TYPE


def translate(event: e.RunnerEvent, origin: EventSource, resolved: e.ApprovalRequest | None = None) -> list[UiMessage]:
    """Return all messages of one event. `resolved`: for APPROVAL_RESOLVED, the request with its decision filled in."""
    return for_village(event, origin, resolved) + for_agent_alone(event, origin)


def for_agent_alone(event: e.RunnerEvent, origin: EventSource, _resolved: Any = None) -> list[UiMessage]:
    """Return the messages that only the followers of the agent get: its terminal, its usage."""
    match event:
        case e.TerminalChunk():
            return [_terminal_output(event, origin.agent_id)]
        case e.ProviderEventForwarded(
            provider_event={"type": "terminal_resized", "cols": int() as cols, "rows": int() as rows}
        ):
            return [_terminal_size(event, origin.agent_id, cols, rows)]
        case e.UsageTick():
            return [_usage(event, origin.agent_id)]
        case _:
            return []


def for_village(
    event: e.RunnerEvent, origin: EventSource, resolved: e.ApprovalRequest | None = None
) -> list[UiMessage]:
    """Return the messages that the village's room gets, most of them the agent's room too."""
    messages: list[UiMessage] = []
    if _appears(event, origin):
        messages.append(_spawn(event, origin))
    if (line := work_stream_event(event, origin.agent_id)) is not None:
        messages.append(UiMessage("work_stream_event", line, VILLAGE_AND_AGENT))
    if isinstance(event, e.TerminalChunk):  # nearly all are: no need to ask what else they might be
        return messages
    messages += _beside(event, origin, resolved)
    if (text := readable(event)) is not None:
        messages.append(
            UiMessage(
                "work_stream", ui.WorkStreamLine(agent_id=origin.agent_id, message=text, ts=event.ts), VILLAGE_AND_AGENT
            )
        )
    return messages


def _beside(event: e.RunnerEvent, origin: EventSource, resolved: e.ApprovalRequest | None) -> list[UiMessage]:
    """Return the messages of an event beside its `work_stream` entry (the table of CONTRACT section 2)."""
    match event:
        case e.SessionStateChanged():
            return [_agent_update(event, origin.agent_id)]
        case e.ProviderEventForwarded(provider_event={"type": a.Status.TYPE} as said):
            return _agent_status(a.from_provider_event(said), event.ts, origin.agent_id)
        case e.SessionEnded():
            return [_disconnect(event, origin.agent_id)]
        case e.ApprovalRequested(approval=approval):
            return [_approval("approval_requested", approval, event, origin.agent_id)]
        case e.ApprovalResolved() if resolved is not None:
            return [_approval("approval_resolved", resolved, event, origin.agent_id)]
        case e.AlertRaised():
            alert = _alert(event, origin.agent_id)
            is_bot = event.severity in e.BUG_BOT_SEVERITIES
            return [alert, bug_bot("bug_bot_spawn", event.alert_id, event.session_id)] if is_bot else [alert]
        case _:
            return []


def _agent_update(event: e.SessionStateChanged, agent_id: str) -> UiMessage:
    update = ui.AgentUpdate(agent_id=agent_id, status=event.new_state, ts=event.ts, reason=event.reason)
    return UiMessage("agent_update", update, VILLAGE_AND_AGENT)


def _agent_status(status: a.AgentEvent | None, ts: float, agent_id: str) -> list[UiMessage]:
    """Translate an agent's own status, which stands beside the state of its session."""
    if not isinstance(status, a.Status):
        return []
    since = status.since or None
    update = ui.AgentUpdate(agent_id=agent_id, status=status.status, ts=ts, reason=status.for_, since=since)
    return [UiMessage("agent_update", update, VILLAGE_AND_AGENT)]


def _disconnect(event: e.SessionEnded, agent_id: str) -> UiMessage:
    gone = ui.AgentDisconnect(agent_id=agent_id, session_id=event.session_id, timestamp=ui.iso(event.ts))
    return UiMessage("agent_disconnect", gone, Scope.VILLAGE)


def _terminal_output(event: e.TerminalChunk, agent_id: str) -> UiMessage:
    output = ui.TerminalOutput(
        agent_id=agent_id, session_id=event.session_id, data=event.data, stream=event.stream, seq=event.seq
    )
    return UiMessage("terminal_output", output, Scope.TERMINAL)


def _terminal_size(event: e.RunnerEvent, agent_id: str, cols: int, rows: int) -> UiMessage:
    output = ui.TerminalOutput(
        agent_id=agent_id, session_id=event.session_id, data="", stream="stdout", seq=event.seq, cols=cols, rows=rows
    )
    return UiMessage("terminal_output", output, Scope.TERMINAL)


def _approval(name: str, approval: e.ApprovalRequest, event: e.RunnerEvent, agent_id: str) -> UiMessage:
    return UiMessage(name, ui.approval_message(approval, agent_id, event.ts), VILLAGE_AND_AGENT)


def _alert(event: e.AlertRaised, agent_id: str) -> UiMessage:
    alert = ui.AlertMessage(
        alert_id=event.alert_id,
        severity=event.severity,
        category=event.category,
        title=event.title,
        description=event.description,
        context=event.context,
        truncated=event.truncated,
        timestamp=ui.iso(event.ts),
        agent_id=agent_id,
        session_id=event.session_id,
    )
    return UiMessage("alert_raised", alert, Scope.VILLAGE)


def _usage(event: e.UsageTick, agent_id: str) -> UiMessage:
    tick = ui.UsageTickMessage(
        agent_id=agent_id,
        session_id=event.session_id,
        provider_id=event.provider_id,
        units=event.units,
        interval_ms=event.interval_ms,
        timestamp=ui.iso(event.ts),
    )
    return UiMessage("usage_tick", tick, Scope.AGENT)


def _appears(event: e.RunnerEvent, origin: EventSource) -> bool:
    """An agent appears with its session's first event where its provider is known by then, and when that has started;
    one whose provider never started appears before it goes, else its failure would not be seen.
    """
    match event:
        case e.SessionStarted():
            return True
        case e.SessionEnded():
            return not origin.started
        case _:
            return event.seq == 1 and origin.provider_id is not None


def _spawn(event: e.RunnerEvent, origin: EventSource) -> UiMessage:
    provider = event.provider_id if isinstance(event, e.SessionStarted) else origin.provider_id
    spawn = ui.AgentSpawn(
        agent_id=origin.agent_id,
        session_id=event.session_id,
        agent_type=ui.agent_type(provider or ""),
        agent_name=origin.agent_name,
        repo_path=origin.repo_path,
        timestamp=ui.iso(event.ts),
    )
    return UiMessage("agent_spawn", spawn, Scope.VILLAGE)


DISK_ALERT_ID = "service:journal"
"""The alert that the service raises itself: it cannot store what happens."""


def disk_alert(reason: str, now_ms: int) -> list[UiMessage]:
    """Return the messages of a full disk, additions of ours: the alert has no agent and no session."""
    alert = ui.AlertMessage(
        alert_id=DISK_ALERT_ID,
        severity="critical",
        category="performance",
        title="The service cannot store events: its disk refuses",
        description=f"{reason}. Make room on the disk of the state directory. Nothing is lost meanwhile: runners keep"
        " what is not acknowledged, and send it when there is room.",
        timestamp=ui.iso(now_ms),
    )
    return [UiMessage("alert_raised", alert, Scope.VILLAGE), bug_bot("bug_bot_spawn", DISK_ALERT_ID)]


def service_alert(alert_id: str, title: str, description: str, now_ms: int) -> list[UiMessage]:
    """Return the messages of an alert of the service's own, which stays until a person looks into it."""
    alert = ui.AlertMessage(
        alert_id=alert_id,
        severity="critical",
        category="performance",
        title=title,
        description=description,
        timestamp=ui.iso(now_ms),
    )
    return [UiMessage("alert_raised", alert, Scope.VILLAGE), bug_bot("bug_bot_spawn", alert_id)]


def bug_bot(name: str, alert_id: str, session_id: str | None = None) -> UiMessage:
    """Return `bug_bot_spawn` or `bug_bot_resolved`. Without a session: the bot of an alert of the service's own."""
    return UiMessage(name, ui.BugBot(id=alert_id, session_id=session_id), Scope.VILLAGE)


def bug_bot_progress(alert_id: str, progress: float, session_id: str) -> UiMessage:
    """Return the message that says how far a repair is, 0..1."""
    told = ui.BugBotProgress(id=alert_id, progress=min(1.0, max(0.0, progress)), session_id=session_id)
    return UiMessage("bug_bot_progress", told, Scope.VILLAGE)


def readable(event: e.RunnerEvent) -> str | None:
    """The event as one line for a person; None for output and usage, which would drown the rest."""
    match event:
        case e.SessionStarted(provider_id=provider, workspace_path=path):
            return f"started {provider} in {path}"
        case e.SessionStateChanged(new_state=state, reason=reason):
            return state.lower().replace("_", " ") + (f": {reason}" if reason else "")
        case e.SessionEnded(final_state=state, exit_code=code):
            return f"ended {state.lower()}" + ("" if code is None else f" with exit code {code}")
        case e.FileTouched(path=path, reason=reason):
            return f"{reason} {path}"
        case e.DiffSummary(files_changed=files, lines_added=added, lines_removed=removed):
            return f"{files} files changed, +{added} −{removed}"
        case e.TestRunStarted(command=command):
            return f"testing: {command}"
        case e.TestRunFinished():
            return f"tests: {event.summary}"
        case e.ApprovalRequested(approval=approval):
            return f"asks for approval ({approval.category}, risk {approval.risk}): {approval.summary}"
        case e.ApprovalResolved(decision=decision, resolved_by=who):
            return f"approval: {decision}" + (f" by {who}" if who else "")
        case e.AlertRaised(severity=severity, title=title):
            return f"{severity}: {title}"
        case e.ProviderEventForwarded(provider_event=inner) if not (is_kept_diff(event) or is_repeat(event)):
            return a.readable(inner) if bridge.kind_of(inner) is None else bridge.line_of(inner)
        case _:
            return None
