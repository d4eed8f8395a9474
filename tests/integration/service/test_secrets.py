"""A runner that masks nothing: its secrets are in no file of the service, in no answer and on nobody's screen."""

import json
from pathlib import Path
from typing import Any

from tests.support.cast import event
from tests.support.people import connected, rest
from tests.support.service import open_town

CANARY = "ghp_Canary" + "4711" * 9
PROVIDER = {"type": "tool", "providerId": "x", "timestamp": 1}
SAID = f"export TOKEN={CANARY} # now"


def events() -> list[dict[str, Any]]:
    approval = {
        "approvalId": "a1", "sessionId": "s1", "category": "shell", "risk": "high", "requestedAt": 1,
        "summary": SAID, "context": {"env": [SAID]},
    }  # fmt: skip
    return [
        event("SESSION_STARTED", 1, providerId="command", providerVersion="1", workspacePath=f"/w/{CANARY}"),
        event("TERMINAL_CHUNK", 2, data=SAID, stream="stdout"),
        event("FILE_TOUCHED", 3, path=f"{CANARY}.env", reason="write"),
        event("TEST_RUN_STARTED", 4, command=SAID),
        event("APPROVAL_REQUESTED", 5, approval=approval),
        event("APPROVAL_RESOLVED", 6, approvalId="a1", decision="deny", note=SAID),
        event("ALERT_RAISED", 7, alertId="al", severity="error", category="security", title=SAID, description=SAID),
        event(
            "PROVIDER_EVENT_FORWARDED",
            8,
            providerEvent={"type": "tool", "providerId": "x", "timestamp": 1, "args": {"a": SAID}},
        ),
    ]


async def test_they_are_nowhere(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        async with connected(town, "socketio", town.token) as live:
            assert (await live.emit("join_village", {"villageId": "demo"}))["ok"]
            sent = events()
            await runner.send(*sent)
            await runner.acked(len(sent))
            assert (await live.emit("join_agent", {"agentId": "runner_s1", "terminal": True}))["ok"]
            shown = json.dumps([str(one) for one in live.heard])
        assert "work_stream_event" in shown
        assert "••••••" in shown or "\\u2022" in shown
        assert CANARY not in shown
        for path in ("", "/events", "/events.ndjson", "/recording.cast"):
            assert CANARY not in (await http.get(f"/api/runner/sessions/s1{path}")).text
        stored = (await http.get("/api/runner/sessions/s1/events")).json()["items"]
        assert [one["seq"] for one in stored] == [one["seq"] for one in sent]
        assert stored[1]["data"] == "export TOKEN=•••••• # now"
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "journal.db" for path in files)
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []
