"""A village that keeps what is said out of the log: live people see it, no file of the service ever has it."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.integration.service.test_promises import crashing, decided, ended, held, result
from tests.integration.service.test_search import search
from tests.support.cast import event
from tests.support.people import Live, connected, person, rest
from tests.support.service import ScriptedRunner, Town, open_town

SAID = "zebrafish"
"""In everything that is said."""
PHRASE = "left out by the village's setting"
ONE = "/api/runner/sessions/s1/approvals/a1"
CODEX = {"capabilities": {"providers": ["codex"], "maxConcurrentSessions": 4, "features": ["pause", "ask"]}}


def agent(seq: int, kind: str, **fields: Any) -> dict[str, Any]:
    inner = {"type": kind, "providerId": "codex", "timestamp": 1, **fields}
    return event("PROVIDER_EVENT_FORWARDED", seq, providerEvent=inner)


def question(name: str) -> dict[str, Any]:
    return {
        "approvalId": name,
        "sessionId": "s1",
        "category": "shell",
        "risk": "high",
        "requestedAt": 1,
        "summary": f"run {SAID}",
        "context": {"tool": "Bash", "input": {"command": f"rm {SAID}"}, "cwd": "/w"},
    }


def turn() -> list[dict[str, Any]]:
    """Every event in which something is said."""
    where = {"providerId": "codex", "providerVersion": "1", "workspacePath": "/w"}
    waits = {"previousState": "RUNNING", "newState": "WAITING_FOR_APPROVAL", "reason": f"run {SAID}"}
    return [
        event("SESSION_STARTED", 1, **where),
        event("TERMINAL_CHUNK", 2, data=f"you said {SAID}\r\n", stream="stdout"),
        agent(3, "agent.prompt", text=f"do {SAID}", by="terminal"),
        agent(4, "agent.message", id="m", text=f"I do {SAID}", role="assistant", final=True),
        agent(5, "agent.tool", id="t", name="Bash", status="running", title=f"cat {SAID}", input={"command": SAID}),
        agent(6, "agent.tool", id="t", name="Bash", status="ok", ms=4, output=f"it says {SAID}"),
        agent(7, "agent.plan", items=[{"text": f"look at {SAID}", "status": "pending"}]),
        agent(8, "agent.status", status="waiting", **{"for": f"run {SAID}"}),
        agent(9, "agent.prompt", text=f"then {SAID}", by="Ada", queued=True, id="p1"),
        agent(10, "of.tomorrow", nobody={"knows": SAID}),
        event("TEST_RUN_STARTED", 11, command=f"pytest {SAID}", runId="r", whatever=SAID),
        event("TEST_RUN_FINISHED", 12, duration=5, exitCode=1, failed=2, runId="r", failureText=f"E {SAID}"),
        agent(13, "session_diff", base="b", filesChanged=1, linesAdded=1, linesRemoved=0,
              files=[{"path": "a.py", "status": "modified", "additions": 1, "deletions": 0, "patch": f"@@\n+{SAID}"}]),
        event("ALERT_RAISED", 14, alertId="al", severity="error", category="test", title="t", description="d",
              context={"said": SAID}),
        event("SESSION_STATE_CHANGED", 15, **waits),
        event("APPROVAL_REQUESTED", 16, approval=question("a1")),
    ]  # fmt: skip


async def keep_out(http: httpx.AsyncClient, wanted: bool = True) -> None:
    answer = await http.patch("/api/villages/demo", json={"leaveOutTexts": wanted})
    assert (answer.status_code, answer.json()["leaveOutTexts"]) == (200, wanted)


def files_with(state: Path, text: str) -> list[str]:
    found = [path for path in state.rglob("*") if path.is_file()]
    assert any(path.name == "journal.db" for path in found)
    return sorted(path.name for path in found if text.encode() in path.read_bytes())


async def heard_by(live: Live, runner: ScriptedRunner) -> str:
    """What a person sees who looks on while it is said."""
    assert (await live.emit("join_village", {"villageId": "demo"}))["ok"]
    await runner.send(*turn()[:2])
    await runner.acked(2)
    assert (await live.emit("join_agent", {"agentId": "runner_s1", "terminal": True}))["ok"]
    await runner.send(*turn()[2:])
    await runner.acked(16)
    with trio.fail_after(10):
        while not any("approval_requested" in str(one) for one in live.heard):
            live.heard.append(await live.next())
    return json.dumps([str(one) for one in live.heard])


@pytest.mark.parametrize("wanted", [True, False])
async def test_what_is_said_is_seen_live_and_is_in_no_file(tmp_path: Path, wanted: bool) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner, rest(town, town.token) as http:
        await keep_out(http, wanted)
        hook = {
            "url": "https://hooks.example.org/",
            "kinds": ["approval.requested", "approval.resolved", "alert.opened"],
        }
        made = await http.post("/api/villages/demo/webhooks", json=hook)
        assert made.status_code == 201, made.text
        queue = f"/api/villages/demo/webhooks/{made.json()['webhook']['webhookId']}/deliveries"
        async with connected(town, "socketio", town.token) as live:
            shown = await heard_by(live, runner)
        for text in ("you said", "I do", "do", "cat", "look at", "then", "pytest", "run"):
            assert f"{text} {SAID}" in shown, text
        (asked,) = (await http.get("/api/approvals")).json()["items"]
        assert asked["context"]["input"] == {"command": f"rm {SAID}"}
        made = await http.post(ONE, json={"decision": "deny", "note": f"not {SAID}", "holdMs": 0})
        assert made.status_code == 200
        command = await runner.next("command")
        assert (command["decision"], command["note"], command.get("inMemory")) == ("deny", f"not {SAID}", None)
        await result(runner, command)
        resolved = event("APPROVAL_RESOLVED", 17, approvalId="a1", decision="deny", resolvedBy="Owner", note=SAID)
        await runner.send(resolved, ended(18))
        await runner.acked(18)
        texts = [(await http.get(f"/api/runner/sessions/s1{path}")).text for path in ("/events", "/recording.cast")]
        (entry,) = await decided(http)
        with trio.fail_after(20):
            while len(queued := (await http.get(queue)).json()["items"]) < 3:
                await trio.sleep(0.05)
        assert (SAID in json.dumps(queued)) is not wanted
        assert (PHRASE in json.dumps(queued)) is wanted
        found = await search(http, SAID)
        if not wanted:
            assert all(SAID in one for one in texts)
            assert found["items"]
        else:
            assert not any(SAID in one for one in texts)
            assert all(PHRASE in one for one in texts)
            assert (entry["summary"], entry["note"], entry["context"]) == (PHRASE, PHRASE, {"tool": "Bash"})
            assert entry["leftOut"] is True
            assert found["items"] == (await search(http, '"left out"'))["items"] == []
            last = (await http.get("/api/runner/sessions/s1")).json()["lastTest"]
            assert (last["verdict"], last["failed"]) == ("failed", 2)  # what was done is kept
            items = (await http.get("/api/runner/sessions/s1/events")).json()["items"]
            assert [one["seq"] for one in items] == list(range(1, 19))
            said = {one["seq"] for one in items if one.get("leftOut")}
            assert said == set(range(2, 18)), "each says that something of it is left out"
            assert items[9]["providerEvent"]["type"] == "of.tomorrow"
        files = files_with(tmp_path, SAID)
    assert bool(files) is not wanted, files
    assert bool(files_with(tmp_path, SAID)) is not wanted


async def order(http: httpx.AsyncClient) -> httpx.Response:
    task = {"title": f"title {SAID}", "goal": f"goal {SAID}", "constraints": [SAID], "acceptance": [SAID]}
    where = {"provider": "local", "path": "/w"}
    return await http.post("/api/runner/sessions", json={"providerId": "codex", "repoRef": where, "task": task})


@pytest.mark.parametrize("wanted", [True, False])
async def test_an_order_reaches_its_runner_whole_and_no_file(tmp_path: Path, wanted: bool) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner(**CODEX) as runner:
        await keep_out(http, wanted)
        answers: list[httpx.Response] = []
        async with trio.open_nursery() as nursery:

            async def ordered() -> None:
                answers.append(await order(http))

            nursery.start_soon(ordered)
            command = await runner.next("command")
            assert command["config"]["task"]["goal"] == f"goal {SAID}"
            if wanted:
                assert files_with(tmp_path, SAID) == []  # nor while it waits for the runner's word
            await result(runner, command)
        session = answers[0].json()["sessionId"]
        shown = (await http.get(f"/api/runner/sessions/{session}/order")).json()["task"]
        assert shown["goal"] == (PHRASE if wanted else f"goal {SAID}")
        audit = (await http.get("/api/villages/demo/audit")).text
        assert (SAID in audit) is not wanted
        files = files_with(tmp_path, SAID)
    assert bool(files) is not wanted, files


async def test_after_a_restart_a_question_says_that_it_is_left_out_and_can_only_be_denied(tmp_path: Path) -> None:
    async with crashing(tmp_path) as (town, http), town.runner() as runner:
        await keep_out(http)
        await runner.send(*turn())
        await runner.acked(16)
    assert files_with(tmp_path, SAID) == []
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner([held(16)]) as runner:
        (asked,) = (await http.get("/api/approvals")).json()["items"]
        assert (asked["summary"], asked["leftOut"]) == (PHRASE, True)
        refused = await http.post(ONE, json={"decision": "allow"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "E_ANSWER_REFUSED")
        assert "restarted" in refused.json()["error"]["message"]
        assert (await http.post(ONE, json={"decision": "deny"})).status_code == 200
        assert (await runner.next("command"))["decision"] == "deny"


async def test_after_a_restart_its_runner_is_asked_what_it_asks_and_then_it_can_be_allowed(tmp_path: Path) -> None:
    async with crashing(tmp_path) as (town, http), town.runner() as runner:
        assert "tellOpen" not in runner.welcome
        await keep_out(http)
        await runner.send(*turn())
        await runner.acked(16)
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner([held(16)]) as runner:
        assert runner.welcome["tellOpen"] is True
        async with connected(town, "socketio", town.token) as live:
            assert (await live.emit("join_village", {"villageId": "demo"}))["ok"]
            asks = [question("a1"), question("never_asked")]
            await runner.say(json.dumps({"type": "open_questions", "sessionId": "s1", "approvals": asks}))
            await runner.say(json.dumps({"type": "open_questions", "sessionId": "of_others", "approvals": asks}))
            with trio.fail_after(10):
                while not any("approval_requested" in str(one) and SAID in str(one) for one in live.heard):
                    live.heard.append(await live.next())
        (asked,) = (await http.get("/api/approvals")).json()["items"]
        assert (asked["approvalId"], asked["summary"], "leftOut" in asked) == ("a1", f"run {SAID}", False)
        assert (await http.post(ONE, json={"decision": "allow"})).status_code == 200
        assert (await runner.next("command"))["decision"] == "allow"
        assert files_with(tmp_path, SAID) == []


async def test_an_allow_that_said_more_than_yes_and_was_lost_in_a_crash_is_a_no(tmp_path: Path) -> None:
    async with crashing(tmp_path) as (town, http):
        async with town.runner() as runner:
            await keep_out(http)
            await runner.send(*turn())
            await runner.acked(16)
        more = {"updatedInput": {"command": f"ls {SAID}"}}
        assert (await http.post(ONE, json={"decision": "allow", **more})).status_code == 200
    assert files_with(tmp_path, SAID) == []
    async with open_town(tmp_path) as town, town.runner([held(16)]) as runner:
        command = await runner.next("command")
        assert (command["decision"], command.get("updatedInput")) == ("deny", None)
        assert "lost with the service's restart" in command["note"]


async def test_a_held_allow_and_one_for_a_runner_that_is_away_are_told_whole(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        await keep_out(http)
        async with town.runner() as runner:
            await runner.send(*turn(), event("APPROVAL_REQUESTED", 17, approval=question("a2")))
            await runner.acked(17)
            more = {"updatedInput": {"command": f"ls {SAID}"}}
            assert (await http.post(ONE, json={"decision": "allow", "holdMs": 100, **more})).status_code == 200
            assert (await runner.next("command"))["updatedInput"] == more["updatedInput"]
        other = ONE.replace("a1", "a2")
        assert (await http.post(other, json={"decision": "deny", "note": f"no {SAID}"})).status_code == 200
        async with town.runner([held(17)]) as runner:
            told = [await runner.next("command"), await runner.next("command")]
            assert {one.get("note") for one in told} == {None, f"no {SAID}"}
        assert files_with(tmp_path, SAID) == []


async def test_a_session_of_which_something_was_left_out_stays_so_when_the_setting_is_taken_back(
    tmp_path: Path,
) -> None:
    async with crashing(tmp_path) as (town, http), town.runner() as runner:
        await keep_out(http)
        await runner.send(*turn()[:15])
        await runner.acked(15)
        await keep_out(http, False)
        await runner.send(turn()[15])
        await runner.acked(16)
        assert (await http.get("/api/approvals")).json()["items"][0]["summary"] == f"run {SAID}"
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner([held(16)]) as runner:
        await runner.send(event("TERMINAL_CHUNK", 17, data=f"more of {SAID}", stream="stdout"))
        await runner.acked(17)
        begun = [{**one, "sessionId": "s2"} for one in turn()[:2]]
        await runner.send(*begun)
        await runner.acked(2)
        new = (await http.get("/api/runner/sessions/s2/events")).text
        assert SAID in new  # a session that begins then is kept
        old = (await http.get("/api/runner/sessions/s1/events")).text
        assert SAID not in old


async def test_only_an_owner_sets_it_and_members_see_it(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        for role in ("operator", "viewer"):
            token = await person(town, role, role)
            async with rest(town, token) as http:
                answer = await http.patch("/api/villages/demo", json={"leaveOutTexts": True})
                assert answer.status_code == 403
                assert (await http.get("/api/villages/demo")).json()["leaveOutTexts"] is False
        await _audited(town)


async def _audited(town: Town) -> None:
    async with rest(town, town.token) as http:
        await keep_out(http)
        entries = (await http.get("/api/villages/demo/audit")).json()["items"]
        changed = next(one for one in entries if one["action"] == "village.change")
        assert changed["details"]["leaveOutTexts"] is True
