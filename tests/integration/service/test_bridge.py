"""Sessions of the original's bridge: its recorded requests, what people see of them, and whose they are."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.people import connected, person, rest
from tests.support.service import Town, open_town
from townwatch.actors import client, runner

RECORDED = Path(__file__).parents[2] / "fixtures" / "field" / "original-bridge-35993f0.jsonl"


def recorded() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RECORDED.read_text().splitlines()]


def registration(session: str, **changes: Any) -> dict[str, Any]:
    return {**recorded()[0]["body"], "sessionId": session, "agentId": f"agent-{session}", **changes}


def event(session: str, kind: str, **payload: Any) -> dict[str, Any]:
    return {"agentId": f"agent-{session}", "sessionId": session, "type": kind, "payload": payload}


async def test_what_the_original_bridge_sends_is_a_session_that_people_see(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        async with town.client(joins=[["join_village", {"villageId": "demo"}]]) as page:
            for request in recorded():
                answer = await http.request(request["method"], request["path"], json=request["body"])
                assert answer.status_code == request["status"] == 201
            seen: list[tuple[str, Any]] = []
            while "agent_disconnect" not in dict(seen):
                seen += await page.events(1)
        registered = recorded()[0]["body"]
        session_id = registered["sessionId"]
        spawn = next(payload for name, payload in seen if name == "agent_spawn")
        assert seen[0][0] == "agent_spawn"
        expected = {"agentId": registered["agentId"], "agentType": "claude", "agentName": "Old bridge"}
        assert expected.items() <= spawn.items() and spawn["repoPath"] == "/home/ada/shop"
        kinds = [payload["type"] for name, payload in seen if name == "work_stream_event"]
        of_the_bridge = ["thinking", "file_read", "file_edit", "command", "tool_use", "search", "error", "file_edit"]
        assert kinds == [*["status_change"] * 2, "session_start", "status_change", *of_the_bridge, "completed",
                         "status_change", "session_end"]  # fmt: skip
        command = next(p for n, p in seen if n == "work_stream_event" and p["type"] == "command")
        assert command["payload"]["command"] == "npm test"
        view = (await http.get(f"/api/runner/sessions/{session_id}")).json()
        assert (view["state"], view["exitCode"], view["reason"]) == ("FAILED", 3, "exited with code 3")
        assert view["startedBy"]["userId"] == "user_owner"
        assert (view["pendingApprovalIds"], view["errorMessage"]) == ([], "exited with code 3")
        assert view["workspace"]["worktreePath"] == view["workspace"]["repoRef"]["path"] == "/home/ada/shop"
        late = {"events": [event(session_id, "thinking")]}
        assert (await http.post("/api/events/batch", json=late)).json()["error"]["code"] == "E_SESSION_ENDED"


async def test_a_bridge_session_is_its_persons_and_takes_no_orders(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        mate, viewer = await person(town, "mate", "operator"), await person(town, "eve", "viewer")
        assert (await http.post("/api/sessions", json=registration("s1"))).status_code == 201
        again = await http.post("/api/sessions", json=registration("s1"))
        assert (again.status_code, again.json()["session"]["id"]) == (201, "s1")
        async with rest(town, mate) as theirs, rest(town, viewer) as looking, rest(town) as anonymous:
            assert (await theirs.post("/api/sessions", json=registration("s1"))).status_code == 409
            said = {"events": [event("s1", "command", command="rm -rf /")]}
            assert (await theirs.post("/api/events/batch", json=said)).status_code == 404
            assert (await theirs.put("/api/sessions/s1/end")).status_code == 404
            assert (await looking.post("/api/sessions", json=registration("s2"))).status_code == 403
            assert (await anonymous.post("/api/sessions", json=registration("s2"))).status_code == 401
        unknown = registration("s2", villageId="nowhere")
        assert (await http.post("/api/sessions", json=unknown)).status_code == 404
        for order, body in (("stop", {}), ("pause", {}), ("input", {"data": "x"}), ("resize", {"cols": 9, "rows": 9})):
            refused = await http.post(f"/api/runner/sessions/s1/{order}", json=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (409, "E_UNSUPPORTED"), order
        secret = "ghp_" + "a1B2" * 9
        said = {
            "events": [
                event("s1", "command", command=f"curl -H {secret}"),
                event("s1", "later_kind", text="a\x1b]52;c;x\x07b"),
            ]
        }
        taken = (await http.post("/api/events/batch", json=said)).json()
        assert (taken["count"], len(taken["ids"])) == (2, 2)
        log = (await http.get("/api/runner/sessions/s1/events")).text
        assert secret not in log and "bridge.later_kind" in log  # an unknown kind is kept, and shown without its OSC 52
        assert "]52;" not in log
        ended = await http.put("/api/sessions/s1/end")
        assert ended.status_code == 200 and ended.json()["session"]["endedAt"]
        await http.post("/api/sessions", json=registration("s3"))
        lost = await http.post("/api/runner/sessions/s3/end", json={"reason": "its machine is gone"})
        assert lost.status_code == 200
        assert (await http.post("/api/sessions", json=registration("s3"))).status_code == 409


async def detached(town: Town, session: str) -> bool:
    async with rest(town, town.token) as http:
        return (await http.get(f"/api/runner/sessions/{session}")).json()["detached"]


async def test_a_silent_bridge_is_there_while_it_is_connected_and_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PING_SECONDS", 0.1)
    monkeypatch.setattr(runner, "OFFLINE_SECONDS", 2.0)
    joins = [["join_agent", {"agentId": "agent-s1"}]]
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        assert (await http.post("/api/sessions", json=registration("s1"))).status_code == 201
        async with town.client(joins=joins):
            with trio.move_on_after(3.0):
                while True:
                    assert not await detached(town, "s1")
                    await trio.sleep(0.1)
        with trio.fail_after(10):
            while not await detached(town, "s1"):
                await trio.sleep(0.1)
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        assert await detached(town, "s1")
        said = {"events": [event("s1", "thinking")]}
        assert (await http.post("/api/events/batch", json=said)).status_code == 201
        assert not await detached(town, "s1")


async def test_an_administrator_speaks_to_the_clients_of_the_control_plane(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        mate = await person(town, "mate", "operator")
        async with connected(town, "control", town.token) as mine, connected(town, "control", mate) as theirs:
            notice = {"event": "maintenance", "data": {"at": "18:00"}}
            assert (await http.post("/api/control/broadcast", json=notice)).json() == {"clients": 2}
            for heard in (await mine.next(), await theirs.next()):
                assert notice.items() <= heard.items() and heard["type"] == "event"
            to_one = {**notice, "userId": "user_mate"}
            assert (await http.post("/api/control/broadcast", json=to_one)).json() == {"clients": 1}
            assert (await theirs.next())["data"] == {"at": "18:00"}
        async with rest(town, mate) as no_administrator:
            assert (await no_administrator.post("/api/control/broadcast", json=notice)).status_code == 403
        own = await http.post("/api/control/broadcast", json={"event": "authenticated"})
        assert own.json()["error"]["message"] == "event: authenticated is the service's own; take another name"
        named = {"event": "maintenance"}
        noted = (await http.get("/api/audit")).json()["items"]
        said = [(one["target"], one["details"]) for one in noted if one["action"] == "control.broadcast"]
        assert said == [("user_mate", {**named, "clients": 1}), (None, {**named, "clients": 2})]


async def test_one_event_at_a_time_and_what_is_active(tmp_path: Path) -> None:
    """`POST /api/events` and `GET /api/sessions/active`, in the original's shapes."""
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        stranger = await person(town, "eve", None)
        assert (await http.get("/api/sessions/active")).json() == []
        for session, kind in (("s1", "claude"), ("s2", "aider")):
            assert (await http.post("/api/sessions", json=registration(session, agentType=kind))).status_code == 201
        active = (await http.get("/api/sessions/active")).json()
        began = [one.pop("startedAt") for one in active]
        assert began == sorted(began, reverse=True) and all(at.endswith("Z") for at in began)
        assert sorted(active, key=lambda one: one["id"]) == [
            {
                "id": session, "agentId": f"agent-{session}", "agentName": "Old bridge", "agentStatus": "connected",
                "agentType": kind, "repoPath": "/home/ada/shop", "villageId": "demo",
            }
            for session, kind in (("s1", "claude"), ("s2", "aider"))
        ]  # fmt: skip
        async with rest(town, stranger) as theirs:
            assert (await theirs.get("/api/sessions/active")).json() == []
            assert (await theirs.post("/api/events", json=event("s1", "thinking"))).status_code == 404
        began_with = await http.post("/api/events", json=event("s1", "session_start"))
        log = (await http.get("/api/runner/sessions/s1/events")).json()["items"]
        started = next(one for one in log if one["type"] == "SESSION_STARTED")
        assert (began_with.status_code, began_with.json()) == (201, {"id": f"s1:{started['seq']}"})
        taken = await http.post("/api/events", json=event("s1", "command", command="npm test"))
        log = (await http.get("/api/runner/sessions/s1/events")).json()["items"]
        assert (taken.status_code, taken.json()) == (201, {"id": f"s1:{log[-1]['seq']}"})
        assert log[-1]["providerEvent"]["command"] == "npm test"
        assert (await http.post("/api/events", json={"sessionId": "s1"})).status_code == 400
        assert (await http.post("/api/events", json=event("s1", "session_end", exitCode=0))).status_code == 201
        assert [one["id"] for one in (await http.get("/api/sessions/active")).json()] == ["s2"]
        late = await http.post("/api/events", json=event("s1", "thinking"))
        assert (late.status_code, late.json()["error"]["code"]) == (409, "E_SESSION_ENDED")
