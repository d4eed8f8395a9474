"""An approvalId and an alertId are unique in their session only: two sessions of one runner use the same ones."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
import httpx
import pytest
import trio

from tests.support.people import rest
from tests.support.service import Town, open_town
from tests.support.villages import Joined, VillageRunner, connect, connect_ackless, enrol, shown
from townwatch.config.settings import Settings

BOTH = ("s1", "s2")


def field(settings: Settings) -> Settings:
    """With runners of the dialect without acknowledgements."""
    return attrs.evolve(settings, runners=attrs.evolve(settings.runners, ackless=True))


@asynccontextmanager
async def place(path: Path) -> AsyncGenerator[tuple[Town, Joined, httpx.AsyncClient]]:
    """A service that knows both kinds of runners, one runner, and the owner's REST client."""
    async with open_town(path, field) as town, rest(town, town.token) as http:
        yield town, await enrol(town, "demo", "r"), http


async def decide(http: httpx.AsyncClient, session: str, decision: str, approval: str = "a1") -> httpx.Response:
    return await http.post(f"/api/runner/sessions/{session}/approvals/{approval}", json={"decision": decision})


async def pending(http: httpx.AsyncClient) -> list[tuple[str, str]]:
    items = (await http.get("/api/approvals")).json()["items"]
    return sorted((one["sessionId"], one["approvalId"]) for one in items)


async def test_both_sessions_get_their_decision(tmp_path: Path) -> None:
    async with place(tmp_path) as (town, machine, http), connect(town, machine) as runner:
        for session in BOTH:
            await runner.told(runner.started(session), runner.asks(session, 2))
        assert await pending(http) == [("s1", "a1"), ("s2", "a1")]
        told: dict[str, tuple[str, str]] = {}
        ids: set[str] = set()
        for session, decision in zip(BOTH, ("allow", "deny"), strict=True):
            assert (await decide(http, session, decision)).json() == {"ok": True}
            command = await runner.next("command")
            told[command["sessionId"]] = (command["approvalId"], command["decision"])
            ids.add(command["commandId"])
        assert told == {"s1": ("a1", "allow"), "s2": ("a1", "deny")}
        assert len(ids) == 2  # a runner does a command id once
        assert await pending(http) == []  # what is decided waits no more, whatever its runner says
        assert (await decide(http, "s1", "deny")).status_code == 409
        assert (await decide(http, "s2", "allow")).status_code == 409
        for session, (_, decision) in told.items():
            resolved = runner.event("APPROVAL_RESOLVED", session, 3, approvalId="a1", decision=decision)
            await runner.told(resolved)


async def test_both_are_told_again_to_a_runner_that_comes_back(tmp_path: Path) -> None:
    async with place(tmp_path) as (town, machine, http):
        async with connect(town, machine) as runner:
            for session in BOTH:
                await runner.told(runner.started(session), runner.asks(session, 2))
        for session in BOTH:
            await decide(http, session, "allow")
        held = [{"sessionId": one, "firstSeq": 3, "lastSeq": 2, "state": "RUNNING"} for one in BOTH]
        async with connect(town, machine, held) as runner:
            told = {(await runner.next("command"))["sessionId"] for _ in BOTH}
            assert told == set(BOTH)


async def test_both_sessions_of_a_runner_without_acknowledgements_get_their_decision(tmp_path: Path) -> None:
    async with place(tmp_path) as (town, machine, http), connect_ackless(town, machine) as runner:
        for session in BOTH:
            await runner.say_each(runner.started(session), runner.asks(session, 2))
            await shown(town, session, 2)
        for session, decision in zip(BOTH, ("allow", "deny"), strict=True):
            assert (await decide(http, session, decision)).json() == {"ok": True}
            command = await runner.next("APPROVE")
            assert (command["sessionId"], command["approvalId"], command["decision"]) == (session, "a1", decision)


@pytest.mark.parametrize("odd", ["a:b", "a/b", "ä ö", "x" * 200, "%2e%2e", "a.b~c#d"])
async def test_odd_ids_find_their_approval(tmp_path: Path, odd: str) -> None:
    async with place(tmp_path) as (town, machine, http), connect(town, machine) as runner:
        session = odd if odd.isascii() and "/" not in odd else "s1"
        await runner.told(runner.started(session), runner.asks(session, 2, odd))
        path = f"/api/runner/sessions/{quoted(session)}/approvals/{quoted(odd)}"
        assert (await http.post(path, json={"decision": "allow"})).json() == {"ok": True}
        command = await runner.next("command")
        assert (command["sessionId"], command["approvalId"]) == (session, odd)
        assert len(command["commandId"]) <= 200


def quoted(text: str) -> str:

    return quote(text, safe="")


