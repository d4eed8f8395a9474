"""The fleet over REST."""

import trio

from tests.support.cast import event


async def test_a_runner_joins_with_a_code_and_registers_itself(rest):
    code = (await rest.post("/api/runners/enrolments", {"villageId": "closed"})).json()["code"]
    joined = await rest.post("/api/runners/join", {"code": code, "name": "mac", "hostname": "mac.local"}, None)
    assert joined.status_code == 201
    runner_id, token = joined.json()["runnerId"], joined.json()["token"]
    assert (await rest.post("/api/runners/join", {"code": code, "name": "mac"}, None)).status_code == 401
    about = {"hostname": "mac.local", "capabilities": {"providers": ["codex"]}, "labels": {"os": "macos"}}
    view = (await rest.post("/api/runners/register", about, token)).json()
    assert (view["runnerId"], view["villages"], view["status"]) == (runner_id, ["closed"], "offline")
    assert view["capabilities"]["providers"] == ["codex"]
    refused = await rest.post("/api/runners/register", {"runnerId": "r1"}, token)
    assert refused.status_code == 403
    beat = await rest.post(f"/api/runners/{runner_id}/heartbeat", {"load": {"cpuPercent": 12}}, token)
    assert beat.status_code == 200
    shown = (await rest.get(f"/api/runners/{runner_id}")).json()
    assert (shown["status"], shown["connected"], shown["load"]["cpuPercent"]) == ("online", False, 12)
    assert (await rest.post("/api/runners/r1/heartbeat", {}, token)).status_code == 404


async def test_an_enrolment_for_no_village_is_the_administrators(rest):
    assert (await rest.post("/api/runners/enrolments", {}, "owner")).status_code == 403
    assert (await rest.post("/api/runners/enrolments", {}, "admin")).status_code == 201


async def test_a_drained_runner_gets_no_more_sessions_until_it_is_active_again(rest):
    link = await rest.runner("r2", village="closed")
    start = {
        "villageId": "closed", "providerId": "command", "command": ["ls"], "runnerId": "r2",
        "repoRef": {"provider": "local", "path": "/x"}, "task": {"title": "t", "goal": "g"},
    }  # fmt: skip
    assert (await rest.post("/api/runners/r2/drain")).status_code == 200
    with trio.fail_after(10):
        while not link.commands:
            await trio.sleep(0.01)
    assert [command.command for command in link.commands] == ["drain"]
    assert (await rest.get("/api/runners/r2")).json()["status"] == "draining"
    refused = await rest.post("/api/runner/sessions", start)
    assert refused.json()["error"]["message"] == "no runner can take the session: r2 is draining"
    assert (await rest.ask("PUT", "/api/runners/r2/state", {"state": "active"})).status_code == 200
    assert (await rest.post("/api/runner/sessions", start)).status_code == 201


async def test_a_runner_with_live_sessions_stays(rest):
    await rest.runner("r1")
    await rest.session(event("TERMINAL_CHUNK", 1, data="x", stream="stdout"))
    refused = await rest.ask("DELETE", "/api/runners/r1", who="admin")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "E_CONFLICT")
    await rest.runner("r2", village="closed")
    assert (await rest.ask("DELETE", "/api/runners/r2")).status_code == 200
    assert (await rest.get("/api/runners/r2")).status_code == 404


async def test_a_rotated_token_and_the_old_one_for_five_minutes(rest):
    made = await rest.post("/api/runners/r1/token", who="runner")
    token = made.json()["token"]
    for one in (token, "runner"):
        assert (await rest.get("/api/runners/r1", one)).status_code == 200
    rest.cast.clock.now += 5 * 60_000
    assert (await rest.get("/api/runners/r1", token)).status_code == 200
    assert (await rest.get("/api/runners/r1", "runner")).status_code == 401


async def test_one_sees_the_runners_that_serve_one(rest):
    await rest.runner("theirs", village="closed")
    assert (await rest.get("/api/runners", "stranger")).json()["items"] == []  # r1 serves a public village, not theirs
    seen = {one["runnerId"]: one["villages"] for one in (await rest.get("/api/runners", "viewer")).json()["items"]}
    assert seen == {"r1": ["closed", "open"], "theirs": ["closed"]}  # and not that r1 serves the demo village
    everything = {one["runnerId"] for one in (await rest.get("/api/runners", "admin")).json()["items"]}
    assert everything == {"r1", "theirs", "runner_local"}
    assert "theirs" in (await rest.get("/api/runners?villageId=closed", "viewer")).text
