"""The golden table: every runner event as on the wire, and exactly what the people get for it, in order.

Checked against the pure translation (tests/unit/contracts) and through the whole service over real sockets
(tests/integration/service). Each row: name, the event's own fields, what it becomes as (event, rooms, payload).
Rooms: v village, a agent, t the agent's terminal watchers.
"""

from typing import Any

import attrs

VILLAGE, SESSION, AGENT = "demo", "0123456789abcdef", "runner_01234567"
TS, STAMP = 1_764_000_000_250, "2025-11-24T16:00:00.250Z"
WORK = {"agentId": AGENT, "sessionId": SESSION}
USAGE = {"agentSeconds": 1.5, "terminalKb": 2, "filesTouched": 3, "commandsRun": 4, "approvalsRequested": 5}
APPROVAL = {
    "approvalId": "ap1",
    "sessionId": SESSION,
    "category": "shell",
    "summary": "rm -rf build/",
    "risk": "high",
    "requestedAt": TS,
    "timeoutAt": TS + 60_000,
}


@attrs.frozen
class Row:
    """One runner event and what it becomes."""

    name: str
    type: str
    fields: dict[str, Any]
    becomes: list[tuple[str, str, dict[str, Any]]]

    def event(self, seq: int = 1, session: str = SESSION) -> dict[str, Any]:
        """The event as on the wire."""
        envelope = {"type": self.type, "sessionId": session, "orgId": VILLAGE, "ts": TS, "seq": seq}
        return {**envelope, **self.fields}


