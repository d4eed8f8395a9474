"""A runner speaks for itself: what it says of another's commands, sessions and villages changes nothing there."""

import json
from pathlib import Path

import pytest
import trio

from tests.integration.service.test_promises import open_rows
from tests.support.people import person, rest
from tests.support.service import Town, open_town
from tests.support.villages import VillageRunner, connect, enrol, make_village
from townwatch.app.health import damage

SESSIONS = "/api/runner/sessions"


async def said(runner: VillageRunner) -> None:
    """Until the service has heard what this runner said before."""
    await runner.say("no message")
    await runner.next("error")
    await trio.sleep(0.2)


async def losses(town: Town) -> dict[str, str]:
    """Village → what its people are told of lost events."""
    found = town.service.context.notices.items()
    return {village.partition("~")[0]: notices[0].description for village, notices in found}


@pytest.mark.parametrize("what", ["a stop", "a decision", "a decision that is held"])
async def test_the_result_of_a_command_counts_from_its_own_runner_alone(tmp_path: Path, what: str) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        await make_village(town, "acme")
        await make_village(town, "rival")
        ours, theirs = await enrol(town, "acme", "ours"), await enrol(town, "rival", "theirs")
        async with connect(town, ours) as runner:
            await runner.told(runner.started("s1"), runner.asks("s1", 2, "a1"))
        if what == "a stop":
            command_id = "stop:s1:True"
            assert (await http.post(f"{SESSIONS}/s1/stop", json={})).status_code == 200
        else:
            command_id = "approve:s1:a1"
            hold = {"holdMs": 60_000} if what == "a decision that is held" else {}
            made = await http.post(f"{SESSIONS}/s1/approvals/a1", json={"decision": "allow", **hold})
            assert made.status_code == 200
        assert await open_rows(town) == [command_id]
        async with connect(town, theirs) as rival:
            for ok in (True, False):
                error = {} if ok else {"error": {"code": "NOT_POSSIBLE", "message": "no"}}
                await rival.say(json.dumps({"type": "result", "commandId": command_id, "ok": ok, **error}))
            await said(rival)
            assert await open_rows(town) == [command_id]
        held = [{"sessionId": "s1", "firstSeq": 3, "lastSeq": 2, "state": "RUNNING"}]
        async with connect(town, ours, held) as runner:
            if what == "a decision that is held":
                await runner.say(json.dumps({"type": "result", "commandId": command_id, "ok": True}))
                await said(runner)  # not even its own, of what it was not told
                assert await open_rows(town) == [command_id]
                return
            command = await runner.next("command")
            assert command["commandId"] == command_id
            await runner.answer(command)
            with trio.fail_after(10):
                while await open_rows(town):
                    await trio.sleep(0.02)


async def test_sessions_that_a_hello_names_are_as_old_as_their_own_runner_says(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        for village in ("acme", "rival"):
            await make_village(town, village)
        ours, theirs = await enrol(town, "acme", "ours"), await enrol(town, "rival", "theirs")
        async with connect(town, ours) as runner:
            await runner.told(runner.started("s1"))
            far = {"sessionId": "s1", "firstSeq": 1, "lastSeq": 2**40, "state": "RUNNING"}
            async with connect(town, theirs, [far], clock=1_000_000) as rival:  # long ago
                await rival.told(rival.started("s2"))
                await runner.told(runner.chunk("s1", 2, "x\r\n"))
                shown = (await http.get(f"{SESSIONS}/s1")).json()
                assert abs(shown["activityAt"] - town.service.context.clock.now_ms()) < 60_000
        assert len(town.service.context.held_back) <= 1, "of runners, however many sessions they name"


async def test_what_a_runner_says_of_lost_events_is_for_its_own_villages_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damage, "OF_A_RUNNER", 5)
    async with open_town(tmp_path) as town:
        for village in ("acme", "rival"):
            await make_village(town, village)
        ours, theirs = await enrol(town, "acme", "ours"), await enrol(town, "rival", "theirs")
        beside = await enrol(town, "acme", "beside")
        async with connect(town, ours) as runner:
            await runner.told(runner.started("s1"))
        gone = [{"sessionId": f"gone {n}", "firstSeq": 9, "lastSeq": 9, "state": "RUNNING"} for n in range(50)]
        mine = {"sessionId": "s1", "firstSeq": 9, "lastSeq": 9, "state": "RUNNING"}
        for runner_of_another in (theirs, beside):
            async with connect(town, runner_of_another, [mine]):
                assert await losses(town) == {}
        async with connect(town, theirs, gone):
            told = await losses(town)
        assert set(told) == {"rival"}
        assert told["rival"].count("gone ") == 5
        viewer = await person(town, "ada", "viewer", "acme")
        async with rest(town, viewer) as http:
            text = (await http.get("/readyz")).text
            assert "events of 5 sessions are missing" in text
            assert "gone" not in text and theirs.runner_id not in text
