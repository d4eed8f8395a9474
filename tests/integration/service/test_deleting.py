"""A session that somebody deletes is gone for good: for people, on the disk, after a restart, and for its runner."""

import sqlite3
from pathlib import Path
from typing import Any

import httpx
import trio

from tests.support.cast import event
from tests.support.people import person, rest
from tests.support.service import ScriptedRunner, Town, open_town

NOTHING_USED = {"agentSeconds": 0, "terminalKb": 0, "filesTouched": 0, "commandsRun": 0, "approvalsRequested": 0}
APPROVAL = {
    "approvalId": "a1", "sessionId": "s1", "category": "shell", "summary": "rm", "risk": "high", "requestedAt": 1,
}  # fmt: skip
LIFE = [
    event("SESSION_STARTED", 1, providerId="command", providerVersion="1", workspacePath="/w"),
    event("TERMINAL_CHUNK", 2, data="the secret word is canary-4711", stream="stdout"),
    event("APPROVAL_REQUESTED", 3, approval=APPROVAL),
    event("APPROVAL_RESOLVED", 4, approvalId="a1", decision="deny", resolvedBy="user_owner"),
]
END = event("SESSION_ENDED", 5, finalState="COMPLETED", totalDurationMs=1, totalUsage=NOTHING_USED)


async def lived(town: Town, runner: ScriptedRunner, http: httpx.AsyncClient) -> None:
    await runner.send(*LIFE, END)
    await runner.acked(5)
    with trio.fail_after(5):
        while (await http.get("/api/runner/sessions/s1")).json().get("state") != "COMPLETED":
            await trio.sleep(0.01)


def stored(state: Path) -> int:
    with sqlite3.connect(state / "journal.db") as journal:
        (count,) = journal.execute("SELECT count(*) FROM event").fetchone()
        (snapshots,) = journal.execute("SELECT count(*) FROM snapshot").fetchone()
    journal.close()
    return count + snapshots


async def deleted(http: httpx.AsyncClient) -> None:
    answer = await http.delete("/api/runner/sessions/s1")
    assert answer.status_code == 200, answer.text


async def test_it_is_gone_for_people_on_the_disk_and_after_a_restart(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        await lived(town, runner, http)
        await deleted(http)
        for path in ("", "/events", "/recording.cast", "/events.ndjson"):
            assert (await http.get(f"/api/runner/sessions/s1{path}")).status_code == 404
        assert (await http.get("/api/villages/demo/agents")).json()["items"] == []
        assert (await http.get("/api/approvals?villageId=demo&state=all")).json().get("items", []) == []
        (entry,) = [one for one in (await audit(http)) if one["action"] == "session.delete"]
        assert entry["sessionId"] == "s1"
    assert stored(tmp_path) == 0
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        assert (await http.get("/api/runner/sessions/s1")).status_code == 404
        assert (await http.get("/api/villages/demo/agents")).json()["items"] == []


async def audit(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    return (await http.get("/api/villages/demo/audit")).json()["items"]


async def test_what_its_runner_says_of_it_later_is_refused_and_stored_nowhere(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        async with town.runner() as runner:
            await lived(town, runner, http)
        await deleted(http)
        async with town.runner() as runner:
            await runner.send(END)
            nack = await runner.next("nack")
            assert "was deleted" in nack["message"]
        assert (await http.get("/api/runner/sessions/s1")).status_code == 404
    assert stored(tmp_path) == 0


async def test_what_lives_is_not_deleted_and_only_owners_delete(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        await runner.send(*LIFE)
        await runner.acked(4)
        refused = await http.delete("/api/runner/sessions/s1")
        assert (refused.status_code, "stop it first" in refused.text) == (409, True)
        await runner.send(END)
        await runner.acked(5)
        async with rest(town, await person(town, "ada", "operator")) as operator:
            assert (await operator.delete("/api/runner/sessions/s1")).status_code == 403
        assert (await http.get("/api/runner/sessions/s1/events")).json()["items"][-1]["seq"] == 5
