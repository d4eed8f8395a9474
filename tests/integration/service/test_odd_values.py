"""An odd value never drops what changes what a person must do; what is refused is named back and counted.

Both dialects of runners: v1, and the one without acknowledgements, whose runners are never answered.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

from tests.support.people import rest
from tests.support.service import Town, open_town
from tests.support.villages import VillageRunner, connect, connect_ackless, enrol, shown
from townwatch.config.settings import Settings
from townwatch.contracts.events import GREATEST_OF_RUNNERS

DIALECTS = ("v1", "ackless")


def field(settings: Settings) -> Settings:
    """With runners of the dialect without acknowledgements."""
    return attrs.evolve(settings, runners=attrs.evolve(settings.runners, ackless=True))


@asynccontextmanager
async def place(path: Path, dialect: str) -> AsyncGenerator[tuple[Town, VillageRunner, httpx.AsyncClient]]:
    """A service and a runner of this dialect with a session `s1`."""
    async with open_town(path, field) as town, rest(town, town.token) as http:
        machine = await enrol(town, "demo", "r")
        async with (connect if dialect == "v1" else connect_ackless)(town, machine) as runner:
            await say(runner, dialect, runner.started("s1"))
            await shown(town, "s1", 1)
            yield town, runner, http


async def say(runner: VillageRunner, dialect: str, *events: dict[str, Any]) -> None:
    await (runner.send(*events) if dialect == "v1" else runner.say_each(*events))


ODD_APPROVALS: dict[str, dict[str, Any]] = {
    "a summary of 100 000 characters": {"summary": "x" * 100_000},
    "a summary of 2 000 000 characters": {"summary": "x" * 2_000_000},
    "half a character": {"summary": "cut \ud83d"},
    "an id of 300 characters": {"approvalId": "i" * 300},
    "an id of half a character": {"approvalId": "a\ud83d"},
    "no time limit before the year 10000": {"timeoutAt": 10**15},
    "a time limit before 1970": {"timeoutAt": -1},
    "asked in the year 10000": {"requestedAt": 253_402_300_800_000},
    "a category that is none": {"category": "filesystem"},
    "a risk that is none": {"risk": "huge"},
    "a huge context": {"context": {"diff": "+" * 200_000}},
    "a note that is none": {"note": 5},
    "another session": {"sessionId": "s2"},
}


KEPT = {"an id of 300 characters"}
"""Odd, and shown as it is."""


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_approval_with_an_odd_value_is_listed_and_can_be_decided(tmp_path: Path, dialect: str) -> None:
    async with place(tmp_path, dialect) as (town, runner, http):
        for number, (name, odd) in enumerate(ODD_APPROVALS.items(), 1):
            asked = runner.asks("s1", 2 * number, f"ap{number}", timeoutAt=9_999_999_999_999)
            asked["approval"].update(odd)
            await say(runner, dialect, asked)
            await shown(town, "s1", 2 * number)
            (one,) = (await http.get("/api/approvals")).json()["items"]
            assert one["sessionId"] == "s1", name
            assert len(json.dumps(one)) < 40_000, name
            assert one.get("truncated") is (None if name in KEPT else True), name
            path = f"/api/runner/sessions/s1/approvals/{one['approvalId']}"
            assert (await http.post(path, json={"decision": "allow"})).json() == {"ok": True}, name
            command = await runner.next("command" if dialect == "v1" else "APPROVE")
            assert (command["approvalId"], command["decision"]) == (one["approvalId"], "allow"), name
            answer = {"approvalId": one["approvalId"], "decision": "allow"}
            await say(runner, dialect, runner.event("APPROVAL_RESOLVED", "s1", 2 * number + 1, **answer))
            await shown(town, "s1", 2 * number + 1)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("ts", [-1, 253_402_300_800_000, 1e300])
async def test_an_end_in_an_absurd_year_is_an_end(tmp_path: Path, dialect: str, ts: float) -> None:
    names = ("agentSeconds", "terminalKb", "filesTouched", "commandsRun", "approvalsRequested")
    async with place(tmp_path, dialect) as (town, runner, http):
        usage = dict.fromkeys(names, 0)
        ended = runner.event("SESSION_ENDED", "s1", 2, finalState="STOPPING", totalDurationMs=-5, totalUsage=usage)
        await say(runner, dialect, {**ended, "ts": ts, "exitCode": 0})
        await shown(town, "s1", 2)
        assert (await http.get("/api/runner/sessions/s1")).json()["state"] == "COMPLETED"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_output_with_half_a_character_is_shown_and_the_link_stays(tmp_path: Path, dialect: str) -> None:
    async with place(tmp_path, dialect) as (town, runner, http):
        text = "runner_heartbeat x\ud83dy"  # the word that heartbeats of the other dialect are known by
        await say(runner, dialect, runner.chunk("s1", 2, text), runner.chunk("s1", 3, "next"))
        await shown(town, "s1", 3)
        events = (await http.get("/api/runner/sessions/s1/events")).json()["items"]
        assert [one.get("data") for one in events[1:]] == ["runner_heartbeat x\ufffdy", "next"]
        assert [one.get("truncated") for one in events[1:]] == [True, None]


async def test_what_is_refused_is_named_back_and_counted(tmp_path: Path) -> None:
    """To v1 by a nack; the runners that are never answered are counted and logged."""
    for dialect in DIALECTS:
        (tmp_path / dialect).mkdir()
        async with place(tmp_path / dialect, dialect) as (town, runner, _):
            bad = runner.event("APPROVAL_REQUESTED", "s1", 2, approval={"approvalId": "a1"})
            worse = {**runner.chunk("s1", 3, "x"), "type": []}
            await say(runner, dialect, bad, worse, runner.chunk("s1", 3, "goes on"))
            if dialect == "v1":
                nack = await runner.next("nack")
                assert (nack["sessionId"], nack["seq"], nack["code"]) == ("s1", 2, "E_BAD_PAYLOAD")
                assert "approval." in nack["message"]
            await shown(town, "s1", 3)
            async with rest(town, None) as http:
                counted = (await http.get("/metrics")).text
            assert 'townwatch_event_nacks_total{code="E_BAD_PAYLOAD"} 2.0' in counted


async def test_no_number_is_so_great_that_the_service_cannot_end_the_session(tmp_path: Path) -> None:
    """Its own event takes the number behind the greatest; one that does not fit was lost with the next restart."""
    async with place(tmp_path, "v1") as (town, runner, http):
        now = {"ts": 1_764_000_000_000}
        await runner.send({**runner.chunk("s1", 2**53 - 1, "the last"), **now})
        assert (await runner.next("nack"))["code"] == "E_BAD_PAYLOAD"
        await runner.told({**runner.chunk("s1", GREATEST_OF_RUNNERS, "the last"), **now})
        await shown(town, "s1", GREATEST_OF_RUNNERS)
        assert (await http.post("/api/runner/sessions/s1/end", json={"reason": "lost"})).status_code == 200
        answer = await http.get("/api/runner/sessions/s1/events", params={"after": GREATEST_OF_RUNNERS})
        assert answer.json()["items"][-1]["type"] == "SESSION_ENDED"
