"""What people allowed has an outcome, on the order's row and for them, whoever ends or is killed while it is done."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.integration.landing.conftest import Yard, git, until
from tests.integration.landing.test_landing_kept import CAN, landed
from tests.integration.landing.test_landing_rules import approval, change
from tests.integration.policy.house import SESSIONS, open_ruled
from tests.integration.service.test_promises import USAGE, crashing, ended, event, open_rows, started
from townwatch.contracts.landing import LAND_OUTCOMES
from townwatch.runner import identity
from townwatch.runner.session import session as sessions

pytestmark = pytest.mark.timeout(150)

ASK = {"id": "asks", "effect": "ask", "command": "git push *"}
ASK_REQUEST = {"id": "asks", "effect": "ask", "command": "gh pr create *"}
WAITS = "#!/bin/sh\ntouch {folder}/pushing\nwhile [ ! -e {folder}/go ]; do sleep 0.05; done\n"
URL = "https://github.example/acme/app/pull/7"
SLOW_GH = """#!/bin/sh
if [ "$2" = list ]; then cat {folder}/requests 2>/dev/null || echo '[]'; exit; fi
touch {folder}/pushing
while [ ! -e {folder}/go ]; do sleep 0.05; done
printf '[{{"url": "{url}", "headRefOid": "%s"}}]' $(git rev-parse HEAD) > {folder}/new
mv {folder}/new {folder}/requests
echo {url}
"""
OUTCOMES = {"capabilities": {"features": ["land", "diff", LAND_OUTCOMES]}}


def slow_push(repository: Path) -> None:
    hook = repository / ".git" / "hooks" / "pre-push"
    hook.write_text(WAITS.format(folder=repository.parent))
    hook.chmod(0o755)


async def order(yard: Yard, session: str, command_id: str) -> dict[str, Any]:
    answer = await yard.get(session, f"/git/orders/{command_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def until_state(yard: Yard, session: str, command_id: str, *states: str) -> dict[str, Any]:
    with trio.fail_after(60):
        while (found := await order(yard, session, command_id))["state"] not in states:
            await trio.sleep(0.05)
    return found


async def test_an_order_that_is_asked_is_a_row_until_its_outcome(yard: Yard) -> None:
    session = (await yard.live()).plan.session_id
    await change(yard, session)
    await yard.rules(ASK)
    denied = (await yard.land(session, "push")).json()["commandId"]
    card = await approval(yard)
    assert await order(yard, session, denied) | {"orderedAt": 0} == {
        "commandId": denied, "state": "asked", "orderedAt": 0, "approvalId": card["approvalId"],
    }  # fmt: skip
    await yard.ruled.decide("bob", "deny", session, card["approvalId"])
    assert (await until_state(yard, session, denied, "refused"))["why"] == "denied by Bob"
    allowed = (await yard.land(session, "push")).json()["commandId"]
    await yard.ruled.decide("bob", "allow", session, (await approval(yard))["approvalId"])
    done = await until_state(yard, session, allowed, "done")
    assert (done["outcome"]["act"], done["outcome"]["approvedBy"]) == ("push", "Bob")
    with trio.fail_after(30):
        while await open_rows(yard.ruled.town):
            await trio.sleep(0.05)
    assert (await yard.get(session, "/git/orders/land:other:1")).status_code == 404


async def test_a_session_that_ends_while_it_is_pushed_has_the_outcome_behind_its_end(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "GRACE_SECONDS", 2.0)
    live = await yard.live()
    session = live.plan.session_id
    await change(yard, session)
    await yard.rules(ASK)
    slow_push(yard.work)
    command_id = (await yard.land(session, "push")).json()["commandId"]
    await yard.ruled.decide("ann", "allow", session, (await approval(yard))["approvalId"])
    await until(lambda: (yard.folder / "pushing").exists())
    assert (await order(yard, session, command_id))["state"] == "allowed"
    await live.stop(graceful=False)
    await until(live.over.is_set)
    (yard.folder / "go").touch()
    told = (await yard.landed(session, 2))[-1]
    assert (told["id"], told["ok"], told["approvedBy"]) == (command_id, True, "Ann")
    events = (await yard.get(session, "/events?limit=1000")).json()["items"]
    assert [one["type"] for one in events[-2:]] == ["SESSION_ENDED", "PROVIDER_EVENT_FORWARDED"]
    assert (await order(yard, session, command_id))["state"] == "done"
    assert git(yard.remote, "rev-parse", "main") == git(yard.work, "rev-parse", "main")


@asynccontextmanager
async def daemon(state: Path) -> AsyncIterator[trio.Process]:
    command = [sys.executable, "-P", "-m", "townwatch", "runner", f"--state-dir={state}"]
    process = await trio.lowlevel.open_process(command, env={**os.environ}, stdout=sys.stderr, stderr=sys.stderr)
    try:
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True), trio.move_on_after(20):
            await process.wait()


async def connected(http: httpx.AsyncClient) -> None:
    with trio.fail_after(60):
        while not any(one["connected"] for one in (await http.get("/api/runners")).json()["items"]):
            await trio.sleep(0.05)


@asynccontextmanager
async def killed_at_work(repository: Path, act: str, rule: dict[str, Any]) -> AsyncIterator[tuple[Yard, str, str]]:
    """(yard, session, order): an act that was allowed, and whose runner was killed while a program did it, which goes
    on, at the latest when this is left.
    """
    folder = repository.parent
    async with open_ruled(folder / "service") as ruled:
        state = folder / "runner"
        identity.save(state, identity.load(ruled.town.state))
        yard = Yard(ruled, None, folder)  # pyright: ignore[reportArgumentType] - the runner is another process
        await ruled.rules(rule)
        async with daemon(state) as process:
            await connected(ruled.http["ann"])
            body = {
                "villageId": "demo", "providerId": "command", "command": ["sleep", "600"],
                "repoRef": {"provider": "local", "path": str(repository)}, "task": {"title": "t", "goal": "g"},
            }  # fmt: skip
            session = (await ruled.http["ann"].post(SESSIONS, json=body)).json()["sessionId"]
            with trio.fail_after(60):
                while (await yard.get(session, "")).json().get("state") != "RUNNING":
                    await trio.sleep(0.05)
            command_id = (await yard.land(session, act)).json()["commandId"]
            await ruled.decide("ann", "allow", session, (await approval(yard))["approvalId"])
            await until(lambda: (folder / "pushing").exists())
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        try:
            yield yard, session, command_id
        finally:
            (folder / "go").touch()


async def found_later(yard: Yard, session: str, command_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the order, what was told), when the runner is back."""
    async with daemon(yard.folder / "runner"):
        found = await until_state(yard, session, command_id, "done", "unknown", "failed", "refused", "expired")
        (told,) = await yard.landed(session)
    return found, told


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_runner_that_is_killed_while_it_pushes_says_what_became_of_it(repository: Path, arrives: bool) -> None:
    """Its git goes on behind it, and may get there before the runner is back."""
    git(repository, "commit", "-q", "--allow-empty", "-m", "more")
    slow_push(repository)
    async with killed_at_work(repository, "push", ASK) as (yard, session, command_id):
        if arrives:
            (yard.folder / "go").touch()
            await until(lambda: git(yard.remote, "rev-parse", "main") == git(repository, "rev-parse", "main"))
        found, told = await found_later(yard, session, command_id)
    assert found["state"] == ("done" if arrives else "unknown"), found
    assert "the runner ended while it pushed" in told["says"]
    assert told["says"].startswith("not known") is not arrives


