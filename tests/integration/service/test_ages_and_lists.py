"""Ages come from the service's clock alone, and lists say what a page needs: through a whole service and real doors."""

import itertools
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support import golden
from tests.support.doorway import websocket_url
from tests.support.people import rest
from tests.support.service import ScriptedRunner, Town, open_town
from townwatch.runner import identity

HOURS = 3 * 3_600_000
SESSION = "s-lists"
AGENT = "agent-lists"
MINUTE = 60_000


def now() -> float:
    return time.time() * 1000


def event(kind: str, seq: int, *, off: float = 0, session: str = SESSION, **fields: Any) -> dict[str, Any]:
    """An event of a runner whose clock is `off` by so much."""
    return {"type": kind, "sessionId": session, "orgId": "demo", "ts": now() + off, "seq": seq, **fields}


def started(seq: int = 1, *, session: str = SESSION, agent: str = AGENT, off: float = 0) -> dict[str, Any]:
    repo = {"provider": "local", "path": "/src/app"}
    fields = {"providerId": "codex", "providerVersion": "1", "workspacePath": "/src/app", "repoRef": repo}
    return event("SESSION_STARTED", seq, off=off, session=session, agentId=agent, **fields)


def output(seq: int, text: str, *, off: float = 0) -> dict[str, Any]:
    return event("TERMINAL_CHUNK", seq, off=off, stream="stdout", data=text)


def tick(seq: int, *, off: float = 0) -> dict[str, Any]:
    return event("USAGE_TICK", seq, off=off, providerId="codex", units=golden.USAGE, intervalMs=30_000)


def ended(seq: int, *, session: str = SESSION, off: float = 0) -> dict[str, Any]:
    fields = {"finalState": "COMPLETED", "totalDurationMs": 5, "totalUsage": golden.USAGE, "exitCode": 0}
    return event("SESSION_ENDED", seq, session=session, off=off, **fields)


FINISHED: dict[str, Any] = {"exitCode": 1, "passed": 41, "failed": 1, "skipped": 2, "duration": 900}
DIFF: dict[str, Any] = {"filesChanged": 2, "linesAdded": 5, "linesRemoved": 1}
ALERT: dict[str, Any] = {
    "alertId": "x",
    "severity": "error",
    "category": "build",
    "title": "broken",
    "description": "it is",
}


@asynccontextmanager
async def runner_with_clock(
    town: Town, off: float, sessions: list[dict[str, Any]] | None = None
) -> AsyncGenerator[ScriptedRunner]:
    """A runner that says what its clock says, which is `off`."""
    known = identity.load(town.state)
    async with websocket_url(known.url, known.token) as socket:
        hello = {"type": "hello", "runnerId": known.runner_id, "name": "scripted", "version": "1"}
        await socket.send_message(json.dumps({**hello, "clock": now() + off, "sessions": sessions or []}))
        runner = ScriptedRunner(socket)
        runner.welcome = await runner.next("welcome")
        yield runner


async def get(town: Town, path: str, **query: Any) -> Any:
    async with rest(town, town.token) as http:
        answer = await http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


async def the_session(town: Town) -> dict[str, Any]:
    return await get(town, f"/api/runner/sessions/{SESSION}")


async def told(town: Town, seq: int) -> dict[str, Any]:
    """The session after this event."""
    board = town.service.context.board
    with trio.fail_after(10):
        while (known := board.session(SESSION)) is None or known.seq < seq:
            await trio.sleep(0.01)
    return await the_session(town)


@pytest.mark.parametrize("off", [-HOURS, HOURS, -72 * HOURS])
async def test_a_runner_hours_off_is_shown_right_and_its_offset_too(tmp_path: Path, off: float) -> None:
    async with open_town(tmp_path) as town, runner_with_clock(town, off) as runner:
        before = now()
        await runner.send(started(off=off), output(2, "one\r\n", off=off))
        shown = await told(town, 2)
        after = now()
        for name in ("activityAt", "lastEventAt", "startedAt", "stateAt"):
            assert before - 1 <= shown[name] <= after, (name, shown[name] - before)
        assert abs(shown["reportedAt"] - (before + off)) < MINUTE
        await runner.send(ended(3, off=off))
        assert before <= (await told(town, 3))["endedAt"] <= now()
        (agent,) = (await get(town, "/api/villages/demo/agents"))["items"]
        assert before - 1 <= agent["activityAt"] <= agent["lastEventAt"] <= agent["endedAt"] <= now()
        (machine,) = (await get(town, "/api/runners"))["items"]
        assert abs(machine["clockOffsetMs"] + off) < MINUTE
        await runner.say(json.dumps({"type": "heartbeat", "ts": now() + off + HOURS}))
        with trio.fail_after(10):
            while abs((await get(town, "/api/runners"))["items"][0]["clockOffsetMs"] + off + HOURS) >= MINUTE:
                await trio.sleep(0.01)


