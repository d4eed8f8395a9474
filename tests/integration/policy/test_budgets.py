"""Budgets of a session, on a real runner: a warning, a pause, and a question, with the service there and away."""

import sys
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

from tests.integration.runner.conftest import Far
from tests.support.service import Town
from townwatch.contracts.events import RepoRef
from townwatch.contracts.policy import Budget
from townwatch.contracts.tasks import SessionConfig, TaskSpec
from townwatch.runner import identity
from townwatch.runner.identity import new_session_id
from townwatch.runner.opening import open_runner
from townwatch.runner.runner import Runner
from townwatch.runner.session.lifecycle import NotPossible
from townwatch.runner.session.plan import SessionSpec
from townwatch.runner.session.session import Session

USE = f"{sys.executable} -P -m townwatch usage"
HASTY = """
import json, os, socket, sys
host, _, port = os.environ["TOWNWATCH_ASK"].rpartition(":")
asked = {"session": os.environ["TOWNWATCH_SESSION"], "token": os.environ["TOWNWATCH_ASK_TOKEN"], "action": "usage"}
bill = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
while True:
    os.write(bill, b"0.05\\n")
    with socket.create_connection((host, int(port))) as door:
        door.sendall(json.dumps({**asked, "inputTokens": 10, "costUsd": 0.05}).encode() + b"\\n")
        assert json.loads(door.makefile().readline())["ok"]
"""
"""An agent that is billed, tells it, and goes on the moment that it is answered."""
SESSIONS = "/api/runner/sessions"


@attrs.define(eq=False)
class Spending:
    town: Town
    runner: Runner
    http: httpx.AsyncClient
    directory: Path

    def start(self, script: str, budget: Budget | None = None, runner: Runner | None = None) -> Session:
        order = None
        if budget is not None:
            order = SessionConfig(
                session_id="x", org_id="demo", agent_id="a", provider_id="command", budget=budget,
                repo_ref=RepoRef(provider="local", path=str(self.directory)), task=TaskSpec(title="t", goal="g"),
            )  # fmt: skip
        plan = SessionSpec(
            session_id=new_session_id(), village="demo", command=["bash", "-c", script],
            directory=self.directory, order=order,
        )  # fmt: skip
        return (runner or self.runner).start(plan)

    async def question(self, session: Session) -> dict[str, Any]:
        """The budget's question, once it waits."""
        with trio.fail_after(30):
            while True:
                found = (await self.http.get("/api/approvals?villageId=demo")).json()["items"]
                for one in found:
                    if one["sessionId"] == session.plan.session_id and one["category"] == "budget":
                        return one
                await trio.sleep(0.05)

    async def answer(self, session: Session, decision: str) -> None:
        one = await self.question(session)
        path = f"{SESSIONS}/{session.plan.session_id}/approvals/{one['approvalId']}"
        assert (await self.http.post(path, json={"decision": decision})).status_code == 200
        await over(lambda: not session.budget.used_up)

    async def events(self, session: Session, kind: str) -> list[dict[str, Any]]:
        answer = await self.http.get(f"{SESSIONS}/{session.plan.session_id}/events?limit=1000")
        return [one for one in answer.json().get("items", []) if one["type"] == kind]


async def over(done: Any, seconds: float = 90) -> None:
    with trio.fail_after(seconds):
        while not done():
            await trio.sleep(0.02)


@pytest.fixture
def spending(far: Far) -> Spending:
    return Spending(far.town, far.runner, far.http, far.directory)