@pytest.mark.parametrize("opened", ["by then", "not yet", "of another commit"])
async def test_a_runner_that_is_killed_while_it_opens_a_pull_request_asks_the_forge(
    repository: Path, opened: str
) -> None:
    git(repository, "checkout", "-q", "-b", "feature")
    git(repository, "commit", "-q", "--allow-empty", "-m", "more")
    git(repository, "push", "-q", "origin", "feature")
    (repository.parent / "bin" / "gh").write_text(SLOW_GH.format(folder=repository.parent, url=URL))
    async with killed_at_work(repository, "pull-request", ASK_REQUEST) as (yard, session, command_id):
        requests = yard.folder / "requests"
        if opened == "by then":
            (yard.folder / "go").touch()
            await until(requests.exists)
        elif opened == "of another commit":
            requests.write_text(json.dumps([{"url": URL, "headRefOid": "0" * 40}]))
        found, told = await found_later(yard, session, command_id)
    assert found["state"] == ("done" if opened == "by then" else "unknown"), found
    assert told.get("url") == (URL if opened == "by then" else None)
    says = {"by then": f"{URL} is open", "not yet": "No pull request of feature is open", "of another commit": URL}
    assert says[opened] in told["says"]


async def test_the_row_of_an_order_that_is_asked_outlives_the_service(tmp_path: Path) -> None:
    ask = {"approvalId": "a1", "rule": "asks", "why": "asked by asks"}
    async with crashing(tmp_path) as (town, http), town.runner(**OUTCOMES) as runner, trio.open_nursery() as nursery:
        await runner.send(started())
        await runner.acked(1)
        nursery.start_soon(lambda: http.post(f"{SESSIONS}/s1/git/push", json={}))
        command = await runner.next("command")
        asked = {"type": "result", "commandId": command["commandId"], "ok": True, "data": {"told": True, "asked": ask}}
        await runner.say(json.dumps(asked))
        nursery.cancel_scope.cancel()
    held = [{"sessionId": "s1", "firstSeq": 2, "lastSeq": 1, "state": "RUNNING"}]
    async with crashing(tmp_path) as (town, http), town.runner(held, **OUTCOMES) as runner:
        assert (await runner.next("command"))["commandId"] == command["commandId"]
        await runner.say(json.dumps(asked))
        assert (await http.get(f"{SESSIONS}/s1/git/orders/{command['commandId']}")).json()["state"] == "waiting"
        done = {"id": command["commandId"], "act": "push", "ok": False, "by": "Owner", "unknown": True, "says": "why"}
        last = {**asked, "data": {"told": False, "outcome": done}}
        await runner.send(ended(2))
        await runner.say(json.dumps(last))
        with trio.fail_after(30):
            while await open_rows(town):
                await trio.sleep(0.05)
        found = (await http.get(f"{SESSIONS}/s1/git/orders/{command['commandId']}")).json()
        assert (found["state"], found["why"]) == ("unknown", "why")


