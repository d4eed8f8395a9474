"""What a person was told with a 200 holds: through a crash of the service, and whoever is away meanwhile."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from sqlalchemy import Connection, text

from tests.support.people import rest
from tests.support.service import ScriptedRunner, Town, open_town
from townwatch.config.settings import Settings
from townwatch.store import audit

SESSIONS = "/api/runner/sessions"
USAGE = {"agentSeconds": 0, "terminalKb": 0, "filesTouched": 0, "commandsRun": 0, "approvalsRequested": 0}


def event(kind: str, seq: int, session: str = "s1", **fields: Any) -> dict[str, Any]:
    return {"type": kind, "sessionId": session, "orgId": "demo", "ts": 1_764_000_000_000 + seq, "seq": seq, **fields}


def asked(approval_id: str, seq: int, session: str = "s1") -> dict[str, Any]:
    approval = {"approvalId": approval_id, "sessionId": session, "category": "shell", "summary": "rm", "risk": "high"}
    return event("APPROVAL_REQUESTED", seq, session, approval={**approval, "requestedAt": 1})


def started(session: str = "s1") -> dict[str, Any]:
    where = {"providerId": "command", "providerVersion": "1", "workspacePath": "/src/app"}
    return event("SESSION_STARTED", 1, session, **where)


def ended(seq: int, session: str = "s1", **fields: Any) -> dict[str, Any]:
    usage = {"totalDurationMs": 1, "totalUsage": USAGE}
    return event("SESSION_ENDED", seq, session, **{"finalState": "COMPLETED", **usage, **fields})


def held(last: int, session: str = "s1") -> dict[str, Any]:
    return {"sessionId": session, "firstSeq": last + 1, "lastSeq": last, "state": "RUNNING"}


@asynccontextmanager
async def crashing(
    state: Path, changes: Callable[[Settings], Settings] = lambda settings: settings
) -> AsyncIterator[tuple[Town, httpx.AsyncClient]]:
    """A service that is torn down where the block ends, as far as one process can: nothing is flushed in order."""
    with trio.CancelScope() as scope:
        async with open_town(state, changes) as town, rest(town, town.token) as http:
            yield town, http
            scope.cancel()
            await trio.lowlevel.checkpoint()


async def result(runner: ScriptedRunner, command: dict[str, Any], *, ok: bool = True) -> None:
    error = {} if ok else {"error": {"code": "NOT_POSSIBLE", "message": "no such session"}}
    await runner.say(json.dumps({"type": "result", "commandId": command["commandId"], "ok": ok, **error}))


async def waiting(http: httpx.AsyncClient) -> list[str]:
    found = (await http.get("/api/approvals?villageId=demo")).json()["items"]
    of_session = (await http.get(f"{SESSIONS}/s1")).json()["pendingApprovals"]
    of_agents = (await http.get("/api/villages/demo/agents")).json()["items"][0]["pendingApprovals"]
    names = [[one["approvalId"] for one in items] for items in (found, of_session, of_agents)]
    assert names[0] == names[1] == names[2]
    return names[0]


async def decided(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    return (await http.get("/api/approvals?villageId=demo&state=decided")).json()["items"]


async def decide(http: httpx.AsyncClient, decision: str, **more: Any) -> httpx.Response:
    return await http.post(f"{SESSIONS}/s1/approvals/a1", json={"decision": decision, **more})


async def decisions_noted(town: Town) -> int:
    entries = await town.service.database.read(audit.entries_after, 0, 1000, None)
    return sum(entry.action == "approval.decide" for entry in entries)


async def open_rows(town: Town) -> list[str]:
    def read(connection: Connection) -> list[str]:
        found = connection.execute(text("SELECT command_id FROM commands WHERE settled_ms IS NULL ORDER BY command_id"))
        return [command_id for (command_id,) in found]

    return await town.service.database.read(read)


# --- decisions ------------------------------------------------------------------------------------


async def test_a_first_decision_stands_at_once_on_every_list_also_while_the_runner_is_away(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        async with town.runner() as runner:
            await runner.send(started(), asked("a1", 2), asked("a2", 3))
            await runner.acked(3)
        assert await waiting(http) == ["a1", "a2"]
        assert (await decide(http, "deny", note="no")).status_code == 200
        assert await waiting(http) == ["a2"]
        (entry,) = await decided(http)
        assert (entry["approvalId"], entry["decision"], entry["note"]) == ("a1", "deny", "no")
        assert "confirmedAt" not in entry
        other = await decide(http, "allow")
        assert (other.status_code, other.json()["error"]["code"]) == (409, "E_DECIDED")
        assert other.json()["error"]["details"]["standing"]["decision"] == "deny"
        assert (await decide(http, "deny")).status_code == 200
        assert await decisions_noted(town) == 1
        async with town.runner([held(3)]) as runner:
            command = await runner.next("command")
            assert (command["commandId"], command["decision"]) == ("approve:s1:a1", "deny")
            await result(runner, command)
            await runner.send(event("APPROVAL_RESOLVED", 4, approvalId="a1", decision="deny", resolvedBy="Owner"))
            await runner.acked(4)
            with trio.fail_after(5):
                while "confirmedAt" not in (await decided(http))[0]:
                    await trio.sleep(0.02)


async def test_a_decision_stands_after_a_crash_right_behind_its_answer(tmp_path: Path) -> None:
    async with crashing(tmp_path) as (town, http):
        async with town.runner() as runner:
            await runner.send(started(), asked("a1", 2))
            await runner.acked(2)
        assert (await decide(http, "allow")).status_code == 200
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        assert await waiting(http) == []
        assert [one["decision"] for one in await decided(http)] == ["allow"]
        assert (await decide(http, "deny")).status_code == 409
        assert (await decide(http, "allow")).status_code == 200
        assert await decisions_noted(town) == 1
        async with town.runner([held(2)]) as runner:
            command = await runner.next("command")
            assert (command["commandId"], command["decision"]) == ("approve:s1:a1", "allow")


async def test_a_decision_too_late_for_its_session_says_so(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner() as runner:
        await runner.send(started(), asked("a1", 2), ended(3))
        await runner.acked(3)
        for decision in ("allow", "deny"):
            late = await decide(http, decision)
            assert (late.status_code, late.json()["error"]["code"]) == (409, "E_SESSION_ENDED")
            assert "too late" in late.json()["error"]["message"]
        assert await decisions_noted(town) == 0


async def test_a_decision_that_its_session_did_not_live_to_hear_stays_on_record_with_how_it_ended(
    tmp_path: Path,
) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        async with town.runner() as runner:
            await runner.send(started(), asked("a1", 2))
            await runner.acked(2)
        assert (await decide(http, "allow")).status_code == 200
        async with town.runner([held(2)]) as runner:
            await runner.send(ended(3, finalState="FAILED"))
            await runner.acked(3)
            with trio.fail_after(5):
                while not (await decided(http))[0].get("outcome"):
                    await trio.sleep(0.02)
            (entry,) = await decided(http)
            assert (entry["decision"], entry["outcome"]["decision"]) == ("allow", "deny")
            assert entry["outcome"]["resolvedBy"] == "session end"


async def test_a_denial_may_stop_and_an_allow_may_not(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner() as runner:
        await runner.send(started(), asked("a1", 2))
        await runner.acked(2)
        assert (await decide(http, "allow", stop=True)).status_code == 400
        assert (await decide(http, "deny", stop=True)).status_code == 200
        assert (await runner.next("command"))["stop"] is True


# --- commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["stop", "pause", "resume"])
async def test_a_command_that_was_answered_reaches_its_runner_after_a_crash(tmp_path: Path, action: str) -> None:
    async with crashing(tmp_path) as (town, http):
        async with town.runner() as runner:
            await runner.send(started())
            await runner.acked(1)
        answer = await http.post(f"{SESSIONS}/s1/{action}")
        assert (answer.status_code, answer.json()["ok"]) == (200, True)
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        async with town.runner([held(1)]) as runner:
            command = await runner.next("command")
            assert (command["command"], command["sessionId"]) == (action, "s1")
            assert command["commandId"].startswith(f"{action}:s1:")
        async with town.runner([held(1)]) as runner:  # it did not answer: told again, under the same id
            assert (await runner.next("command"))["commandId"] == command["commandId"]
            await result(runner, command)
            await until_rows(town, [])
        async with town.runner([held(1)]) as runner:
            await runner.send(ended(2))
            await runner.acked(2)
            assert (await http.get(f"{SESSIONS}/s1")).json()["state"] == "COMPLETED"


async def until_rows(town: Town, wanted: list[str]) -> None:
    with trio.fail_after(5):
        while await open_rows(town) != wanted:
            await trio.sleep(0.02)


async def test_a_stop_is_one_command_however_often_it_is_said_and_a_failed_one_is_tried_anew(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner() as runner:
        await runner.send(started())
        await runner.acked(1)
        first = (await http.post(f"{SESSIONS}/s1/stop")).json()
        again = (await http.post(f"{SESSIONS}/s1/stop")).json()
        assert (first["commandId"], first["state"]) == (again["commandId"], "sent")
        await result(runner, await runner.next("command"), ok=False)
        await until_rows(town, [])
        anew = (await http.post(f"{SESSIONS}/s1/stop")).json()
        assert anew["commandId"] != first["commandId"]
        assert (await runner.next("command"))["commandId"] == anew["commandId"]


async def test_what_a_runner_refuses_is_not_answered_with_ok(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner() as runner:
        await runner.send(started())
        await runner.acked(1)

        async def refuse() -> None:
            await result(runner, await runner.next("command"), ok=False)

        bodies: dict[str, Any] = {"pause": None, "input": {"data": "x"}, "resize": {"cols": 80, "rows": 24}}
        for action, body in bodies.items():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(refuse)
                answer = await http.post(f"{SESSIONS}/s1/{action}", json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "E_RUNNER_REFUSED"), action


async def test_nothing_is_said_to_a_session_that_has_ended_and_its_promises_are_void(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        async with town.runner() as runner:
            await runner.send(started())
            await runner.acked(1)
        bodies = {"input": {"data": "x"}, "resize": {"cols": 80, "rows": 24}}
        assert (await http.post(f"{SESSIONS}/s1/stop")).status_code == 200
        assert await open_rows(town) == ["stop:s1:True"]
        async with town.runner([held(1)]) as runner:
            await runner.send(ended(2))
            await runner.acked(2)
            await until_rows(town, [])
            for action in ("stop", "pause", "resume", "input", "resize"):
                answer = await http.post(f"{SESSIONS}/s1/{action}", json=bodies.get(action))
                assert (answer.status_code, answer.json()["error"]["code"]) == (409, "E_SESSION_ENDED"), action
        assert await open_rows(town) == []


async def test_keys_for_a_detached_session_are_refused(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        async with town.runner() as runner:
            await runner.send(started())
            await runner.acked(1)
        with trio.fail_after(5):
            while (answer := await http.post(f"{SESSIONS}/s1/input", json={"data": "x"})).status_code == 200:
                await trio.sleep(0.02)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "E_RUNNER_OFFLINE")


async def test_a_start_that_its_runner_did_not_hear_is_told_again_after_a_crash(tmp_path: Path) -> None:
    body = {
        "villageId": "demo", "providerId": "command", "command": ["true"], "env": {"TOKEN": "hush"},
        "repoRef": {"provider": "local", "path": "/src/app"}, "task": {"title": "t", "goal": "g"},
    }  # fmt: skip
    async with crashing(tmp_path) as (town, http), town.runner() as runner, trio.open_nursery() as nursery:
        nursery.start_soon(post_and_ignore, http, body, {"idempotency-key": "k1"})
        first = await runner.next("command")
        nursery.cancel_scope.cancel()
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner() as runner:
        again = await runner.next("command")
        assert again == first
        session_id = first["config"]["sessionId"]
        assert (await http.get(f"{SESSIONS}/{session_id}")).json()["state"] == "CREATED"
        await result(runner, again)
        await until_rows(town, [])
        answer = await http.post(SESSIONS, json=body, headers={"idempotency-key": "k1"})
        assert (answer.status_code, answer.json()["sessionId"]) == (201, session_id)

        def stored(connection: Connection) -> str:
            return str(connection.execute(text("SELECT group_concat(body) FROM commands")).scalar())

        assert "hush" not in await town.service.database.read(stored)


async def post_and_ignore(http: httpx.AsyncClient, body: Any, headers: dict[str, str]) -> None:
    with suppress(httpx.HTTPError):
        await http.post(SESSIONS, json=body, headers=headers)


async def test_a_drain_is_told_when_its_runner_comes_and_not_when_people_think_better_of_it(tmp_path: Path) -> None:
    async with crashing(tmp_path) as (town, http):
        assert (await http.post("/api/runners/runner_local/drain")).status_code == 200
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        async with town.runner() as runner:
            assert (await runner.next("command"))["command"] == "drain"
        active = await http.put("/api/runners/runner_local/state", json={"state": "active"})
        assert active.status_code == 200
        assert await open_rows(town) == []
