"""An allow that is held: it stands at once, its runner gets it later, and until then it can be taken back."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.integration.service.test_promises import asked, crashing, decided, event, held, result, started, waiting
from tests.support.people import rest
from tests.support.service import ScriptedRunner, Town, open_town
from townwatch.app import resources
from townwatch.contracts.clock import epoch_ms
from townwatch.store import audit

ONE = "/api/runner/sessions/s1/approvals/a1"
LONG_MS, SHORT_MS = 60_000, 400


async def allow(http: httpx.AsyncClient, hold_ms: int) -> httpx.Response:
    return await http.post(ONE, json={"decision": "allow", "holdMs": hold_ms})


async def ask(runner: ScriptedRunner) -> None:
    await runner.send(started(), asked("a1", 2))
    await runner.acked(2)


async def hears_nothing(runner: ScriptedRunner, seconds: float) -> bool:
    with trio.move_on_after(seconds):
        await runner.next("command")
        return False
    return True


async def actions(town: Town) -> list[str]:
    entries = await town.service.database.read(audit.entries_after, 0, 1000, None)
    return [entry.action for entry in entries if entry.action.startswith("approval.")]


async def test_a_held_allow_stands_at_once_and_reaches_its_runner_after_the_hold(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner() as runner:
        await ask(runner)
        before = town.service.context.clock.now_ms()
        made = await allow(http, SHORT_MS)
        assert made.status_code == 200
        assert made.json()["releaseAt"] >= before + SHORT_MS
        assert await waiting(http) == []
        (entry,) = await decided(http)
        assert (entry["decision"], entry["releaseAt"]) == ("allow", made.json()["releaseAt"])
        assert (await http.post(ONE, json={"decision": "deny"})).status_code == 409
        command = await runner.next("command")
        assert town.service.context.clock.now_ms() >= made.json()["releaseAt"]
        assert (command["commandId"], command["decision"]) == ("approve:s1:a1", "allow")
        await result(runner, command)
        late = await http.post(f"{ONE}/take-back")
        assert (late.status_code, late.json()["error"]["code"]) == (409, "E_RELEASED")
        assert "releaseAt" not in (await decided(http))[0]


async def test_taken_back_it_waits_again_and_its_runner_never_hears_of_it(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner() as runner:
        await ask(runner)
        assert (await allow(http, LONG_MS)).status_code == 200
        assert (await http.post(f"{ONE}/take-back")).status_code == 200
        assert await waiting(http) == ["a1"]
        assert await decided(http) == []
        assert (await http.post(f"{ONE}/take-back")).status_code == 409
        assert await hears_nothing(runner, 0.3)
        assert (await http.post(ONE, json={"decision": "deny", "note": "no"})).status_code == 200
        command = await runner.next("command")
        assert (command["decision"], command["note"]) == ("deny", "no")
        assert await actions(town) == ["approval.decide", "approval.take_back", "approval.decide"]


async def test_after_a_crash_it_is_held_for_its_full_time_again(tmp_path: Path) -> None:
    async with crashing(tmp_path) as (town, http), town.runner() as runner:
        await ask(runner)
        first = (await allow(http, 2_000)).json()["releaseAt"]
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        again = (await decided(http))[0]["releaseAt"]
        assert again > first
        assert await waiting(http) == []
        async with town.runner([held(2)]) as runner:
            command = await runner.next("command")
            assert town.service.context.clock.now_ms() >= again
            assert command["decision"] == "allow"


async def test_after_a_crash_it_can_still_be_taken_back(tmp_path: Path) -> None:
    async with crashing(tmp_path) as (town, http), town.runner() as runner:
        await ask(runner)
        await allow(http, LONG_MS)
    async with open_town(tmp_path) as town, rest(town, town.token) as http:
        assert (await http.post(f"{ONE}/take-back")).status_code == 200
        assert await waiting(http) == ["a1"]
        async with town.runner([held(2)]) as runner:
            assert await hears_nothing(runner, 0.3)


async def test_answered_where_it_was_asked_the_held_allow_is_never_sent(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner() as runner:
        await ask(runner)
        await allow(http, SHORT_MS)
        await runner.send(event("APPROVAL_RESOLVED", 3, approvalId="a1", decision="deny", resolvedBy="terminal"))
        await runner.acked(3)
        assert await hears_nothing(runner, SHORT_MS / 1000 + 0.3)
        (entry,) = await decided(http)
        assert entry["outcome"]["decision"] == "deny"


async def test_a_hold_ends_before_the_deadline_does(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner() as runner:
        question: dict[str, Any] = asked("a1", 2)
        question["approval"]["timeoutAt"] = deadline = town.service.context.clock.now_ms() + 30_000
        await runner.send(started(), question)
        await runner.acked(2)
        made = await allow(http, LONG_MS)
        assert made.json()["releaseAt"] <= deadline - 1000


async def test_a_clock_that_is_set_back_holds_nothing_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner() as runner:
        await ask(runner)
        assert (await allow(http, 2 * SHORT_MS)).status_code == 200
        await trio.sleep(0.1)
        monkeypatch.setattr(resources, "epoch_ms", lambda: epoch_ms() - 3_600_000)
        with trio.fail_after(10):
            assert (await runner.next("command"))["decision"] == "allow"


async def test_a_denial_is_not_held(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as http, town.runner() as runner:
        await ask(runner)
        refused = await http.post(ONE, json={"decision": "deny", "holdMs": 5000})
        assert (refused.status_code, await waiting(http)) == (400, ["a1"])