async def test_the_banner_hangs_until_no_session_waits(tmp_path: Path) -> None:
    """In one house: a session's answer, or its end, does not take another's approval down."""

    async def banner(http: httpx.AsyncClient) -> Any:
        (house,) = (await http.get("/api/villages/demo/houses")).json()["items"]
        return house["indicators"]["banner"].get("contextIds")

    async with place(tmp_path) as (town, machine, http), connect(town, machine) as runner:
        for session in (*BOTH, "s3"):
            await runner.told(runner.started(session), runner.asks(session, 2))
            await shown(town, session, 2)
        assert await banner(http) == ["s1:a1", "s2:a1", "s3:a1"]
        await runner.told(runner.event("APPROVAL_RESOLVED", "s1", 3, approvalId="a1", decision="allow"))
        await shown(town, "s1", 3)
        assert await banner(http) == ["s2:a1", "s3:a1"]
        await runner.told(ended(runner, "s2", 3))
        await shown(town, "s2", 3)
        assert await banner(http) == ["s3:a1"]
        village = town.service.context.directory.villages["demo"]
        village.exit(RuntimeError("killed by the test"))
        with trio.fail_after(10):  # one that was restarted knows what waits, of every session in the house
            while await banner(http) != ["s3:a1"]:
                await trio.sleep(0.01)


def ended(runner: VillageRunner, session: str, seq: int) -> dict[str, Any]:
    names = ("agentSeconds", "terminalKb", "filesTouched", "commandsRun", "approvalsRequested")
    usage = dict.fromkeys(names, 0)
    return runner.event("SESSION_ENDED", session, seq, finalState="COMPLETED", totalDurationMs=1, totalUsage=usage)


def alert(runner: VillageRunner, session: str, seq: int, severity: str) -> dict[str, Any]:
    fields = {"alertId": "lint", "severity": severity, "category": "build", "title": f"of {session}"}
    return runner.event("ALERT_RAISED", session, seq, description="", **fields)


@pytest.mark.node
async def test_a_bug_bot_goes_home_with_its_own_alert_alone(tmp_path: Path) -> None:
    async with (
        place(tmp_path) as (town, machine, _),
        connect(town, machine) as runner,
        town.client(joins=[["join_village", {"villageId": "demo"}]]) as client,
    ):
        for session in BOTH:
            await runner.told(runner.started(session), alert(runner, session, 2, "error"))
            spawned = await client.until(lambda line: line.get("event") == "bug_bot_spawn")
            assert spawned["args"][0] == {"id": "lint", "sessionId": session}
        await runner.told(alert(runner, "s1", 3, "info"))
        resolved = await client.until(lambda line: line.get("event") == "bug_bot_resolved")
        assert resolved["args"][0] == {"id": "lint", "sessionId": "s1"}
        again = await client.until(lambda line: line.get("event", "").startswith("bug_bot"))
        assert (again["event"], again["args"][0]) == ("bug_bot_spawn", {"id": "lint", "sessionId": "s2"})
        await runner.told(alert(runner, "s2", 3, "info"))
        resolved = await client.until(lambda line: line.get("event", "").startswith("bug_bot"))
        assert (resolved["event"], resolved["args"][0]["sessionId"]) == ("bug_bot_resolved", "s2")


async def test_an_alert_is_resolved_within_its_session_and_stays_so_over_a_restart(tmp_path: Path) -> None:
    async def alerts(http: httpx.AsyncClient, state: str = "open") -> list[tuple[str, str | None]]:
        items = (await http.get(f"/api/alerts?state={state}")).json()["items"]
        return [(one["sessionId"], one["resolvedBy"]) for one in items]

    async with place(tmp_path) as (town, machine, http), connect(town, machine) as runner:
        for session in BOTH:
            await runner.told(runner.started(session), alert(runner, session, 2, "error"))
            await shown(town, session, 2)
        assert await alerts(http) == [("s1", None), ("s2", None)]
        assert (await http.post("/api/alerts/s1/lint/resolve")).json() == {"ok": True}
        assert (await http.post("/api/alerts/s1/lint/resolve")).json() == {"ok": True}
        assert (await http.post("/api/alerts/s1/none/resolve")).status_code == 404
        assert (await http.post("/api/alerts/none/lint/resolve")).status_code == 404
        assert await alerts(http) == [("s2", None)]
    async with open_town(tmp_path, field) as town, rest(town, town.token) as http:
        assert await alerts(http) == [("s2", None)]
        ((session, by),) = await alerts(http, "resolved")
        assert (session, bool(by)) == ("s1", True)
        held = [{"sessionId": one, "firstSeq": 3, "lastSeq": 2, "state": "RUNNING"} for one in BOTH]
        async with connect(town, machine, held) as runner:
            await runner.told(alert(runner, "s1", 3, "critical"))
            await shown(town, "s1", 3)
            assert await alerts(http) == [("s2", None), ("s1", None)]  # raised again, it is open again
