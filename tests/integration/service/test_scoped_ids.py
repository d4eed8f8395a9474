"""Ids that runners choose are unique in their scope only: two villages, two runners, one service, the official client.

acme and rival have a runner each. Both runners give their agents, houses, approvals and alerts the same ids.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.support.people import person, rest
from tests.support.service import NodeClient, Town, open_town
from tests.support.villages import Joined, VillageRunner, connect, enrol, key_of, make_village, shown
from townwatch.contracts.ui import repo_id

AGENT = "agent-y"


@attrs.frozen(kw_only=True)
class Place:
    """Two villages of one service. `alice` is a member of acme, `mallory` of rival, `both` of both."""

    town: Town
    acme: VillageRunner
    rival: VillageRunner
    rivals_machine: Joined
    alice: str
    mallory: str
    both: str


@asynccontextmanager
async def two_villages(path: Path, **rival: Any) -> AsyncGenerator[Place]:
    """Both runners are connected and have a session of the agent `agent-y`, the rival's later."""
    async with open_town(path) as town:
        for name in ("acme", "rival"):
            await make_village(town, name, **(rival if name == "rival" else {}))
        machines = [await enrol(town, name, f"machine of {name}") for name in ("acme", "rival")]
        tokens = {name: await person(town, name, role, village) for name, role, village in PEOPLE}
        async with rest(town, town.token) as http:
            member = await http.put("/api/villages/rival/members/user_both", json={"role": "operator"})
            assert member.status_code == 200, member.text
        async with connect(town, machines[0]) as acme, connect(town, machines[1]) as rivals:
            await acme.told(acme.started("s-acme", AGENT), acme.chunk("s-acme", 2, "ALICE SECRET"))
            await rivals.told(rivals.started("s-rival", AGENT), rivals.chunk("s-rival", 2, "INJECTED"))
            await shown(town, "s-acme", 2)
            await shown(town, "s-rival", 2)
            yield Place(town=town, acme=acme, rival=rivals, rivals_machine=machines[1], **tokens)


PEOPLE = (("alice", "viewer", "acme"), ("mallory", "owner", "rival"), ("both", "operator", "acme"))


def text_of(client: NodeClient) -> str:
    """Everything that the client was sent."""
    return json.dumps([line for line in client.lines if "event" in line])


async def heard_the_last(client: NodeClient) -> None:
    """Wait until what was sent before is there: the answer to this follows it."""
    await client.emit("leave_village", {"villageId": "nowhere"})


@pytest.mark.node
async def test_an_event_of_one_village_reaches_no_viewer_of_another(tmp_path: Path) -> None:
    """The attack: a session with another village's agentId, said later than the true one."""
    join = [["join_agent", {"agentId": AGENT, "terminal": True}]]
    async with (
        two_villages(tmp_path) as place,
        place.town.client(token=place.alice, joins=[["join_village", {"villageId": "acme"}], *join]) as alice,
        place.town.client(token=place.mallory, joins=[["join_village", {"villageId": "rival"}], *join]) as mallory,
    ):
        assert "ALICE SECRET" in text_of(alice)
        assert "INJECTED" in text_of(mallory)
        await place.acme.told(place.acme.chunk("s-acme", 3, "ALICE SECRET AGAIN"))
        await place.rival.told(place.rival.chunk("s-rival", 3, "INJECTED AGAIN"), place.rival.asks("s-rival", 4))
        await shown(place.town, "s-acme", 3)
        await shown(place.town, "s-rival", 4)
        for client in (alice, mallory):
            await heard_the_last(client)
        assert "ALICE SECRET AGAIN" in text_of(alice)
        assert "INJECTED" not in text_of(alice)
        assert "s-rival" not in text_of(alice)
        assert "INJECTED AGAIN" in text_of(mallory)
        assert "ALICE SECRET" not in text_of(mallory)
        assert "s-acme" not in text_of(mallory)


