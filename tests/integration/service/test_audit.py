"""Everything that people change leaves an entry: who, what, from where, on which session. Complete by construction."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.support.cast import event
from tests.support.people import connected, person, rest
from tests.support.service import Town, open_town
from townwatch.contracts.joins import PAYLOADS
from townwatch.transports.http.app import OPERATIONS

SILENT = {
    "beat_runner": "a runner says that it is there, twice a minute",
    "report_events": "what a bridge saw becomes events of the log, as a runner's does",
    "report_event": "what a bridge saw becomes an event of the log, as a runner's does",
    "look_at_link": "what a link in a call is about is shown, and nothing changes",
    "look_at_clip": "a part of a recording that was shared is shown, and nothing changes",
    "try_policy": "rules are tried on what was asked before, and change nothing",
}
WATCHING = {f"{verb}_{room}" for verb in ("join", "leave") for room in ("village", "agent", "repo")} | {"join"}
"""Events that change nothing but what oneself is shown."""
STARTED = event("SESSION_STARTED", 1, providerId="command", providerVersion="1", workspacePath="/w")


def test_every_operation_that_writes_has_a_name_in_the_audit_log():
    silent = {one.name for one in OPERATIONS if one.writes and one.audit is None}
    assert silent == set(SILENT)
    assert not {one.name for one in OPERATIONS if one.audit is not None and not one.writes}


async def entries(town: Town, **wanted: Any) -> list[dict[str, Any]]:
    async with rest(town, town.token) as admin:
        lines = (await admin.get("/api/audit/export")).text.splitlines()
    found = [json.loads(line) for line in lines]
    return [one for one in found if all(one[name] == value for name, value in wanted.items())]


async def written(town: Town, **wanted: Any) -> dict[str, Any]:
    """The one entry that comes."""
    with trio.fail_after(5):
        while not (found := await entries(town, **wanted)):
            await trio.sleep(0.05)
    (one,) = found
    return one


SENT = {
    "terminal_input": {"sessionId": "s1", "data": "ls -l"},
    "terminal_resize": {"sessionId": "s1", "cols": 9, "rows": 8},
    "keyboard": {"sessionId": "s1", "action": "take"},
}
ACTIONS = {
    "terminal_input": "session.input",
    "terminal_resize": "session.resize",
    "keyboard": "session.keyboard.take",
}


@pytest.mark.parametrize("name", sorted(set(PAYLOADS) - WATCHING))
async def test_every_event_that_drives_leaves_one(tmp_path: Path, name: str) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(STARTED)
        await runner.acked(1)
        ada = await person(town, "ada", "operator")
        action = ACTIONS[name]
        async with connected(town, "socketio", ada) as live, connected(town, "control", ada) as control:
            assert (await live.emit(name, SENT[name]))["ok"]
            one = await written(town, action=action)
            assert (one["userId"], one["sessionId"], one["villageId"], one["address"]) == (
                "user_ada",
                "s1",
                "demo",
                "127.0.0.1",
            )
            assert one["kind"] == "api_token" and one["tokenId"]
            assert "ls -l" not in str(one)
            if name == "keyboard":
                return  # the control plane has none
            await control.say("subscribe", sessionId="s1")
            data: Any = "ls -l" if name == "terminal_input" else {"cols": 9, "rows": 8}
            said = {"type": "terminal", "sessionId": "s1", "action": action.partition(".")[2], "data": data}
            await control.socket.send_message(json.dumps(said))
            with trio.fail_after(5):
                while len(await entries(town, action=action)) < 2:
                    await trio.sleep(0.05)


async def test_one_hand_that_types_on_is_one_entry_and_every_character_counts(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(STARTED)
        await runner.acked(1)
        ada = await person(town, "ada", "operator")
        async with connected(town, "socketio", ada) as live:
            for _ in range(50):
                assert (await live.emit("terminal_input", {"sessionId": "s1", "data": "ab"}))["ok"]
        await town.service.context.audit.write()  # type: ignore[attr-defined]
        found = await entries(town, action="session.input")
        assert sum(one["details"]["characters"] for one in found) == 100
        assert len(found) < 25


async def test_the_last_keys_before_the_end_of_the_service_are_in_it(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, town.runner() as runner:
        await runner.send(STARTED)
        await runner.acked(1)
        async with connected(town, "socketio", await person(town, "ada", "operator")) as live:
            assert (await live.emit("terminal_input", {"sessionId": "s1", "data": "x"}))["ok"]
    async with open_town(tmp_path) as town:
        assert len(await entries(town, action="session.input")) == 1


async def test_an_export_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, rest(town, town.token) as admin:
        for number in range(5):
            made = await admin.post("/api/villages", json={"villageId": f"v{number}", "name": "V"})
            assert made.status_code == 201
        first = await admin.get("/api/audit/export?limit=4")
        assert first.headers["content-type"].startswith("application/x-ndjson")
        rest_of_it = await admin.get(f"/api/audit/export?after={first.headers['x-next-after']}")
        assert "x-next-after" not in rest_of_it.headers
        lines = [json.loads(line) for line in (first.text + rest_of_it.text).splitlines()]
        assert [one["villageId"] for one in lines if one["action"] == "village.create"] == [f"v{n}" for n in range(5)]
        own = (await admin.get("/api/villages/v3/audit/export")).text.splitlines()
        assert [json.loads(line)["villageId"] for line in own] == ["v3"]