async def test_an_order_whose_event_comes_behind_the_runners_result_is_not_over_before_it(tmp_path: Path) -> None:
    async with crashing(tmp_path) as (town, http), town.runner(**OUTCOMES) as runner, trio.open_nursery() as nursery:
        await runner.send(started())
        await runner.acked(1)
        nursery.start_soon(lambda: http.post(f"{SESSIONS}/s1/git/push", json={}))
        command_id = (await runner.next("command"))["commandId"]
        done = {"id": command_id, "act": "push", "ok": True, "by": "Owner"}
        data = {"told": True, "outcome": done}
        await runner.say(json.dumps({"type": "result", "commandId": command_id, "ok": True, "data": data}))
        with trio.fail_after(30):
            while await open_rows(town):
                await trio.sleep(0.05)
        order = f"{SESSIONS}/s1/git/orders/{command_id}"
        assert (await http.get(order)).json()["state"] == "waiting"
        told = {"type": "agent.landed", "providerId": "command", "timestamp": 1, **done}
        await runner.send(event("PROVIDER_EVENT_FORWARDED", 2, providerEvent=told))
        with trio.fail_after(30):
            while (found := (await http.get(order)).json())["state"] == "waiting":
                await trio.sleep(0.05)
        assert (found["state"], found["outcome"]["act"]) == ("done", "push")
        nursery.cancel_scope.cancel()


async def test_an_outcome_that_overtakes_the_sessions_end_takes_none_of_its_numbers(tmp_path: Path) -> None:
    async with crashing(tmp_path) as (town, http), town.runner(**CAN) as runner, trio.open_nursery() as nursery:
        await runner.send(started(), event("SESSION_STATE_CHANGED", 2, previousState="CREATED", newState="RUNNING"))
        await runner.acked(2)
        nursery.start_soon(lambda: http.post(f"{SESSIONS}/s1/git/push", json={}))
        command = await runner.next("command")
        await runner.send(event("SESSION_STATE_CHANGED", 3, previousState="RUNNING", newState="COMPLETED"))
        await runner.acked(3)
        done = {"id": command["commandId"], "act": "push", "ok": True, "by": "Owner"}
        data = {"told": False, "outcome": done}
        await runner.say(json.dumps({"type": "result", "commandId": command["commandId"], "ok": True, "data": data}))
        with trio.move_on_after(1):  # where it were written at once, it would be by now
            while not await landed(http):
                await trio.sleep(0.05)
        tick = event("USAGE_TICK", 4, providerId="command", units=USAGE, intervalMs=1)
        await runner.send(tick, ended(5))
        await runner.acked(5)
        with trio.fail_after(30):
            while not await landed(http):
                await trio.sleep(0.05)
        items = (await http.get(f"{SESSIONS}/s1/events?limit=100")).json()["items"]
        assert [one["type"] for one in items[3:]] == ["USAGE_TICK", "SESSION_ENDED", "PROVIDER_EVENT_FORWARDED"]