async def test_a_warning_then_a_pause_then_more_and_then_the_end(spending: Spending) -> None:
    first, later = f"{USE} --input-tokens 85; read; {USE} --input-tokens 20", f"{USE} --input-tokens 100; sleep 60"
    script = f"{first}; echo on > went-on; {later}"
    session = spending.start(script, Budget(tokens=100))
    await over(lambda: session.usage.spent.tokens == 85)
    assert not session.budget.used_up
    await session.started.wait()
    await session.type("\n")
    asked = await spending.question(session)
    assert asked["summary"] == "105 tokens of 100 tokens are used: 100 tokens more, or stop"
    assert asked["context"]["budget"] == {"limit": "tokens", "used": 105, "of": 100, "more": 100}
    (alert,) = await spending.events(session, "ALERT_RAISED")
    assert (alert["severity"], alert["description"]) == ("warn", "85 tokens of 100 tokens are used")
    shown = (await spending.http.get(f"{SESSIONS}/{session.plan.session_id}")).json()
    assert (shown["state"], shown["reason"]) == ("PAUSED_BY_HUMAN", "its budget is used up: 100 tokens")
    with pytest.raises(NotPossible):  # a resume is no answer
        await session.resume()
    await spending.answer(session, "allow")
    await over((spending.directory / "went-on").exists)
    assert (await spending.question(session))["context"]["budget"]["of"] == 200
    await spending.answer(session, "deny")
    with trio.fail_after(30):
        await session.over.wait()
    assert session.usage.spent.tokens == 205


@pytest.mark.parametrize("shared", [False, True])
async def test_an_agent_in_haste_is_billed_one_tick_past_its_budget_at_most(spending: Spending, shared: bool) -> None:
    if shared:
        terms = {"scope": "village", "unit": "usd", "amount": 1}
        assert (await spending.http.post("/api/villages/demo/budgets", json=terms)).status_code == 201
        await over(lambda: spending.runner.policies.of("demo").shared)
    bills = spending.directory / "bills"
    (spending.directory / "hasty.py").write_text(HASTY)
    session = spending.start(f"exec {sys.executable} hasty.py {bills}", None if shared else Budget(usd=1))
    await spending.question(session)
    assert 20 <= len(bills.read_text().split()) <= 21
    await session.stop(graceful=False)


async def test_a_villages_budget_holds_for_sessions_that_begin_at_the_runner_and_no_rule_gives_more(
    spending: Spending,
) -> None:
    everything = {"id": "all", "effect": "allow"}
    put = await spending.http.put("/api/villages/demo/policy", json={"rules": [everything], "budget": {"usd": 0.5}})
    assert (put.status_code, put.json()["budget"]) == (200, {"usd": 0.5})
    await over(lambda: spending.runner.policies.of("demo").version == 1)
    session = spending.start(f"{USE} --input-tokens 10 --cost-usd 0.6; sleep 60", Budget(usd=9))
    asked = await spending.question(session)
    assert asked["summary"] == "0.6 $ of 0.5 $ are used: 0.5 $ more, or stop"
    await spending.answer(session, "deny")
    with trio.fail_after(30):
        await session.over.wait()


async def test_what_has_no_price_is_said_and_its_tokens_count(spending: Spending) -> None:
    session = spending.start(f"{USE} --input-tokens 10; sleep 60", Budget(usd=1, tokens=10))
    await spending.question(session)
    alerts = [one["description"] for one in await spending.events(session, "ALERT_RAISED")]
    assert alerts == ["its agent names no price for some of its tokens: what it costs is not known"]
    await session.stop()

    session = spending.start(f"{USE} --input-tokens 10; sleep 60", Budget(usd=1))
    with trio.fail_after(30):
        while not (told := await spending.events(session, "ALERT_RAISED")):
            await trio.sleep(0.05)
    assert told[0]["title"] == "The budget of this session cannot be held"
    await session.stop()


async def test_minutes_are_held_while_the_service_is_away(spending: Spending, tmp_path: Path) -> None:
    gone = identity.load(spending.town.state)
    away = attrs.evolve(gone, url="http://127.0.0.1:9", runner_id=f"{gone.runner_id}.away")
    async with open_runner(away, tmp_path / "runner", slot="run-7", dispatch=False) as runner:
        session = spending.start("sleep 60", Budget(minutes=0.01), runner)
        await over(lambda: session.budget.used_up)
        assert session.lifecycle.state == "PAUSED_BY_HUMAN"
        await session.stop()
