"""A decision is whole or not at all: whoever is cut off or killed in its middle, everybody is told how it ended."""

import json
from contextlib import closing
from pathlib import Path

import trio

from tests.integration.runner.conftest import Bench, Event, open_bench
from tests.integration.runner.test_sessions import ASK, asked
from townwatch.contracts.link import Command
from townwatch.runner.spool.spool import Spool


async def test_a_decision_whose_connection_is_cut_in_the_middle_is_carried_out(bench: Bench) -> None:
    session = bench.start("bash", "-c", f"{ASK} 'may I' && echo went on")
    (approval,) = await asked(bench, session)
    command = Command(
        command_id="c", command="approve", session_id=session.plan.session_id, approval_id=approval, decision="allow",
        resolved_by="ada",
    )  # fmt: skip
    with trio.CancelScope() as connection:
        connection.cancel()
        await bench.runner._handle(command)  # pyright: ignore[reportPrivateUsage]
    await bench.shows(session, "went on")
    await bench.over(session)
    (resolved,) = bench.events(session, "APPROVAL_RESOLVED")
    assert (resolved["decision"], resolved["resolvedBy"]) == ("allow", "ada")


async def test_what_a_killed_runner_left_undecided_is_denied_once_by_its_next_life(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "runner" / "main" / "spool.db")) as spool:
        spool.open_session("s", village="demo", provider="command", started_ms=1)
        ask = {"type": "APPROVAL_REQUESTED", "sessionId": "s", "orgId": "demo", "ts": 1}
        answer = {"type": "APPROVAL_RESOLVED", "sessionId": "s", "orgId": "demo", "ts": 1, "decision": "allow"}
        spool.append([("s", {**ask, "approval": {"approvalId": name}}) for name in ("ap_done", "ap_open")])
        spool.append([("s", {**answer, "approvalId": "ap_done"})])
    lives: list[list[Event]] = []
    for _ in range(2):
        async with open_bench(tmp_path, tmp_path) as bench:
            lives.append([json.loads(one.body) for one in bench.spool.unacked("s", 3, 100)])
    resolved, changed, ended = lives[0]
    assert lives[1] == []
    assert (changed["type"], ended["type"]) == ("SESSION_STATE_CHANGED", "SESSION_ENDED")
    said = (resolved["approvalId"], resolved["decision"], resolved["resolvedBy"], resolved["note"])
    assert said == ("ap_open", "deny", "session end", "runner process lost")