def stream(kind: str, payload: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    return ("work_stream_event", "va", {**WORK, "type": kind, "payload": payload, "timestamp": STAMP})


def line(message: str) -> tuple[str, str, dict[str, Any]]:
    return ("work_stream", "va", {"agentId": AGENT, "message": message, "ts": TS})


def same(kind: str, event_type: str, name: str, fields: dict[str, Any], said: str) -> Row:
    """The commonest row: the fields as they are, in one work_stream_event."""
    return Row(name, event_type, fields, [stream(kind, fields), line(said)])


def alert(severity: str) -> tuple[dict[str, Any], dict[str, Any]]:
    fields = {
        "alertId": f"al-{severity}",
        "severity": severity,
        "category": "build",
        "title": "broken",
        "description": "it does not build",
        "context": {"step": 3},
    }
    return fields, {**fields, **WORK, "timestamp": STAMP}


WARN, WARN_UI = alert("warn")
ERROR, ERROR_UI = alert("error")
TESTED = {"exitCode": 1, "passed": 3, "failed": 1, "skipped": 2, "duration": 812}
CHANGED = {
    "filesChanged": 1,
    "linesAdded": 2,
    "linesRemoved": 1,
    "files": [{"path": "a.py", "status": "modified", "additions": 2, "deletions": 1}],
}
STARTED = {"providerId": "claude_code", "providerVersion": "2.1", "workspacePath": "/src/app", "roomPath": "api"}
ENDED = {"finalState": "FAILED", "exitCode": 3, "totalDurationMs": 1234, "totalUsage": USAGE}
FORWARDED = {"type": "tool_use", "providerId": "codex", "timestamp": TS, "name": "Bash"}
SPAWN = {
    **WORK,
    "agentType": "claude",
    "agentName": AGENT,
    "repoPath": "github:acme/app",
    "timestamp": STAMP,
}
REPO = {"provider": "github", "owner": "acme", "name": "app"}

TABLE: list[Row] = [
    Row(
        "started",
        "SESSION_STARTED",
        {**STARTED, "repoRef": REPO},
        [("agent_spawn", "v", SPAWN), stream("session_start", STARTED), line("started claude_code in /src/app")],
    ),
    Row(
        "state changed",
        "SESSION_STATE_CHANGED",
        {"previousState": "STARTING_PROVIDER", "newState": "RUNNING", "reason": "ready"},
        [
            stream("status_change", {"previousState": "STARTING_PROVIDER", "newState": "RUNNING", "reason": "ready"}),
            ("agent_update", "va", {"agentId": AGENT, "status": "RUNNING", "ts": TS, "reason": "ready"}),
            line("running: ready"),
        ],
    ),
    Row(
        "output",
        "TERMINAL_CHUNK",
        {"data": "hé\r\n", "stream": "stdout"},
        [
            stream("output", {"data": "hé\r\n", "stream": "stdout"}),
            ("terminal_output", "t", {**WORK, "data": "hé\r\n", "stream": "stdout"}),
        ],
    ),
    same("file_edit", "FILE_TOUCHED", "written", {"path": "a.py", "reason": "write", "roomPath": "api"}, "write a.py"),
    same("file_read", "FILE_TOUCHED", "read", {"path": "a.py", "reason": "read"}, "read a.py"),
    same("file_read", "FILE_TOUCHED", "diffed", {"path": "a.py", "reason": "diff"}, "diff a.py"),
    same("file_delete", "FILE_TOUCHED", "deleted", {"path": "a.py", "reason": "delete"}, "delete a.py"),
    same("file_edit", "DIFF_SUMMARY", "diff", CHANGED, "1 files changed, +2 −1"),
    same(
        "test_start",
        "TEST_RUN_STARTED",
        "tests started",
        {"command": "pytest -q", "testFiles": ["test_a.py"]},
        "testing: pytest -q",
    ),
    same("test_finish", "TEST_RUN_FINISHED", "tests finished", TESTED, "tests: 3 passed, 1 failed, 2 skipped"),
    Row(
        "approval requested",
        "APPROVAL_REQUESTED",
        {"approval": APPROVAL},
        [
            stream("status_change", {"approval": APPROVAL, "newState": "WAITING_FOR_APPROVAL"}),
            ("approval_requested", "va", {**APPROVAL, **WORK, "timestamp": STAMP}),
            line("asks for approval (shell, risk high): rm -rf build/"),
        ],
    ),
    Row(
        "approval resolved",
        "APPROVAL_RESOLVED",
        {"approvalId": "ap1", "decision": "allow", "resolvedBy": "ann", "note": "fine"},
        [
            stream("status_change", {"approvalId": "ap1", "decision": "allow", "note": "fine"}),
            (
                "approval_resolved",
                "va",
                {
                    **APPROVAL,
                    **WORK,
                    "timestamp": STAMP,
                    "resolvedAt": TS,
                    "decision": "allow",
                    "resolvedBy": "ann",
                    "note": "fine",
                },
            ),
            line("approval: allow by ann"),
        ],
    ),
    Row("harmless alert", "ALERT_RAISED", WARN, [("alert_raised", "v", WARN_UI), line("warn: broken")]),
    Row(
        "serious alert",
        "ALERT_RAISED",
        ERROR,
        [
            ("alert_raised", "v", ERROR_UI),
            ("bug_bot_spawn", "v", {"id": "al-error", "sessionId": SESSION}),
            line("error: broken"),
        ],
    ),
    Row(
        "usage",
        "USAGE_TICK",
        {"providerId": "codex", "units": USAGE, "intervalMs": 30_000},
        [
            (
                "usage_tick",
                "a",
                {**WORK, "providerId": "codex", "units": USAGE, "intervalMs": 30_000, "timestamp": STAMP},
            )
        ],
    ),
    Row(
        "provider event",
        "PROVIDER_EVENT_FORWARDED",
        {"providerEvent": FORWARDED},
        [stream("provider_event", {"providerEvent": FORWARDED}), line("provider event tool_use")],
    ),
    Row(
        "ended",
        "SESSION_ENDED",
        ENDED,
        [
            stream("session_end", ENDED),
            ("agent_disconnect", "v", {**WORK, "timestamp": STAMP}),
            line("ended failed with exit code 3"),
        ],
    ),
]

SEQ_EVENTS = frozenset({"work_stream_event", "terminal_output"})
"""UI events that carry the number of the event they were made from."""