@pytest.mark.node
async def test_a_join_without_a_village_is_resolved_among_what_the_person_may_see(tmp_path: Path) -> None:
    join = ["join_agent", {"agentId": AGENT, "terminal": True}]
    async with two_villages(tmp_path) as place:
        for token, mine, foreign in ((place.alice, "ALICE", "INJECTED"), (place.mallory, "INJECTED", "ALICE")):
            async with place.town.client(token=token, joins=[join]) as client:
                ack = next(line["ack"] for line in client.lines if "ack" in line)
                assert ack == {"ok": True, "room": f"agent:{AGENT}"}
                assert mine in text_of(client)
                assert foreign not in text_of(client)


@pytest.mark.node
async def test_who_may_see_both_gets_the_one_that_is_named_joined_or_older(tmp_path: Path) -> None:
    cases: tuple[tuple[list[Any], dict[str, Any], str, str], ...] = (
        ([], {"villageId": "rival"}, "INJECTED", "ALICE"),
        ([], {"villageId": "acme"}, "ALICE", "INJECTED"),
        ([["join_village", {"villageId": "rival", "since": {"s-rival": 2}}]], {}, "INJECTED", "ALICE"),
        ([["join_village", {"villageId": "acme", "since": {"s-acme": 2}}]], {}, "ALICE", "INJECTED"),
        ([], {}, "ALICE", "INJECTED"),
    )
    async with two_villages(tmp_path) as place:
        for before, named, mine, foreign in cases:
            joins = [*before, ["join_agent", {"agentId": AGENT, "terminal": True, **named}]]
            async with place.town.client(token=place.both, joins=joins) as client:
                assert mine in text_of(client), (before, named)
                assert foreign not in text_of(client), (before, named)


@pytest.mark.node
async def test_a_public_village_does_not_take_over_an_agent_of_a_closed_one(tmp_path: Path) -> None:
    """Everybody may read rival; its agent has the id of acme's, and is younger."""
    async with two_villages(tmp_path, public=True) as place:
        join = ["join_agent", {"agentId": AGENT, "terminal": True}]
        async with place.town.client(token=place.alice, joins=[join]) as client:
            assert "ALICE SECRET" in text_of(client)
            assert "INJECTED" not in text_of(client)


@pytest.mark.node
async def test_a_named_village_that_one_may_not_see_is_answered_like_one_that_is_not_there(tmp_path: Path) -> None:
    async with two_villages(tmp_path) as place, place.town.client(token=place.mallory) as client:
        answers = [
            await client.emit("join_agent", {"agentId": AGENT, "villageId": village, "terminal": True})
            for village in ("acme", "nowhere")
        ]
        assert answers[0]["error"]["code"] == "E_FORBIDDEN"
        assert answers[0] == answers[1]
        house = repo_id(await key_of(place.town, "acme"), "/src/app")
        assert (await client.emit("join_repo", {"repoId": house}))["error"]["code"] == "E_FORBIDDEN"
        assert (await client.emit("join_repo", {"repoId": house, "villageId": "rival"}))["ok"] is False


@pytest.mark.node
async def test_leaving_means_the_named_village_or_all_of_them(tmp_path: Path) -> None:
    async with two_villages(tmp_path) as place:
        joins = [["join_agent", {"agentId": AGENT, "terminal": True, "villageId": one}] for one in ("acme", "rival")]
        async with place.town.client(token=place.both, joins=joins) as client:
            (connection,) = place.town.service.context.directory.of_user("user_both")
            inside = lambda: {  # noqa: E731
                room for room in place.town.service.server.rooms(connection.connection_id) if ":" in room
            }
            assert len(inside()) == 4
            assert (await client.emit("leave_agent", {"agentId": AGENT, "villageId": "rival"}))["ok"]
            key = await key_of(place.town, "acme")
            assert inside() == {f"agent:{key}:{AGENT}", f"terminal:{key}:{AGENT}"}
            assert (await client.emit("join_agent", {"agentId": AGENT, "villageId": "rival"}))["ok"]
            assert (await client.emit("leave_agent", {"agentId": AGENT}))["ok"]
            assert inside() == set()


