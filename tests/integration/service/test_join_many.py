"""`join`: a village, agents and repositories of it in one call, which counts as one join (CONTRACT section 3)."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import attrs

from tests.support.people import connected, person
from tests.support.service import open_town
from tests.support.villages import connect, enrol, make_village, shown
from townwatch.config.settings import LimitsSettings, Settings
from townwatch.contracts.ui import repo_id

HOUSE = repo_id("demo", "/src/app")
NOT_HERE = "E_FORBIDDEN"


def three_joins(settings: Settings) -> Settings:
    return attrs.evolve(settings, limits=attrs.evolve(LimitsSettings(), joins=3, joins_seconds=60))


def events_of(heard: list[Any]) -> list[tuple[str, Any]]:
    return [tuple(json.loads(text[2:])[:2]) for text in heard if text.startswith("42[")]


async def test_many_rooms_are_one_join_and_each_says_its_result(tmp_path: Path) -> None:
    async with open_town(tmp_path, three_joins) as town:
        machine = await enrol(town, "demo", "machine")
        viewer = await person(town, "ada", "viewer")
        async with connect(town, machine) as runner, connected(town, "socketio", viewer) as live:
            await runner.told(runner.started("s1", "a1"), runner.chunk("s1", 2, "one"))
            await runner.told(runner.started("s2", "a2"))
            await shown(town, "s2", 1)
            wanted = {"villageId": "demo", "agents": ["a1", "nobody", "a1", "a2"], "repos": [HOUSE, "no_house"]}
            ack = await live.emit("join", wanted)
            assert (ack["ok"], ack["room"], "positions" in ack) == (True, "village:demo", False)
            assert {name: (one["ok"], one.get("room")) for name, one in ack["agents"].items()} == {
                "a1": (True, "agent:a1"), "nobody": (False, None), "a2": (True, "agent:a2")
            }  # fmt: skip
            assert {name: (one["ok"], one.get("room")) for name, one in ack["repos"].items()} == {
                HOUSE: (True, f"repo:{HOUSE}"), "no_house": (False, None)
            }  # fmt: skip
            assert ack["agents"]["nobody"]["error"]["code"] == ack["repos"]["no_house"]["error"]["code"] == NOT_HERE
            assert "house.activity" in [name for name, _ in events_of(live.heard)]
            for _ in range(2):
                assert (await live.emit("join", {"villageId": "demo"}))["ok"]
            refused = await live.emit("join", {"villageId": "demo"})
            assert refused["error"]["code"] == "E_RATE_LIMIT", refused


async def test_what_was_missed_comes_once_whatever_rooms_it_belongs_to(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        machine = await enrol(town, "demo", "machine")
        usage = {
            "providerId": "codex", "intervalMs": 30_000,
            "units": dict.fromkeys(
                ("agentSeconds", "terminalKb", "filesTouched", "commandsRun", "approvalsRequested"), 1
            ),
        }  # fmt: skip
        async with connect(town, machine) as runner, connected(town, "socketio", town.token) as live:
            await runner.told(
                runner.started("s1", "a1"), runner.chunk("s1", 2, "first"), runner.event("USAGE_TICK", "s1", 3, **usage)
            )
            await shown(town, "s1", 3)
            for output in ("full", "none"):
                live.heard.clear()
                wanted = {"villageId": "demo", "agents": ["a1"], "since": {"s1": 0}, "output": output}
                ack = await live.emit("join", wanted)
                assert ack["positions"]["s1"] == ack["agents"]["a1"]["positions"]["s1"] == 3
                heard = events_of(live.heard)
                streamed = [one["type"] for name, one in heard if name == "work_stream_event"]
                assert Counter(streamed) == {"session_start": 1, "output": 1}, output
                assert [name for name, _ in heard].count("agent_spawn") == 1
                assert [name for name, _ in heard].count("usage_tick") == 1
            await runner.told(runner.chunk("s1", 4, "live"))
            await shown(town, "s1", 4)
            live.heard.clear()
            await live.emit("leave_repo", {"repoId": "none"})  # what came before it is here now
            streamed = [one["payload"]["data"] for name, one in events_of(live.heard) if name == "work_stream_event"]
            assert streamed == ["live"]  # by the agent's room


async def test_a_village_that_one_may_not_join_is_refused_whole(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town:
        await make_village(town, "secret")
        machine = await enrol(town, "secret", "machine")
        viewer = await person(town, "ada", "viewer")
        async with connect(town, machine) as runner, connected(town, "socketio", viewer) as live:
            await runner.told(runner.started("s1", "a1"))
            await shown(town, "s1", 1)
            hidden = await live.emit("join", {"villageId": "secret", "agents": ["a1"]})
            assert hidden == await live.emit("join", {"villageId": "nowhere"})
            assert hidden["error"]["code"] == NOT_HERE and set(hidden) == {"ok", "error"}
            through = await live.emit("join", {"villageId": "demo", "agents": ["a1"]})
            assert through["agents"]["a1"]["error"]["code"] == NOT_HERE
            assert "s1" not in json.dumps(live.heard)


async def test_more_rooms_than_a_call_may_name_are_refused_by_name(tmp_path: Path) -> None:
    async with open_town(tmp_path) as town, connected(town, "socketio", town.token) as live:
        refused = await live.emit("join", {"villageId": "demo", "agents": [f"a{n}" for n in range(101)]})
        assert refused["error"]["code"] == "E_BAD_PAYLOAD" and "agents" in refused["error"]["message"]
