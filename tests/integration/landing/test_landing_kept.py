"""An order to land is a promise: it outlives its runner's connection and the service; an old runner is not asked."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.integration.landing.conftest import Yard, git, refused
from tests.integration.service.test_promises import SESSIONS, crashing, ended, held, open_rows, started
from townwatch.contracts.landing import LandAsker, LandOrder, LandSubject
from townwatch.contracts.link import Command

pytestmark = pytest.mark.timeout(120)

CAN = {"capabilities": {"features": ["land", "diff"]}}


async def push(http: httpx.AsyncClient) -> None:
    await http.post(f"{SESSIONS}/s1/git/push", json={})


async def landed(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    items = (await http.get(f"{SESSIONS}/s1/events?limit=100")).json()["items"]
    inner = [one["providerEvent"] for one in items if one["type"] == "PROVIDER_EVENT_FORWARDED"]
    return [one for one in inner if one["type"] == "agent.landed"]


@pytest.mark.parametrize("features", [[], ["resize", "pause"]])
async def test_a_runner_of_an_earlier_release_is_not_asked(tmp_path: Path, features: list[str]) -> None:
    async with crashing(tmp_path) as (town, http), town.runner(capabilities={"features": features}) as runner:
        await runner.send(started())
        await runner.acked(1)
        for answer in (await http.post(f"{SESSIONS}/s1/git/push", json={}), await http.get(f"{SESSIONS}/s1/git")):
            assert refused(answer)[:2] == (409, "E_UNSUPPORTED")
        assert await open_rows(town) == []


async def test_a_push_outlives_its_runners_connection_and_the_service_and_is_told_once(tmp_path: Path) -> None:
    async with crashing(tmp_path) as (town, http), trio.open_nursery() as nursery:
        async with town.runner(**CAN) as runner:
            await runner.send(started())
            await runner.acked(1)
            nursery.start_soon(push, http)
            first = await runner.next("command")
        async with town.runner([held(1)], **CAN) as runner:  # its runner was killed, and is back
            assert (await runner.next("command"))["commandId"] == first["commandId"]
        nursery.cancel_scope.cancel()
    done = {"id": first["commandId"], "act": "push", "ok": True, "by": "Owner", "branch": "main", "remote": "origin"}
    result = {"type": "result", "commandId": first["commandId"], "ok": True, "data": {"told": False, "outcome": done}}
    async with crashing(tmp_path) as (town, http), town.runner([held(1)], **CAN) as runner:
        again = await runner.next("command")
        assert (again["commandId"], again["land"]["act"]) == (first["commandId"], "push")
        assert await open_rows(town) == [first["commandId"]]
        await runner.say(json.dumps(result))  # its session has ended there, which the service is yet to hear
        await runner.send(ended(2))
        with trio.fail_after(30):
            while await open_rows(town):
                await trio.sleep(0.05)
        assert [one["id"] for one in await landed(http)] == [first["commandId"]]
        await runner.say(json.dumps(result))
    async with crashing(tmp_path) as (_town, http):
        assert [one["id"] for one in await landed(http)] == [first["commandId"]]


async def test_a_commit_whose_runner_was_killed_before_it_could_say_so_is_not_made_twice(yard: Yard) -> None:
    session = await yard.ended("echo x > new; echo y > other")
    asker, subject = LandAsker(name="Ann"), LandSubject(village="demo", agent_id="a")
    order = LandOrder(act="commit", asker=asker, subject=subject, message="once", paths=["new"])
    command = Command(command_id=f"land:{session}:1", command="land", session_id=session, land=order)
    first = await yard.runner._handle(command)
    assert first.ok, first.error
    yard.runner._results.clear()  # as after a kill -9: only git knows of it
    second = await yard.runner._handle(command)
    assert second.ok, second.error
    assert second.data["outcome"]["commit"] == first.data["outcome"]["commit"]
    assert git(yard.work, "log", "--format=%s", "agent/one").splitlines() == ["once", "first"]