@pytest.mark.node
async def test_the_same_repository_in_two_villages_is_two_houses(tmp_path: Path) -> None:
    """Banner, lights and smoke of one never show in the other, whatever the runner of the other does."""
    async with two_villages(tmp_path) as place:
        houses = {name: repo_id(await key_of(place.town, name), "/src/app") for name in ("acme", "rival")}
        assert houses["acme"] != houses["rival"]
        join = ["join_repo", {"repoId": houses["acme"]}]
        async with place.town.client(token=place.alice, joins=[join]) as alice:
            testing = place.rival.event("TEST_RUN_STARTED", "s-rival", 3, command="pytest")
            await place.rival.told(testing, place.rival.asks("s-rival", 4))
            await shown(place.town, "s-rival", 4)
            async with rest(place.town, place.town.token) as http:
                for name, busy in (("rival", True), ("acme", False)):
                    (house,) = (await http.get(f"/api/villages/{name}/houses")).json()["items"]
                    assert house["repoId"] == houses[name]
                    assert [house["indicators"][one]["active"] for one in ("banner", "smoke")] == [busy, busy]
            await heard_the_last(alice)
            assert houses["rival"] not in text_of(alice)


async def test_a_session_stays_its_runners_and_its_villages(tmp_path: Path) -> None:
    """Another runner's event of it is named back and nothing of it is stored, also after a restart of the service."""
    async with two_villages(tmp_path) as place:
        stolen = place.rival.chunk("s-acme", 3, "INJECTED")
        for org in ("rival", "acme"):
            await place.rival.send({**stolen, "orgId": org})
            nack = await place.rival.next("nack")
            assert (nack["sessionId"], nack["seq"], nack["code"]) == ("s-acme", 3, "E_FORBIDDEN")
        machine, token = place.rivals_machine, place.town.token
    async with open_town(tmp_path) as town:
        for village, org in (("rival", "rival"), ("rival", "acme")):
            async with connect(town, machine) as rival:
                rival.village = village
                await rival.send({**stolen, "orgId": org})
                assert (await rival.next("nack"))["code"] == "E_FORBIDDEN"
        async with rest(town, town.token or token) as http:
            events = (await http.get("/api/runner/sessions/s-acme/events")).json()["items"]
            assert [one["seq"] for one in events] == [1, 2]
            assert "INJECTED" not in json.dumps(events)
        assert (state := town.service.context.board.session("s-acme")) is not None
        assert state.village_id == await key_of(town, "acme")


async def test_rest_lists_each_villages_own_agent(tmp_path: Path) -> None:
    async with two_villages(tmp_path) as place:
        for token, village, session in ((place.alice, "acme", "s-acme"), (place.mallory, "rival", "s-rival")):
            async with rest(place.town, token) as http:
                (agent,) = (await http.get(f"/api/villages/{village}/agents")).json()["items"]
                assert (agent["agentId"], agent["sessionId"]) == (AGENT, session)


async def test_the_id_of_a_removed_runner_is_no_other_runners_while_its_sessions_are_known(tmp_path: Path) -> None:
    names = ("agentSeconds", "terminalKb", "filesTouched", "commandsRun", "approvalsRequested")
    async with two_villages(tmp_path) as place, rest(place.town, place.town.token) as http:
        end = {"finalState": "COMPLETED", "totalDurationMs": 1, "totalUsage": dict.fromkeys(names, 0)}
        await place.rival.told(place.rival.event("SESSION_ENDED", "s-rival", 3, **end))
        await shown(place.town, "s-rival", 3)
        runner_id = place.rivals_machine.runner_id
        assert (await http.delete(f"/api/runners/{runner_id}")).status_code == 200
        again = await http.post("/api/runners/register", json={"runnerId": runner_id, "hostname": "other"})
        assert again.status_code == 409
        assert runner_id in again.json()["error"]["message"]
        fresh = await http.post("/api/runners/register", json={"runnerId": "runner_fresh", "hostname": "other"})
        assert fresh.status_code == 201