async def test_a_runner_that_does_not_tell_its_clock_has_no_offset_and_right_ages(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        before = now()
        await runner.send(started(off=-HOURS), output(2, "one\r\n", off=-HOURS))
        assert before - 1 <= (await told(town, 2))["activityAt"] <= now()
        (machine,) = (await get(town, "/api/runners"))["items"]
        assert machine["clockOffsetMs"] is None


async def test_what_a_runner_held_back_is_as_old_as_its_own_clock_says(tmp_path: Path) -> None:
    held = [{"sessionId": SESSION, "firstSeq": 1, "lastSeq": 2, "state": "RUNNING"}]
    async with open_town(tmp_path) as town, runner_with_clock(town, -HOURS, held) as runner:
        made = now() - 10 * MINUTE
        await runner.send(started(off=-HOURS - 10 * MINUTE), output(2, "one\r\n", off=-HOURS - 10 * MINUTE))
        shown = await told(town, 2)
        assert abs(shown["activityAt"] - made) < MINUTE, "ten minutes ago, when nobody heard it"
        before = now()
        await runner.send(output(3, "two\r\n", off=-HOURS))
        assert before - 1 <= (await told(town, 3))["activityAt"] <= now()


async def test_usage_is_no_sign_of_work_and_everything_else_that_an_agent_does_is_one(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(
            started(), tick(2), event("SESSION_STATE_CHANGED", 3, previousState="CREATED", newState="RUNNING")
        )
        resized = {**golden.FORWARDED, "type": "terminal_resized", "cols": 80, "rows": 24}
        await runner.send(event("PROVIDER_EVENT_FORWARDED", 4, providerEvent=resized))
        shown = await told(town, 4)
        assert (shown["activityAt"], sum(shown["activity"]), len(shown["activity"])) == (None, 0, 15)
        assert shown["lastEventAt"] is not None
        work = [
            output(5, "x"),
            event("FILE_TOUCHED", 6, path="a.py", reason="write"),
            event("TEST_RUN_STARTED", 7, command="pytest"),
            event("TEST_RUN_FINISHED", 8, **FINISHED),
            event("PROVIDER_EVENT_FORWARDED", 9, providerEvent=golden.FORWARDED),
            event("DIFF_SUMMARY", 10, files=[], **DIFF),
        ]
        for number, one in enumerate(work, start=1):
            before = now()
            await runner.send(one)
            shown = await told(town, one["seq"])
            assert shown["activityAt"] >= before - 1, one["type"]
            assert sum(shown["activity"]) == number, one["type"]
        stood = shown["activityAt"]
        await runner.send(tick(11))
        assert (await told(town, 11))["activityAt"] == stood


async def test_typing_is_a_sign_of_work(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(started())
        assert (await told(town, 1))["activityAt"] is None
        async with rest(town, town.token) as http, trio.open_nursery() as nursery:
            nursery.start_soon(runner.next, "command")
            before = now()
            answer = await http.post(f"/api/runner/sessions/{SESSION}/input", json={"data": "ls\n"})
            assert answer.status_code == 200, answer.text
        assert (await the_session(town))["activityAt"] >= before - 1


async def everything(runner: ScriptedRunner) -> None:
    """A session of which everything is to be listed, seven events. A snapshot has the first of them alone."""
    await runner.send(started(off=-HOURS))
    await runner.acked(1)
    await runner.send(
        event("TEST_RUN_STARTED", 2, off=-HOURS, command="pytest -q"),
        event("TEST_RUN_FINISHED", 3, off=-HOURS, **FINISHED),
        event("DIFF_SUMMARY", 4, off=-HOURS, files=[], **DIFF),
        event("ALERT_RAISED", 5, off=-HOURS, **ALERT),
        output(6, "old line\r\n\x1b[31mE  1 fai", off=-HOURS),
        output(7, "led\x1b[0m\r\n\x1b]52;c;" + "QUJD" * 2000 + "\x07\x1b[2K", off=-HOURS),
    )


KEPT = ("lastTest", "diff", "openAlerts", "lastLine", "activityAt", "lastEventAt", "startedAt", "stateAt", "reportedAt")


async def test_lists_say_the_same_whenever_one_looks_also_after_a_restart(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        before = now()
        await everything(runner)
        shown = await told(town, 7)
        assert shown["lastTest"]["verdict"] == "failed"
        assert {name: shown["lastTest"][name] for name in ("passed", "failed", "skipped")} == {
            "passed": 41,
            "failed": 1,
            "skipped": 2,
        }
        assert before - 1 <= shown["lastTest"]["at"] <= now()
        assert shown["diff"] == DIFF
        assert [one["alertId"] for one in shown["openAlerts"]] == ["x"]
        assert shown["lastLine"] == "E 1 failed"
        (agent,) = (await get(town, "/api/villages/demo/agents"))["items"]
        assert {name: agent[name] for name in KEPT} == {name: shown[name] for name in KEPT}
        (house,) = (await get(town, "/api/villages/demo/houses"))["items"]
        assert house["lastTest"] == shown["lastTest"]
        after = now()
    async with open_town(tmp_path) as town:
        again = await the_session(town)
        for name in ("lastTest", "diff", "openAlerts", "lastLine", "reportedAt"):
            mine, theirs = again[name], shown[name]
            if name == "lastTest":
                mine, theirs = {**mine, "at": 0}, {**theirs, "at": 0}
            assert mine == theirs, name
        for name in ("activityAt", "lastEventAt", "startedAt", "stateAt"):
            assert before - 1 <= again[name] <= after, f"{name}: what the log took is no younger for being read again"
        (house,) = (await get(town, "/api/villages/demo/houses"))["items"]
        assert house["lastTest"]["verdict"] == "failed"


async def test_an_alert_that_a_person_resolved_is_on_no_list_also_after_a_restart(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await everything(runner)
        await told(town, 7)
        async with rest(town, town.token) as http:
            assert (await http.post(f"/api/alerts/{SESSION}/x/resolve", json={})).status_code == 200
        assert (await the_session(town))["openAlerts"] == []
    async with open_town(tmp_path) as town:
        assert (await the_session(town))["openAlerts"] == []
        held = [{"sessionId": SESSION, "firstSeq": 8, "lastSeq": 8, "state": "RUNNING"}]
        async with town.runner(held) as runner:
            await runner.send(event("ALERT_RAISED", 8, **ALERT))
            assert [one["seq"] for one in (await told(town, 8))["openAlerts"]] == [8]


@pytest.mark.node
async def test_a_failure_is_unseen_until_somebody_who_drives_has_seen_it_also_after_a_restart(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await everything(runner)
        async with (
            rest(town, town.token) as http,
            town.client(joins=[["join_village", {"villageId": "demo"}]]) as client,
        ):
            path = f"/api/runner/sessions/{SESSION}/seen"
            assert (await http.put(path)).status_code == 409, "it has not failed"
            await runner.send({**ended(8), "finalState": "FAILED", "exitCode": 3})
            assert (await told(town, 8)).get("seenBy") is None
            assert (await http.put(path)).status_code == 200

            def seen(line: dict[str, Any]) -> bool:
                return line.get("event") == "house_changed" and "seenBy" in line["args"][0]["agents"][0]

            shown = (await client.until(seen))["args"][0]["agents"][0]["seenBy"]
            assert (await http.put(path)).status_code == 200, "seeing it again changes nothing"
            assert (await the_session(town))["seenBy"] == shown
            assert shown["name"]
    async with open_town(tmp_path) as town:
        assert (await the_session(town))["seenBy"] == shown
        async with rest(town, town.token) as http:
            assert (await http.delete(f"/api/runner/sessions/{SESSION}")).status_code == 200


async def test_a_running_test_has_no_verdict_and_the_roof_keeps_the_last_one(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await everything(runner)
        await runner.send(event("TEST_RUN_STARTED", 8, command="pytest -q"))
        assert (await told(town, 8))["lastTest"]["verdict"] == "running"
        (house,) = (await get(town, "/api/villages/demo/houses"))["items"]
        assert house["lastTest"]["verdict"] == "failed"
        await runner.send(ended(9))
        assert (await told(town, 9))["lastTest"]["verdict"] == "unknown", "its session ended before it did"


@pytest.mark.node
async def test_the_village_is_told_what_changed_as_the_lists_have_it(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        join = ["join_village", {"villageId": "demo", "output": "none"}]
        async with town.client(joins=[join]) as client:
            await everything(runner)

            def complete(line: dict[str, Any]) -> bool:
                return line.get("event") == "house_changed" and line["args"][0]["agents"][0]["lastEventSeq"] == 7

            changed = (await client.until(complete))["args"][0]
            shown = await the_session(town)
            (agent,) = changed["agents"]
            kept = [name for name in KEPT if name != "startedAt"]
            assert {name: agent[name] for name in kept} == {name: shown[name] for name in kept}
            assert changed["repoId"] == shown["repoId"]
            assert changed["lastTest"]["verdict"] == "failed"
            kinds = {line["args"][0]["type"] for line in client.lines if line.get("event") == "work_stream_event"}
            assert "test_finish" in kinds
            assert "output" not in kinds
            assert "QUJD" not in json.dumps(client.lines)


@pytest.mark.node
async def test_a_busy_house_is_told_of_once_a_second_at_most(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        joins = [["join_village", {"villageId": "demo"}]]
        async with town.client(joins=joins) as client:
            await runner.send(started())
            last = 120
            for seq in range(2, last + 1):
                await runner.send(output(seq, f"line {seq}\r\n"))
                await trio.sleep(0.02)

            def newest(line: dict[str, Any]) -> bool:
                return line.get("event") == "house_changed" and line["args"][0]["agents"][0]["lastEventSeq"] == last

            await client.until(newest)
            times = [line["args"][0]["ts"] for line in client.lines if line.get("event") == "house_changed"]
            assert all(later - earlier >= 1000 for earlier, later in itertools.pairwise(times))
            kinds = [line["args"][0]["type"] for line in client.lines if line.get("event") == "work_stream_event"]
            assert kinds.count("output") == last - 1, "full is the default"


@pytest.mark.node
async def test_without_output_the_past_is_told_without_it_too_and_an_agent_joined_is_told_whole(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await everything(runner)
        await told(town, 7)
        join = ["join_village", {"villageId": "demo", "output": "none", "since": {SESSION: 0}}]
        async with town.client(joins=[join, ["join_agent", {"agentId": AGENT}]]) as client:
            kinds = [line["args"][0]["type"] for line in client.lines if line.get("event") == "work_stream_event"]
            assert kinds and "output" not in kinds
            await runner.send(output(8, "for those who follow the agent\r\n"))
            said = await client.until(lambda line: line.get("event") == "work_stream_event")
            assert said["args"][0]["type"] == "output"
            assert (await client.emit("join_village", {"villageId": "demo", "output": "none"}))["ok"]
            assert (await client.emit("leave_agent", {"agentId": AGENT}))["ok"]
            await runner.send(output(9, "nothing\r\n"), event("FILE_TOUCHED", 10, path="a.py", reason="write"))
            said = await client.until(lambda line: line.get("event") == "work_stream_event")
            assert said["args"][0]["type"] == "file_edit"


async def test_a_live_session_behind_500_newer_ones_is_on_the_list_of_the_living(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(started())
        for number in range(260):
            name = f"s-{number}"
            await runner.send(started(session=name, agent=f"a-{number}"), ended(2, session=name))
            await runner.next("ack")
        with trio.fail_after(60):
            while town.service.context.published.get("s-259", 0) < 2:
                await trio.sleep(0.05)
        live = await get(town, "/api/runner/sessions", villageId="demo", live="true")
        assert [one["sessionId"] for one in live["items"]] == [SESSION]


@pytest.mark.parametrize("off", [-HOURS, HOURS])
async def test_feeds_alerts_and_approvals_of_a_runner_hours_off_are_dated_by_the_service(
    tmp_path: Path, off: float
) -> None:
    joins = [["join_village", {"villageId": "demo"}]]
    approval = {"approvalId": "a", "sessionId": SESSION, "category": "shell", "summary": "rm", "risk": "low"}
    async with open_town(tmp_path) as town, runner_with_clock(town, off) as runner, town.client(joins=joins) as client:
        before = now()
        request = {**approval, "requestedAt": now() + off, "timeoutAt": now() + off + HOURS}
        await runner.send(
            started(off=off),
            event("ALERT_RAISED", 2, off=off, **ALERT),
            event("APPROVAL_REQUESTED", 3, off=off, approval=request),
        )
        shown = await told(town, 3)
        (waiting,) = shown["pendingApprovals"]
        assert before - 1 <= waiting["requestedAt"] <= now()
        assert abs(waiting["timeoutAt"] - before - HOURS) < MINUTE
        (raised,) = shown["openAlerts"]
        assert before - 1 <= raised["raisedAt"] <= now()
        (alert,) = (await get(town, "/api/alerts"))["items"]
        assert before - 1 <= alert["raisedAt"] <= now()
        for stored in (await get(town, f"/api/runner/sessions/{SESSION}/events"))["items"]:
            assert before - 1 <= stored["ts"] <= now()
            assert abs(stored["reportedTs"] - before - off) < MINUTE
        line = (await client.until(lambda one: one.get("event") == "work_stream_event"))["args"][0]
        said = datetime.fromisoformat(line["timestamp"]).timestamp() * 1000
        assert before - 1 <= said <= now()
